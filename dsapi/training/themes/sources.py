"""Sources of training photos: folds that leave whole sources out, and weights between them.

Enters: label and source of every photo. Leaves: a fold number per photo, a sampling weight per
photo, and the leave-sources-out figure. Called by the themes training and its report.

A photo's source is where it was taken from (a shop, a data set). A network that is tested on
the sources it learned from looks better than it is: users' photos are always another source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.figures import find_hits

LEAST_OF_SOURCE = 25
"""Photos of a theme that a source must have to count as a theme-source pair."""

LEAST_OF_OTHERS = 80
"""Photos of the theme that must come from other sources."""


@dataclass(frozen=True)
class Pair:
    """A theme and a source that was left out, with the share of its photos answered rightly."""

    label: int
    source: str
    photos: int
    top1: float
    top5: float


def assign_folds(
    labels: NDArray[np.int64], sources: Sequence[str], *, folds: int
) -> NDArray[np.int64]:
    """Give every photo a fold, whole sources together, int64 ``[n]`` of 0 to folds - 1.

    Sources that share a theme go to different folds where they can, largest first, so that
    leaving a fold out takes as little of each theme away as possible. Photos of unknown source
    ("") are each their own source.
    """
    names = [source or f"photo {index}" for index, source in enumerate(sources)]
    count = int(labels.max()) + 1
    totals = np.bincount(labels, minlength=count).clip(1)
    held: dict[str, NDArray[np.float64]] = {}
    for name, label in zip(names, labels, strict=True):
        held.setdefault(name, np.zeros(count))[label] += 1
    filled = np.zeros((folds, count))
    fold_of: dict[str, int] = {}
    for name in sorted(held, key=lambda key: (-held[key].sum(), key)):
        cost = (filled * held[name] / totals).sum(axis=1) + 1e-4 * filled.sum(axis=1)
        fold_of[name] = int(np.argmin(cost))
        filled[fold_of[name]] += held[name]
    return np.array([fold_of[name] for name in names], np.int64)


def sampling_weights(
    labels: NDArray[np.int64], sources: Sequence[str], *, balance: float
) -> NDArray[np.float64]:
    """Give the chance of drawing each photo, float64 ``[n]``, summing to 1.

    Every label is equally likely. Within a label a source's share is its number of photos to
    the power of ``1 - balance``: 0 leaves photos equal, 1 makes sources equal.
    """
    counts = Counter(zip(labels.tolist(), sources, strict=True))
    keys = zip(labels.tolist(), sources, strict=True)
    weights = np.array([float(counts[key]) ** -balance for key in keys])
    per_label = np.bincount(labels, weights)
    return np.asarray(weights / per_label[labels] / np.count_nonzero(per_label), np.float64)


def score_pairs(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], sources: Sequence[str]
) -> tuple[Pair, ...]:
    """Score every theme-source pair from probabilities given while that source was left out.

    ``probabilities`` is float32 ``[n, labels]``, or logits, row by row what a network said that had
    not seen the row's source. Worst pair first.
    """
    first, five = find_hits(probabilities, labels)
    totals = Counter(labels.tolist())
    counts = Counter(zip(labels.tolist(), sources, strict=True))
    names = np.array(sources)
    pairs = []
    for (label, source), count in counts.items():
        if source and count >= LEAST_OF_SOURCE and totals[label] - count >= LEAST_OF_OTHERS:
            rows = (labels == label) & (names == source)
            pairs.append(Pair(label, source, count, first[rows].mean(), five[rows].mean()))
    return tuple(sorted(pairs, key=lambda pair: (pair.top1, pair.label, pair.source)))


def mean_of_pairs(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Give the mean top-1 and top-5 over ``pairs``, each pair counting once, in 0..1."""
    if not pairs:
        return float("nan"), float("nan")
    return (
        float(np.mean([pair.top1 for pair in pairs])),
        float(np.mean([pair.top5 for pair in pairs])),
    )
