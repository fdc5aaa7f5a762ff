"""Ranking: a model's scores in, its best labels out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import ModelError

Activation = Literal["none", "softmax", "sigmoid"]
#: By how much probabilities computed in float32, or in lower precision by setting, may be off.
PROBABILITY_TOLERANCE = 0.01


@dataclass(frozen=True)
class RankedLabel:
    """A label with the probability that the model gives it, 0 to 1."""

    label: str
    probability: float


def activate(scores: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Turn a graph's scores into probabilities.

    Args:
        scores: ``float32 [n, labels]``.
        activation: ``none``: the graph ends in probabilities; ``softmax``: one label is right;
            ``sigmoid``: each label is right or not by itself.

    Returns:
        ``float32 [n, labels]``, 0 to 1.
    """
    if activation == "none":
        return scores
    if activation == "sigmoid":
        # 1 / (1 + exp(-x)), written so that no x overflows.
        probabilities = 0.5 * (1.0 + np.tanh(0.5 * scores))
    else:
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return np.asarray(probabilities, dtype=np.float32)


def are_probabilities(values: NDArray[np.float32]) -> bool:
    """Tell whether all of these are 0 to 1, give or take 0.01; NaN is not."""
    # NaN compares false with everything.
    return bool(np.all(np.abs(values - 0.5) <= 0.5 + PROBABILITY_TOLERANCE))


def rank_labels(
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    *,
    top: int,
    min_probability: float,
) -> tuple[RankedLabel, ...]:
    """Pick the best labels, best first, ties by label index.

    Args:
        probabilities: ``float32 [labels]``; what is a little outside of 0 to 1 is put inside.
        labels: one per probability.
        top: how many at most.
        min_probability: labels below this are left out.

    Raises:
        ModelError: these are no probabilities: a graph may fail on a picture long after the
            warm-up.
    """
    if not are_probabilities(probabilities):
        raise ModelError(
            "the model's scores are no probabilities "
            f"(from {probabilities.min():.4g} to {probabilities.max():.4g})"
        )
    probabilities = probabilities.clip(0.0, 1.0)
    best = np.argsort(-probabilities, kind="stable")[:top]
    return tuple(
        RankedLabel(labels[index], float(probabilities[index]))
        for index in best
        if probabilities[index] >= min_probability
    )
