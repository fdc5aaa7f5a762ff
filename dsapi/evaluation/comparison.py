"""Two models on the same photos: how they differ, and whether chance explains it.

Enters: the answers of both at the same points. Leaves: the difference in accuracy with a
confidence interval and a p-value. Called by ``dsapi evaluate --against``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.answers import Answers, Place

_RESAMPLES = 9999


@dataclass(frozen=True)
class Comparison:
    """The other model against the first, at one kind of place.

    Attributes:
        place: center, random or given.
        accuracy: share of the first model's answers that are right, 0 to 1: the right label on top
            or, of a multi-label model, exactly the right labels.
        other_accuracy: of the other one.
        difference: other minus first.
        interval: 95 % confidence interval of `difference`, by bootstrap over photos; ``None`` where
            the photos cannot tell: there is one only, or they all have the same difference.
        only_first_right: photos that only the first got right (one answer a photo).
        only_other_right: photos that only the other got right.
        p_value: exact McNemar test of these two, two-sided.
    """

    place: Place
    accuracy: float
    other_accuracy: float
    difference: float
    interval: tuple[float, float] | None
    only_first_right: int
    only_other_right: int
    p_value: float


def compare_answers(first: Answers, other: Answers, *, seed: int) -> Comparison:
    """Compare two models that were asked at the same points.

    Points of one photo are not independent: the interval draws whole photos, and the test takes
    the first point of each.
    """
    from scipy.stats import binomtest

    first_right, other_right = first.right, other.right
    difference = other_right.astype(float) - first_right
    _, starts = np.unique(first.photo, return_index=True)
    lost = int((first_right & ~other_right)[starts].sum())
    won = int((other_right & ~first_right)[starts].sum())
    return Comparison(
        place=first.place,
        accuracy=float(first_right.mean()),
        other_accuracy=float(other_right.mean()),
        difference=float(difference.mean()),
        interval=_estimate_interval(difference, first.photo, seed=seed),
        only_first_right=lost,
        only_other_right=won,
        p_value=float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
    )


def _estimate_interval(
    difference: NDArray[np.floating], photo: NDArray[np.int64], *, seed: int
) -> tuple[float, float] | None:
    """Percentile bootstrap over photos of the mean difference."""
    from scipy.stats import bootstrap

    _, place = np.unique(photo, return_inverse=True)
    sums, counts = np.bincount(place, difference), np.bincount(place)
    if np.ptp(sums / counts) == 0:
        # However often they are drawn, their mean stays: that is no certainty.
        return None
    found = bootstrap(
        (sums, counts),
        lambda total, number, axis: total.sum(axis=axis) / number.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=500,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
