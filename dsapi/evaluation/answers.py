"""Asking a model about labeled photos, as the server would.

Enters: photos and a loaded model. Leaves: one row of probabilities per photo and point. Called
by ``dsapi evaluate``. Every answer comes from `dsapi.prediction.predictor.predict`, the function
behind the HTTP endpoint and ``dsapi predict``.
"""

import hashlib
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import ModelError, RequestError, StartupError, tell_cause
from dsapi.evaluation.photos import LabeledPhoto, number_photos
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.golden import run_together
from dsapi.prediction.model import Model, OpenModel
from dsapi.prediction.picture import Limits
from dsapi.prediction.points import Unit
from dsapi.prediction.predictor import PredictionRequest, predict

#: Where a photo was asked about: its center, random points as users tap, or the CSV file's point.
Place = Literal["center", "random", "given"]
_ORDER: tuple[Place, ...] = ("center", "random", "given")
# From which probability a multi-label model's label counts as answered, where its configuration
# has no `min_probability`: likelier right than wrong.
_EVEN_ODDS = 0.5


@dataclass(frozen=True)
class Answers:
    """What a model said at one kind of place.

    Attributes:
        place: which kind.
        probabilities: ``float32 [n, labels]``.
        said: which labels count as answered, ``bool [n, labels]``; one a row where each photo has
            one label.
        truth: which labels are right, ``bool [n, labels]``.
        photo: which photo, ``int64 [n]``, as `number_photos` numbers them; a photo has several rows
            at random points, and where a table names several points of it.
        entry: index of what was asked about, ``int64 [n]``: of a photo, or a photo with a point.
        points: x and y in pixels of the upright photo, ``int64 [n, 2]``.
    """

    place: Place
    probabilities: NDArray[np.float32]
    said: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    photo: NDArray[np.int64]
    entry: NDArray[np.int64]
    points: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where the right label, or exactly the right labels, were answered, ``bool [n]``."""
        return np.asarray((self.said == self.truth).all(axis=1))


@dataclass(frozen=True)
class Questions:
    """Where to ask.

    Attributes:
        random_points: per photo, drawn evenly over the picture; 0: none.
        seed: of the random points. It and the photo's name alone decide them, so that two models
            are asked at the same ones, whichever other photos there are.
    """

    random_points: int
    seed: int


@dataclass(frozen=True)
class Unreadable:
    """An entry, a photo or one of its points, that the core refused, and why."""

    entry: int
    reason: str


@dataclass(frozen=True)
class _PhotoAnswer:
    """All rows of one photo, in the order of `places`."""

    places: tuple[Place, ...]
    rows: NDArray[np.float32]
    points: NDArray[np.int64]


def ask_model(
    model: Model,
    photos: Sequence[LabeledPhoto],
    questions: Questions,
    *,
    limits: Limits,
    threads: int,
    on_photo: Callable[[], None],
) -> tuple[dict[Place, Answers], tuple[Unreadable, ...]]:
    """Ask about every photo, `threads` at a time; results do not depend on `threads`.

    Args:
        model: asked without its minimum probability, so that every label has one.
        photos: what to ask about.
        questions: where.
        limits: what a picture may cost.
        threads: each opens a session of its own.
        on_photo: called after every photo, from any thread.

    Returns:
        Answers by place, and the entries that got none.

    Raises:
        StartupError: the graph does not run, or its answers depend on the points beside.
    """
    bare = replace(model, spec=model.spec.model_copy(update={"min_probability": 0.0}))
    asker = _Asker(bare, limits)

    def ask(index: int) -> _PhotoAnswer | Unreadable:
        answer = asker.ask(photos[index], index, questions)
        on_photo()
        return answer

    with closing(asker), ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(ask, range(len(photos))))
    unreadable = tuple(each for each in answers if isinstance(each, Unreadable))
    read = {index: each for index, each in enumerate(answers) if not isinstance(each, Unreadable)}
    threshold = find_threshold(model, photos)
    places = {place for each in read.values() for place in each.places}
    return {
        place: _gather(read, photos, place, threshold=threshold)
        for place in _ORDER
        if place in places
    }, unreadable


def find_threshold(model: Model, photos: Sequence[LabeledPhoto]) -> float | None:
    """Find from which probability a label counts as answered; ``None``: the top one does.

    Where photos have other than one label, it is the one from which callers are told it.
    """
    if all(len(photo.labels) == 1 for photo in photos):
        return None
    return model.spec.min_probability or _EVEN_ODDS


def _gather(
    answers: dict[int, _PhotoAnswer],
    photos: Sequence[LabeledPhoto],
    place: Place,
    *,
    threshold: float | None,
) -> Answers:
    """Rows of one kind of place, in the order of the photos."""
    chosen = [
        (index, row)
        for index, answer in answers.items()
        for row, each in enumerate(answer.places)
        if each == place
    ]
    entry = np.array([index for index, _ in chosen], np.int64)
    probabilities = np.stack([answers[index].rows[row] for index, row in chosen])
    truth = np.zeros(probabilities.shape, bool)
    for row, index in enumerate(entry):
        truth[row, photos[index].labels] = True
    return Answers(
        place,
        probabilities,
        said=_choose_labels(probabilities, threshold),
        truth=truth,
        photo=number_photos(photos)[entry],
        entry=entry,
        points=np.stack([answers[index].points[row] for index, row in chosen]),
    )


def _choose_labels(
    probabilities: NDArray[np.float32], threshold: float | None
) -> NDArray[np.bool_]:
    if threshold is not None:
        return np.asarray(probabilities >= threshold)
    one_of_each = np.eye(probabilities.shape[1], dtype=bool)
    return np.asarray(one_of_each[probabilities.argmax(axis=1)])


def leave_out(answers: dict[Place, Answers], entries: Collection[int]) -> dict[Place, Answers]:
    """Give the answers about all other entries; a place without any is left out too."""
    kept = {}
    for place, each in answers.items():
        rows = ~np.isin(each.entry, list(entries))
        if rows.any():
            kept[place] = Answers(
                place,
                probabilities=each.probabilities[rows],
                said=each.said[rows],
                truth=each.truth[rows],
                photo=each.photo[rows],
                entry=each.entry[rows],
                points=each.points[rows],
            )
    return kept


class _Asker:
    """Asks the core, with one open model per thread."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self._local = threading.local()
        self._opened: list[OpenModel] = []
        self._columns = {label: index for index, label in enumerate(model.labels)}

    def ask(
        self, photo: LabeledPhoto, index: int, questions: Questions
    ) -> _PhotoAnswer | Unreadable:
        """Ask about one photo: one decode, one run of the model."""
        places, points, unit = _choose_points(photo, questions)
        try:
            prediction = predict(
                PredictionRequest(
                    photo.path.read_bytes(),
                    points=points,
                    models=(self._model.name,),
                    unit=unit,
                    top=len(self._columns),
                ),
                models={self._model.name: self._open()},
                limits=self._limits,
                deadline=Deadline.far(),
            )
        except (RequestError, OSError, ValueError) as error:  # the last of a name with a null
            return Unreadable(index, tell_cause(error))
        if failed := [error for each in prediction.results for error in each.errors.values()]:
            return Unreadable(index, failed[0])
        rows = np.zeros((len(points), len(self._columns)), np.float32)
        for row, result in zip(rows, prediction.results, strict=True):
            for ranked in result.labels[self._model.name]:
                row[self._columns[ranked.label]] = ranked.probability
        where = [(result.point.x, result.point.y) for result in prediction.results]
        return _PhotoAnswer(places, rows, np.array(where, np.int64))

    def close(self) -> None:
        """Close every thread's session."""
        for each in self._opened:
            each.session.close()

    def _open(self) -> OpenModel:
        if not hasattr(self._local, "model"):
            self._local.model = self._model.open()
            self._opened.append(self._local.model)
            try:
                run_together(self._local.model)
            except (ModelError, StartupError) as error:
                raise StartupError(f"{self._model.spec.graph}: {error}") from error
        opened: OpenModel = self._local.model
        return opened


def _choose_points(
    photo: LabeledPhoto, questions: Questions
) -> tuple[tuple[Place, ...], tuple[tuple[float, float] | None, ...], Unit]:
    """Where to ask about a photo: kinds, points and their unit."""
    if photo.point is not None:
        return ("given",), (photo.point,), "px"
    name = photo.name or photo.path.as_posix()
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng([questions.seed, *digest])
    drawn = rng.uniform(0, 100, (questions.random_points, 2)).tolist()
    random: Place = "random"
    return ("center", *(random for _ in drawn)), (None, *((x, y) for x, y in drawn)), "percent"
