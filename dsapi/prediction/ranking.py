"""Ranking: a model's scores in, its best labels out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import ModelError

Activation = Literal["none", "softmax", "sigmoid"]


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


def rank_labels(
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    *,
    top: int,
    min_probability: float,
) -> tuple[RankedLabel, ...]:
    """Pick the best labels, best first, ties by label index.

    Args:
        probabilities: ``float32 [labels]``.
        labels: one per probability.
        top: how many at most.
        min_probability: labels below this are left out.

    Raises:
        ModelError: a probability is NaN or infinite.
    """
    if not np.isfinite(probabilities).all():
        raise ModelError("the model's scores are not finite")
    best = np.argsort(-probabilities, kind="stable")[:top]
    return tuple(
        RankedLabel(labels[index], float(probabilities[index]))
        for index in best
        if probabilities[index] >= min_probability
    )
