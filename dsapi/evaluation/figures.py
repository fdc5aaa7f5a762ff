"""Figures: probabilities and right labels in; how right, how sure and what is confused out.

Called by ``dsapi evaluate``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.answers import Answers, Place

#: Bins of the calibration error and the reliability diagram, as in Guo et al. 2017.
BINS = 15


@dataclass(frozen=True)
class LabelFigures:
    """One label; precision or recall is ``None`` where nothing was counted.

    Attributes:
        label: its name.
        count: answers whose right label it is.
        precision: share of right ones among the answers with this top label.
        recall: share of `count` with this top label.
    """

    label: str
    count: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Confusion:
    """One label taken for another: how often, and which share of the right label's answers."""

    truth: str
    answer: str
    count: int
    share: float


@dataclass(frozen=True)
class CalibrationBin:
    """Answers whose top probability is in one of 15 equal parts of 0 to 1."""

    lowest: float
    count: int
    probability: float
    accuracy: float


@dataclass(frozen=True)
class Figures:
    """How a model does at one kind of place; shares are 0 to 1.

    Attributes:
        place: center, random or given.
        count: answers.
        photos: photos.
        top1: right label first.
        top5: right label among the first five.
        balanced_top1: mean recall of the labels, each counting the same.
        calibration_error: expected calibration error: mean distance of top probability and
            accuracy over 15 bins, weighted by their counts.
        mean_probability: of the top label.
        labels: per label, in the model's order.
        confusions: worst first, by share of the right label's answers.
        bins: filled calibration bins.
    """

    place: Place
    count: int
    photos: int
    top1: float
    top5: float
    balanced_top1: float
    calibration_error: float
    mean_probability: float
    labels: tuple[LabelFigures, ...]
    confusions: tuple[Confusion, ...]
    bins: tuple[CalibrationBin, ...]


def measure_figures(answers: Answers, labels: Sequence[str]) -> Figures:
    """Count everything about one kind of place."""
    probabilities, truth = answers.probabilities, answers.truth
    ranking = np.argsort(-probabilities, axis=1, kind="stable")
    top = ranking[:, 0]
    matrix = count_confusions(truth, top, len(labels))
    bins = measure_calibration(probabilities.max(axis=1), top == truth)
    by_label = _measure_labels(matrix, labels)
    recalls = [each.recall for each in by_label if each.recall is not None]
    return Figures(
        place=answers.place,
        count=len(truth),
        photos=len(np.unique(answers.photo)),
        top1=float((top == truth).mean()),
        top5=float((ranking[:, :5] == truth[:, None]).any(axis=1).mean()),
        balanced_top1=float(np.mean(recalls)),
        calibration_error=sum_up_calibration(bins),
        mean_probability=float(probabilities.max(axis=1).mean()),
        labels=tuple(by_label),
        confusions=_rank_confusions(matrix, labels),
        bins=bins,
    )


def count_confusions(
    truth: NDArray[np.int64], top: NDArray[np.int64], labels: int
) -> NDArray[np.int64]:
    """``int64 [labels, labels]``: rows are right labels, columns answers."""
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (truth, top), 1)
    return matrix


def measure_calibration(
    probability: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[CalibrationBin, ...]:
    """Mean top probability and accuracy per bin; empty bins are left out."""
    places = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        CalibrationBin(
            lowest=place / BINS,
            count=int((places == place).sum()),
            probability=float(probability[places == place].mean()),
            accuracy=float(right[places == place].mean()),
        )
        for place in np.unique(places).tolist()
    )


def sum_up_calibration(bins: Sequence[CalibrationBin]) -> float:
    """Expected calibration error: mean gap of probability and accuracy, bins by their counts."""
    gaps = (each.count * abs(each.probability - each.accuracy) for each in bins)
    return sum(gaps) / sum(each.count for each in bins)


def _measure_labels(matrix: NDArray[np.int64], labels: Sequence[str]) -> list[LabelFigures]:
    counts, answers, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    return [
        LabelFigures(
            label,
            count=int(counts[index]),
            precision=float(right[index] / answers[index]) if answers[index] else None,
            recall=float(right[index] / counts[index]) if counts[index] else None,
        )
        for index, label in enumerate(labels)
    ]


def _rank_confusions(matrix: NDArray[np.int64], labels: Sequence[str]) -> tuple[Confusion, ...]:
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    counts = matrix.sum(axis=1)
    found = [
        Confusion(
            labels[truth],
            labels[answer],
            count=int(wrong[truth, answer]),
            share=float(wrong[truth, answer] / counts[truth]),
        )
        for truth, answer in zip(*np.nonzero(wrong), strict=True)
    ]
    return tuple(sorted(found, key=lambda each: (-each.share, -each.count, each.truth)))
