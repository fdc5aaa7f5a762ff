"""One evaluation from photos to figures: the parts of this package in their order.

Enters: a loaded model, or two, and labeled photos. Leaves: an `Evaluation`. Called by
``dsapi evaluate``, and by whoever wants the figures in Python.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsapi.evaluation.answers import (
    Answers,
    Place,
    Questions,
    Unreadable,
    ask_model,
    leave_out,
)
from dsapi.evaluation.comparison import Comparison, compare_answers
from dsapi.evaluation.figures import Figures, measure_figures
from dsapi.evaluation.photos import LabeledPhoto
from dsapi.prediction.model import Model
from dsapi.prediction.picture import Limits


@dataclass(frozen=True)
class Evaluation:
    """What was found out about a model.

    Attributes:
        model: as loaded.
        other: the model it was compared with, if any.
        photos: what was asked about.
        unreadable: photos that the core refused, or on which one of the models failed; they count
            nowhere.
        answers: of the model, by place.
        figures: of the model, one per place.
        other_figures: of the other model, likewise.
        comparisons: one per place.
    """

    model: Model
    other: Model | None
    photos: tuple[LabeledPhoto, ...]
    unreadable: tuple[Unreadable, ...]
    answers: dict[Place, Answers]
    figures: tuple[Figures, ...]
    other_figures: tuple[Figures, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


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
    no figures.
    """
    answers, unreadable = ask_model(
        model, photos, questions, limits=limits, threads=threads, on_photo=on_photo
    )
    other_answers: dict[Place, Answers] = {}
    if against is not None:
        other_answers, unanswered = ask_model(
            against, photos, questions, limits=limits, threads=threads, on_photo=on_photo
        )
        # Both are measured on the same photos, or one could win by failing on the hard ones.
        missing = {each.photo: each for each in (*unanswered, *unreadable)}
        unreadable = tuple(missing[photo] for photo in sorted(missing))
        answers = leave_out(answers, missing)
        other_answers = leave_out(other_answers, missing)
    return Evaluation(
        model,
        against,
        photos=tuple(photos),
        unreadable=unreadable,
        answers=answers,
        figures=tuple(measure_figures(each, model.labels) for each in answers.values()),
        other_figures=tuple(measure_figures(each, model.labels) for each in other_answers.values()),
        comparisons=tuple(
            compare_answers(answers[place], other, seed=questions.seed)
            for place, other in other_answers.items()
        ),
    )
