"""The finished themes network: pretrained lower blocks, fitted upper ones, head, class table.

Enters: fitted weights. Leaves: a frozen graph. Called by the themes training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.training.freezing import FrozenGraph, freeze_network
from dsapi.training.themes import efficientnet
from dsapi.training.themes.class_table import LEAST_SHARE
from dsapi.training.themes.fitting import Fitted


@dataclass(frozen=True)
class Fusion:
    """How class table and head are joined.

    Attributes:
        shares: shares of themes of each group of ImageNet classes, float32 ``[groups, themes]``.
        share_weight: how much the logarithm of the table's theme shares counts.
        temperature: what the sum of both is divided by.
    """

    shares: NDArray[np.float32]
    share_weight: float
    temperature: float


def average(fits: Sequence[Fitted]) -> Fitted:
    """Give the network whose every weight is the mean over ``fits``."""

    def mean(layers: list[efficientnet.Layer]) -> efficientnet.Layer:
        kernel, bias = (
            np.asarray(np.mean(np.stack(arrays), axis=0), np.float32)
            for arrays in zip(*layers, strict=True)
        )
        return kernel, bias

    blocks = {name: mean([fit.blocks[name] for fit in fits]) for name in fits[0].blocks}
    return Fitted(blocks, mean([fit.head for fit in fits]), mean([fit.groups for fit in fits]))


def mix_layers(
    layer: efficientnet.Layer, other: efficientnet.Layer, *, share: float
) -> efficientnet.Layer:
    """Move kernel and bias of ``layer`` towards those of ``other``, by ``share`` of the way."""
    kernel, bias = (
        np.asarray((1 - share) * value + share * aim, np.float32)
        for value, aim in zip(layer, other, strict=True)
    )
    return kernel, bias


def mix_in_pretrained(
    fitted: Fitted, folded: efficientnet.Folded, groups: efficientnet.Layer, *, share: float
) -> Fitted:
    """Move every weight that had a pretrained value back towards it, by ``share`` of the way.

    The network keeps what it learned of known sources nearly whole and forgets less of what
    ImageNet taught it, which helps with unknown ones (Wortsman et al. 2022, "Robust fine-tuning
    of zero-shot models"). The head of the themes has no pretrained value and stays.
    """
    blocks = {
        name: mix_layers(layer, folded[name], share=share) for name, layer in fitted.blocks.items()
    }
    return Fitted(blocks, fitted.head, mix_layers(fitted.groups, groups, share=share))


def freeze_themes(
    fitted: Fitted,
    fusion: Fusion,
    path: Path,
    *,
    folded: efficientnet.Folded,
    side_px: int,
    inner_px: int,
) -> FrozenGraph:
    """Write the graph: ``image`` ``[n, side, side, 3]``, RGB 0-255, to ``probabilities``."""
    network = _build_network(fitted, fusion, folded=folded, inner_px=inner_px)
    shape = (None, side_px, side_px, 3)
    return freeze_network(network, path, input_shape=shape, input_name="image")


def _build_network(
    fitted: Fitted, fusion: Fusion, *, folded: efficientnet.Folded, inner_px: int
) -> Callable[[Any], Any]:
    import tensorflow as tf

    network = efficientnet.build_blocks(0, efficientnet.LAST_BLOCK, side_px=inner_px)
    efficientnet.set_weights(network, {**folded, **fitted.blocks})
    kernel, bias = (value / np.float32(fusion.temperature) for value in fitted.head)
    group_kernel, group_bias = fitted.groups
    share_weight = np.float32(fusion.share_weight / fusion.temperature)

    def classify(pixels: Any) -> Any:
        features = tf.reduce_mean(network(efficientnet.scale_pixels(pixels, inner_px)), [1, 2])
        logits = tf.matmul(features, kernel) + bias
        if share_weight:
            groups = tf.nn.softmax(tf.matmul(features, group_kernel) + group_bias)
            shares = tf.matmul(groups, fusion.shares)
            logits += share_weight * tf.math.log(shares + LEAST_SHARE)
        return tf.nn.softmax(logits)

    return classify
