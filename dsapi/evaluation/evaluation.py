"""One evaluation from photos to figures: the parts of this package in their order.

Enters: a loaded model, or two, and labeled photos. Leaves: an `Evaluation`. Called by
``dsapi evaluate``, and by whoever wants the figures in Python.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dsapi.evaluation.answers import (
    Answers,
    Place,
    Questions,
    Unreadable,
    ask_model,
    find_threshold,
    leave_out,
)
from dsapi.evaluation.comparison import Comparison, compare_answers
from dsapi.evaluation.figures import AnyFigures, measure_multi_label, measure_single_label
from dsapi.evaluation.photos import LabeledPhoto, number_photos
from dsapi.prediction.model import Model
from dsapi.prediction.picture import Limits


@dataclass(frozen=True)
class Evaluation:
    """What was found out about a model.

    Attributes:
        model: as loaded.
        other: the model it was compared with, if any.
        photos: what was asked about: photos, or points of photos.
        unreadable: those of them that the core refused, or on which one of the models failed; they
            count nowhere.
        threshold: from which probability a label counts as answered, where a photo may have several
            labels or none; ``None`` where each has one, and the top label is the answer. The other
            model's own `min_probability` decides of its answers.
        answers: of the model, by place.
        figures: of the model, one per place.
        other_figures: of the other model, likewise.
        comparisons: one per place.
    """

    model: Model
    other: Model | None
    photos: tuple[LabeledPhoto, ...]
    unreadable: tuple[Unreadable, ...]
    threshold: float | None
    answers: dict[Place, Answers]
    figures: tuple[AnyFigures, ...]
    other_figures: tuple[AnyFigures, ...] = ()
    comparisons: tuple[Comparison, ...] = ()

    @property
    def photo_count(self) -> int:
        """How many photos were asked about; several points of one count once."""
        return len(np.unique(number_photos(self.photos)))

    @property
    def unreadable_count(self) -> int:
        """How many of these photos got no answer at any point."""
        answered = {int(photo) for each in self.answers.values() for photo in each.photo}
        return self.photo_count - len(answered)


def evaluate_model(
    model: Model,
    photos: Sequence[LabeledPhoto],
    questions: Questions,
    *,
    limits: Limits,
    threads: int = 1,
    against: Model | None = None,
    on_photo: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ask the model (and the other one, at the same points) about every photo, and count.

    `on_photo` is called once per photo and model. Where every photo is unreadable, there are
    no figures. Where a photo has several labels or none, all are measured as multi-label.
    """
    threshold = find_threshold(model, photos)
    measure = measure_single_label if threshold is None else measure_multi_label
    ask = partial(ask_model, limits=limits, threads=threads, on_photo=on_photo)
    answers, unreadable = ask(model, photos, questions)
    other_answers: dict[Place, Answers] = {}
    if against is not None:
        other_answers, unanswered = ask(against, photos, questions)
        # Both are measured on the same photos, or one could win by failing on the hard ones.
        missing = {each.entry: each for each in (*unanswered, *unreadable)}
        unreadable = tuple(missing[entry] for entry in sorted(missing))
        answers = leave_out(answers, missing)
        other_answers = leave_out(other_answers, missing)
    return Evaluation(
        model,
        against,
        photos=tuple(photos),
        unreadable=unreadable,
        threshold=threshold,
        answers=answers,
        figures=tuple(measure(each, model.labels) for each in answers.values()),
        other_figures=tuple(measure(each, model.labels) for each in other_answers.values()),
        comparisons=tuple(
            compare_answers(answers[place], other, seed=questions.seed)
            for place, other in other_answers.items()
        ),
    )
