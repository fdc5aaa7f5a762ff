"""A head by ridge regression on the features of a finished network.

Enters: features and labels of photos. Leaves: kernel and bias. Called by the themes training.

The fitted head has grown with the network and is surest where the training photos were; this
one comes from the same features by least squares (Hoerl & Kennard 1970). They err on different
photos, and as both are linear, so is their mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsapi.training.themes.efficientnet import Layer

PENALTY = 0.3
"""Of the weights' squares, in parts of the features' mean square."""

SCALE = 10.0
"""Makes logits of answers between 0 and 1; both constants were chosen on left-out sources."""

LEAST_DEVIATION = 0.1
"""Added to each feature's standard deviation, so that those nearly always 0 are not blown up."""


def fit_ridge_head(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float64],
    themes: int,
) -> Layer:
    """Give kernel ``[features, themes]`` and bias ``[themes]`` of logits.

    ``features`` is float32 ``[n, features]``, ``weights`` what each of the n photos counts;
    only their ratios matter.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0) + LEAST_DEVIATION
    ones = np.ones((len(features), 1))
    inputs = np.concatenate([(features - mean) / deviation, ones], axis=1)
    weighed = inputs * (weights / weights.mean())[:, None]
    square = weighed.T @ inputs
    penalty = PENALTY * np.trace(square) / len(square) * np.eye(len(square))
    solution = np.linalg.solve(square + penalty, weighed.T @ np.eye(themes)[labels])
    kernel = SCALE * solution[:-1] / deviation[:, None]
    bias = SCALE * solution[-1] - mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)
