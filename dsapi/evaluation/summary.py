"""The JSON of an evaluation: its fields, named once.

Enters: an `Evaluation`. Leaves: a pydantic model. Called by ``dsapi evaluate --json``.
"""

from pydantic import BaseModel

from dsapi.evaluation.comparison import Comparison
from dsapi.evaluation.evaluation import Evaluation
from dsapi.evaluation.figures import AnyFigures


class UnreadablePhoto(BaseModel):
    """A photo, or a point of one, that was left out, and why."""

    file: str
    reason: str


class Summary(BaseModel):
    """What ``dsapi evaluate --json`` prints; shares are 0 to 1.

    `photos` were asked about, of which `unreadable_photos` got no answer; `unreadable` names what
    counts nowhere, a line for each point where a table names several of a photo.
    """

    model: str
    version: str
    photos: int
    unreadable_photos: int
    unreadable: list[UnreadablePhoto]
    threshold: float | None
    figures: list[AnyFigures]
    against: str | None
    against_model: str | None
    against_figures: list[AnyFigures]
    comparisons: list[Comparison]


def summarize(evaluation: Evaluation) -> Summary:
    """Everything but the single answers."""
    return Summary(
        model=evaluation.model.name,
        version=evaluation.model.version,
        photos=evaluation.photo_count,
        unreadable_photos=evaluation.unreadable_count,
        unreadable=[
            UnreadablePhoto(file=str(evaluation.photos[each.entry].path), reason=each.reason)
            for each in evaluation.unreadable
        ],
        threshold=evaluation.threshold,
        figures=list(evaluation.figures),
        against=evaluation.other.version if evaluation.other else None,
        against_model=evaluation.other.name if evaluation.other else None,
        against_figures=list(evaluation.other_figures),
        comparisons=list(evaluation.comparisons),
    )
