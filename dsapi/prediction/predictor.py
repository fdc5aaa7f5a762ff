"""The way from a picture to its labels. `predict` names every step; web and CLI both call it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import InternalError, ModelError
from dsapi.prediction.crops import Box, cut_crop, find_coarsest_factor, find_seen, locate_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import Model, OpenModel
from dsapi.prediction.picture import Limits, OpenPicture, Picture, open_picture
from dsapi.prediction.points import Point, Unit, locate_point
from dsapi.prediction.ranking import RankedLabel, rank_labels

_LOGGER = logging.getLogger(__name__)
# What a caller is told of a model that gave no usable scores.
_FAILED = "the model failed on this picture"


@dataclass(frozen=True)
class PredictionRequest:
    """What to predict.

    Attributes:
        image: the encoded picture.
        points: x and y of each point in `unit`; ``None``: the center of the picture.
        unit: ``px`` or ``percent``.
        models: which to run, in this order.
        top: how many labels each.
        min_probability: labels below this are left out, 0 to 1.
        listed: whether the points came as a list: then an error says which of them it is about.
        id: what the log calls the request; empty: there is nobody to tell from others.
    """

    image: bytes
    points: tuple[tuple[float, float] | None, ...]
    models: tuple[str, ...]
    unit: Unit = "px"
    top: int = 5
    min_probability: float = 0.0
    listed: bool = False
    id: str = ""


@dataclass(frozen=True)
class PointPrediction:
    """What every model sees at one point; a model that failed has an entry in `errors`."""

    point: Point
    labels: Mapping[str, tuple[RankedLabel, ...]]
    crops: Mapping[str, Box]
    errors: Mapping[str, str]


@dataclass(frozen=True)
class PictureFacts:
    """What an answer tells of its picture.

    Attributes:
        width: of the full upright picture, in pixels.
        height: likewise.
        format: JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF or HEIC.
        bytes: size of the encoded picture.
    """

    width: int
    height: int
    format: str
    bytes: int


@dataclass(frozen=True)
class Prediction:
    """The answer to a `PredictionRequest`.

    Attributes:
        picture: what is told of it. Its pixels go when the last model has seen them: kept until the
            answer is sent, they would lie beside those of the worker's next picture.
        results: one per point, in the order asked.
        versions: version of each model that was asked.
        timing_ms: milliseconds of each step.
    """

    picture: PictureFacts
    results: tuple[PointPrediction, ...]
    versions: Mapping[str, str]
    timing_ms: Mapping[str, float]


@dataclass
class _Stopwatch:
    """Adds up the milliseconds of named steps."""

    timing_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Time a block, also one that raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took_ms = (time.perf_counter() - started) * 1000
            self.timing_ms[step] = self.timing_ms.get(step, 0.0) + took_ms


@dataclass(frozen=True)
class _ModelAnswer:
    """One model's answer at each point: what it saw, and its labels or why there are none."""

    boxes: tuple[Box, ...]
    ranked: tuple[tuple[RankedLabel, ...], ...]
    errors: tuple[str | None, ...]


def predict(
    request: PredictionRequest,
    *,
    models: Mapping[str, OpenModel],
    limits: Limits,
    deadline: Deadline,
) -> Prediction:
    """Predict what a picture shows at some points: one decode, one run of each model.

    Args:
        request: picture, points and what to answer.
        models: the calling thread's open models by name; all that the request names.
        limits: what the picture may cost.
        deadline: checked between steps, so that nothing is finished for nobody.

    Raises:
        RequestError: the picture or a point is unusable, the deadline passed, or every model
            failed at every point.
    """
    watch = _Stopwatch()
    with watch.time("decode"):
        opened = open_picture(request.image, limits)
        points = _locate_points(request, opened)
        views = [(models[name].model.spec.crop, models[name].model.size) for name in request.models]
        factor = find_coarsest_factor(views, (opened.width, opened.height))
        picture = opened.decode(factor, deadline, seen=find_seen(views, points, opened))
    running = {}
    for name in request.models:
        with watch.time(name):
            running[name] = _start_model(
                models[name], picture, points, request=request, deadline=deadline
            )
    answers = {}
    for name, finish in running.items():
        with watch.time(name):
            answers[name] = finish()
    if all(all(answer.errors) for answer in answers.values()):
        raise InternalError("every model failed on this picture")
    return Prediction(
        PictureFacts(picture.width, picture.height, picture.format, picture.bytes),
        results=tuple(_at_point(index, point, answers) for index, point in enumerate(points)),
        versions={name: models[name].model.version for name in request.models},
        timing_ms=watch.timing_ms,
    )


