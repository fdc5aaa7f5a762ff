"""Groups of ImageNet's 1000 classes that speak for the same themes and look alike.

Enters: the ImageNet layer of the pretrained network and the table of which theme each class
speaks for. Leaves: a smaller layer, one output a group. Called by the themes training.

The 1000 classes would take a quarter of the graph, and 118 breeds of dogs say no more about a
theme than a few groups of dogs. A group never mixes classes that the table treats differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.training.calibration import softmax
from dsapi.training.themes.efficientnet import Layer

THEME_DISTANCE = 4.0
"""How far apart classes of different themes lie, where unlike classes lie about 1.4 apart."""


@dataclass(frozen=True)
class ClassGroups:
    """Groups of classes.

    Attributes:
        members: float32 ``[1000, groups]``, 1 where a class is in a group.
        layer: kernel ``[1280, groups]`` and bias ``[groups]`` that approximate the logarithm of
            the sum of the members' exponentials; training sharpens it.
        class_table: float32 ``[1000, themes]``, as given.
    """

    members: NDArray[np.float32]
    layer: Layer
    class_table: NDArray[np.float32]

    @property
    def table(self) -> NDArray[np.float32]:
        """Which theme each group speaks for, float32 ``[groups, themes]`` of 0 and 1."""
        return np.asarray(self.members.T @ self.class_table > 0, np.float32)

    def sum_probabilities(self, class_scores: NDArray[np.float16]) -> NDArray[np.float32]:
        """Turn class scores ``[n, 1000]`` into probabilities of groups ``[n, groups]``."""
        return np.asarray(softmax(class_scores.astype(np.float32)) @ self.members, np.float32)


def group_classes(
    predictions: Layer,
    class_table: NDArray[np.float32],
    *,
    count: int,
) -> ClassGroups:
    """Cluster the classes by the directions of their weights (Ward 1963) into ``count`` groups.

    ``predictions`` is kernel ``[1280, 1000]`` and bias ``[1000]`` of the pretrained network.
    There may be fewer groups where several classes are equally far apart.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    kernel, bias = predictions
    centered = kernel - kernel.mean(axis=1, keepdims=True)
    directions = (centered / np.linalg.norm(centered, axis=0)).T
    themes = class_table / class_table.sum(axis=1, keepdims=True).clip(1)
    points = np.concatenate([directions, THEME_DISTANCE * themes], axis=1)
    group_of = fcluster(linkage(points, "ward"), count, "maxclust") - 1
    members = np.eye(group_of.max() + 1, dtype=np.float32)[group_of]
    sizes = members.sum(axis=0)
    layer = (
        np.asarray(kernel @ members / sizes, np.float32),
        np.asarray(bias @ members / sizes + np.log(sizes), np.float32),
    )
    return ClassGroups(members, layer, class_table)
