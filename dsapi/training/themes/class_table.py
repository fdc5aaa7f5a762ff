"""What ImageNet's 1000 classes say about the themes.

Enters: the table written by hand (``imagenet_themes.yaml``), class scores of training photos.
Leaves: for each class the share of each theme. Called by the themes training; the shares become
part of the graph.

The table speaks for things no training photo shows: a teddy is a toy though all toys to learn
from are bricks. Where training photos show a class often, they correct the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.training.calibration import softmax
from dsapi.training.themes.efficientnet import CLASSES

TABLE = Path(__file__).with_name("imagenet_themes.yaml")

PRIOR = 300.0
"""Photos of a group that the table written by hand counts as."""

LEAST_SHARE = 1e-3
"""Added before the logarithm, so that no theme is ever ruled out by its classes alone."""


def read_class_table(labels: Sequence[str]) -> NDArray[np.float32]:
    """Read which theme each ImageNet class speaks for, float32 ``[1000, labels]`` of 0 and 1.

    Themes of the table that are not in ``labels`` are skipped, labels it lacks stay empty.
    """
    import yaml

    table = np.zeros((CLASSES, len(labels)), np.float32)
    for theme, entries in yaml.safe_load(TABLE.read_text("utf-8")).items():
        if theme not in labels:
            continue
        for entry in entries:
            first, last = (str(entry).split("-") * 2)[:2]
            table[int(first) : int(last) + 1, labels.index(theme)] = 1
    return table


def describe_gaps(labels: Sequence[str]) -> str | None:
    """Tell if the table knows too few of the labels to be of use; each is a theme by its name."""
    known = read_class_table(labels).sum(axis=0).tolist()
    missing = [label for label, found in zip(labels, known, strict=True) if not found]
    if len(missing) <= len(labels) / 2:
        return None
    return (
        f"{len(missing)} of {len(labels)} labels are no theme of {TABLE.name}, such as "
        f"{missing[0]!r}: ImageNet's classes say nothing of them; name labels as there, or use "
        "`dsapi train image`"
    )


def learn_shares(
    table: NDArray[np.float32],
    groups: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float64],
    prior: float = PRIOR,
) -> NDArray[np.float32]:
    """Give each group's shares of themes, float32 ``[groups, themes]``, rows summing to 1.

    ``table`` ``[groups, themes]`` counts as ``prior`` photos a group; each training photo, with
    probabilities ``groups`` ``[n, groups]`` and weighed so that the mean weight is 1, adds its
    probability of a group to its theme. Groups that the table leaves out start undecided.
    """
    themes = table.shape[1]
    rows = table.sum(axis=1, keepdims=True)
    written = np.where(rows > 0, table / rows.clip(1), 1 / themes)
    counted = groups * (weights * len(labels))[:, None]
    counts = counted.T @ np.eye(themes, dtype=np.float32)[labels]
    shares = (counts + prior * written) / (counts.sum(axis=1, keepdims=True) + prior)
    return np.asarray(shares, np.float32)


def score_themes(
    group_scores: NDArray[np.float32], shares: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Turn scores of groups ``[n, groups]`` into logarithms of theme shares ``[n, themes]``."""
    return np.asarray(np.log(softmax(group_scores) @ shares + LEAST_SHARE), np.float32)