def _locate_points(request: PredictionRequest, picture: OpenPicture) -> tuple[Point, ...]:
    return tuple(
        locate_point(
            asked,
            unit=request.unit,
            width=picture.width,
            height=picture.height,
            where=f"points.{index}." if request.listed else "",
        )
        for index, asked in enumerate(request.points)
    )


def _start_model(
    open_model: OpenModel,
    picture: Picture,
    points: tuple[Point, ...],
    *,
    request: PredictionRequest,
    deadline: Deadline,
) -> Callable[[], _ModelAnswer]:
    """Crop around every point and begin the one run of the graph; give what finishes it."""
    model, spec = open_model.model, open_model.model.spec
    boxes = tuple(locate_crop(spec.crop, point, picture) for point in points)
    crops = []
    for point in points:
        deadline.check()
        crops.append(cut_crop(spec.crop, point, picture, size=model.size, resize=spec.resize))
    try:
        probabilities = open_model.start(np.stack(crops))
    except ModelError as error:
        failed = _report_failure(model, boxes, error, request=request)
        return lambda: failed
    return partial(_rank_labels, model, boxes, probabilities, request=request)


def _rank_labels(
    model: Model,
    boxes: tuple[Box, ...],
    probabilities: Callable[[], NDArray[np.float32]],
    *,
    request: PredictionRequest,
) -> _ModelAnswer:
    """Wait for a graph's run and rank the labels."""
    try:
        rows = probabilities()
    except ModelError as error:
        return _report_failure(model, boxes, error, request=request)
    outcomes = [_rank_row(row, model, request) for row in rows]
    if reasons := [reason for _, reason in outcomes if reason is not None]:
        where = f" at {len(reasons)} of {len(outcomes)} points"
        _LOGGER.error("%s", _tell_failure(model, request, reasons[0], where=where))
    return _ModelAnswer(
        boxes,
        ranked=tuple(ranked for ranked, _ in outcomes),
        errors=tuple(None if reason is None else _FAILED for _, reason in outcomes),
    )


def _rank_row(
    row: NDArray[np.float32], model: Model, request: PredictionRequest
) -> tuple[tuple[RankedLabel, ...], str | None]:
    """Rank the labels at one point, or say why there are none: it is not the other points' fault.

    The reason in words: the error itself would know the frame that keeps it, and both the crops.
    """
    least = max(request.min_probability, model.spec.min_probability)
    try:
        return rank_labels(row, model.labels, top=request.top, min_probability=least), None
    except ModelError as error:
        return (), str(error)


def _report_failure(
    model: Model, boxes: tuple[Box, ...], error: ModelError, *, request: PredictionRequest
) -> _ModelAnswer:
    """Tell the caller that a model failed, and the log the reason, which is ours."""
    # Where in an engine's own code it failed is for debugging only.
    debugging = _LOGGER.isEnabledFor(logging.DEBUG)
    _LOGGER.error("%s", _tell_failure(model, request, str(error)), exc_info=debugging)
    count = len(boxes)
    return _ModelAnswer(boxes, ranked=((),) * count, errors=(_FAILED,) * count)


def _tell_failure(model: Model, request: PredictionRequest, reason: str, where: str = "") -> str:
    asked = f"request {request.id}: " if request.id else ""
    return f"{asked}model {model.name} {model.version} failed{where}: {reason}"


def _at_point(index: int, point: Point, answers: Mapping[str, _ModelAnswer]) -> PointPrediction:
    """Gather what all models say about one point."""
    return PointPrediction(
        point,
        labels={name: answer.ranked[index] for name, answer in answers.items()},
        crops={name: answer.boxes[index] for name, answer in answers.items()},
        errors={name: error for name, answer in answers.items() if (error := answer.errors[index])},
    )
