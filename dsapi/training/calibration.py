"""Honest probabilities: how sure a classifier says it is against how often it is right.

Enters: logits and true labels. Leaves: a temperature to divide logits by, and the expected
calibration error. Called at the end of every training, on what was held out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.figures import measure_calibration, sum_up_calibration
from dsapi.prediction.ranking import activate


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits ``[n, labels]`` into probabilities of the same shape, as serving does."""
    return activate(logits, "softmax")


def fit_temperature(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Find the temperature of the lowest mean log loss (Guo et al. 2017), 0.2 to 5.

    ``weights`` float64 ``[n]`` counts photos more or less; all alike without it.
    """
    counted = np.ones(len(labels)) if weights is None else weights
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        probabilities = softmax(logits / np.float32(temperature))[rows, labels]
        return float(-np.average(np.log(probabilities + 1e-12), weights=counted))

    candidates = np.exp(np.linspace(np.log(0.2), np.log(5), 161))
    return float(min(candidates, key=loss))


def expected_calibration_error(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    """Give the mean gap between confidence and accuracy as ``dsapi evaluate`` does, 0..1."""
    right = np.asarray(probabilities.argmax(axis=1) == labels)
    return sum_up_calibration(measure_calibration(probabilities.max(axis=1), right))


def label_calibration_error(probabilities: NDArray[np.float32], shown: NDArray[np.bool_]) -> float:
    """Give the same of a multi-label classifier, whose every label has a probability, 0..1.

    Both are ``[n, labels]``. A "yes" that is too sure and a "no" that is not sure enough do not
    make up for each other.
    """
    return sum_up_calibration(measure_calibration(probabilities.ravel(), shown.ravel()))
