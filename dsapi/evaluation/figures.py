"""Figures: probabilities and right labels in; how right, how sure and what is confused out.

`SingleLabelFigures` where each photo has one label, `MultiLabelFigures` where it has any number.
Called by ``dsapi evaluate`` and, for the figures on their cards, by the trainings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.answers import Answers, Place

#: Bins of the calibration error and the reliability diagram, as in Guo et al. 2017.
BINS = 15


@dataclass(frozen=True)
class LabelFigures:
    """One label; a figure is ``None`` where nothing was counted.

    Attributes:
        label: its name.
        count: answers about photos that show it.
        precision: share of right ones among the answers that name it.
        recall: share of `count` in whose answers it is named.
        average_precision: area under the curve of precision over recall, all thresholds.
    """

    label: str
    count: int
    precision: float | None
    recall: float | None
    average_precision: float | None


@dataclass(frozen=True)
class Confusion:
    """One label taken for another: how often, and which share of the right label's answers."""

    truth: str
    answer: str
    count: int
    share: float


@dataclass(frozen=True)
class CalibrationBin:
    """Answers whose probability is in one of 15 equal parts of 0 to 1, and how many are right."""

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
        calibration_error: expected calibration error: mean distance of probability and
            accuracy over 15 bins, weighted by their counts. The probabilities are those of the top
            labels; of a multi-label model, of all labels.
        labels: per label, in the model's order.
        bins: filled calibration bins.
    """

    place: Place
    count: int
    photos: int
    calibration_error: float
    labels: tuple[LabelFigures, ...]
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class SingleLabelFigures(Figures):
    """Figures of a model that tells which one label a photo has.

    Attributes:
        top1: right label first.
        top5: right label among the first five.
        balanced_top1: mean recall of the labels, each counting the same.
        mean_probability: of the top label.
        confusions: worst first, by share of the right label's answers.
    """

    top1: float
    top5: float
    balanced_top1: float
    mean_probability: float
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class MultiLabelFigures(Figures):
    """Figures of a model that tells which of many labels a photo has.

    Attributes:
        exact: exactly the right labels, none missing and none too many.
        micro_f1: harmonic mean of precision and recall, all labels' answers counted together.
        macro_f1: mean of the labels' harmonic means, each counting the same.
        mean_average_precision: mean of the labels' average precisions; no threshold in it.
    """

    exact: float
    micro_f1: float
    macro_f1: float
    mean_average_precision: float


AnyFigures = SingleLabelFigures | MultiLabelFigures


def measure_single_label(answers: Answers, labels: Sequence[str]) -> SingleLabelFigures:
    """Count everything about one kind of place; each photo has one label."""
    probabilities, truth = answers.probabilities, answers.truth.argmax(axis=1)
    _, among_five = find_hits(probabilities, truth)
    bins = measure_calibration(probabilities.max(axis=1), answers.right)
    by_label = measure_labels(
        answers.said, answers.truth, probabilities=probabilities, labels=labels
    )
    return SingleLabelFigures(
        place=answers.place,
        count=len(truth),
        photos=len(np.unique(answers.photo)),
        calibration_error=sum_up_calibration(bins),
        labels=by_label,
        bins=bins,
        top1=float(answers.right.mean()),
        top5=float(among_five.mean()),
        balanced_top1=_average(each.recall for each in by_label),
        mean_probability=float(probabilities.max(axis=1).mean()),
        confusions=_rank_confusions(count_confusions(answers), labels),
    )


def measure_multi_label(answers: Answers, labels: Sequence[str]) -> MultiLabelFigures:
    """Count everything about one kind of place; a photo has any number of labels.

    Labels that no photo shows do not count in the means; where no photo shows any, these are 0.
    """
    said, truth = answers.said, answers.truth
    shown = truth.any(axis=0)
    by_label = measure_labels(said, truth, probabilities=answers.probabilities, labels=labels)
    bins = measure_calibration(answers.probabilities.ravel(), truth.ravel())
    return MultiLabelFigures(
        place=answers.place,
        count=len(truth),
        photos=len(np.unique(answers.photo)),
        calibration_error=sum_up_calibration(bins),
        labels=by_label,
        bins=bins,
        exact=float(answers.right.mean()),
        micro_f1=float(_measure_f1(said.ravel(), truth.ravel())),
        macro_f1=_average(_measure_f1(said[:, shown], truth[:, shown])),
        mean_average_precision=_average(each.average_precision for each in by_label),
    )


def measure_labels(
    said: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
) -> tuple[LabelFigures, ...]:
    """Count how each label does.

    Args:
        said: which labels were answered, ``bool [n, labels]``.
        truth: which are right, likewise.
        probabilities: ``float32 [n, labels]``.
        labels: their names.
    """
    return tuple(
        LabelFigures(
            label,
            count=int(shown.sum()),
            precision=float(shown[named].mean()) if named.any() else None,
            recall=float(named[shown].mean()) if shown.any() else None,
            average_precision=_measure_average_precision(probability, shown),
        )
        for label, named, shown, probability in zip(
            labels, said.T, truth.T, probabilities.T, strict=True
        )
    )


def find_hits(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell where the one right label comes first, and where it is among the first five.

    Ties are ranked as in serving, by the labels' order.

    Args:
        probabilities: ``float32 [n, labels]``, or logits.
        labels: the right ones, ``int64 [n]``.

    Returns:
        Two of ``bool [n]``.
    """
    ranking = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    hits = ranking == labels[:, None]
    return hits[:, 0], hits.any(axis=1)


def count_confusions(answers: Answers) -> NDArray[np.int64]:
    """``int64 [labels, labels]``: rows are right labels, columns answers, one each."""
    labels = answers.truth.shape[1]
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (answers.truth.argmax(axis=1), answers.said.argmax(axis=1)), 1)
    return matrix


def measure_calibration(
    probability: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[CalibrationBin, ...]:
    """Mean probability and accuracy per bin; empty bins are left out."""
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


def _average(figures: Iterable[float | None]) -> float:
    """Mean of the labels that were counted; 0 if none was."""
    counted = [each for each in figures if each is not None]
    return float(np.mean(counted)) if counted else 0.0


def _measure_average_precision(
    probability: NDArray[np.float32], right: NDArray[np.bool_]
) -> float | None:
    """Sum of the precisions at each threshold, weighted by the recall that it adds."""
    if not right.any():
        return None
    order = np.argsort(-probability)
    # No threshold lies between answers of the same probability: only the last of them counts.
    last = np.append(np.diff(probability[order]) != 0, True)
    found = np.cumsum(right[order])[last]
    precision = found / (np.flatnonzero(last) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / right.sum())


def _measure_f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall along the first axis; 0 where both are empty."""
    both = (said & truth).sum(axis=0)
    return np.asarray(2 * both / np.maximum(said.sum(axis=0) + truth.sum(axis=0), 1), np.float64)


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
