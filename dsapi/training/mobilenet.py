"""MobileNetV2 1.0 with batch normalization folded into its convolutions.

Enters: the ImageNet weights file (``.npz``, keys ``layer/variable`` in the names of
``keras.applications.MobileNetV2``). Leaves: a dictionary of kernels and biases, and Keras
models of any run of consecutive blocks. Called by the themes training, which keeps the lower
blocks frozen and caches what they give.

Why not ``keras.applications``: its normalization layers would run as separate operations in
every training step. Folded once, the same function costs 40 % less time, and a frozen graph
needs no rewriting. The layer names stay those of ``keras.applications``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

Folded = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Layer name to its kernel and bias."""

BATCH_NORMALIZATION_EPSILON = 1e-3
"""The value of ``keras.applications.MobileNetV2``."""

OUT_CHANNELS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
"""Channels after block 0 to 16 (Sandler et al. 2018, table 2)."""

STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
LAST_BLOCK = len(OUT_CHANNELS) - 1
FEATURES = 1280
CLASSES = 1000


def fold_weights(path: Path) -> Folded:
    """Read the weights file and fold each normalization into its convolution.

    Depthwise kernels come as ``[3, 3, channels, 1]``, others as ``[h, w, in, out]``;
    ``predictions`` is the dense ImageNet layer, ``[1280, 1000]``.
    """
    folded: Folded = {}
    with np.load(path) as arrays:
        values = {key: arrays[key].astype(np.float32) for key in arrays.files}
    for key, kernel in values.items():
        layer, variable = key.rsplit("/", 1)
        if variable != "kernel":
            continue
        if f"{layer}/bias" in values:
            folded[layer] = (kernel, values[f"{layer}/bias"])
            continue
        prefix = _normalization_of(layer)
        scale = values[f"{prefix}/gamma"] / np.sqrt(
            values[f"{prefix}/moving_variance"] + BATCH_NORMALIZATION_EPSILON
        )
        bias = values[f"{prefix}/beta"] - values[f"{prefix}/moving_mean"] * scale
        shape = (-1, 1) if layer.endswith("_depthwise") else (-1,)
        folded[layer] = (kernel * scale.reshape(shape), bias)
    return folded


def _normalization_of(layer: str) -> str:
    return {"Conv1": "bn_Conv1"}.get(layer, f"{layer}_{'bn' if layer == 'Conv_1' else 'BN'}")


def build_blocks(first: int, last: int, *, side_px: int = 224) -> keras.Model:
    """Build blocks ``first`` to ``last``, both included, as one model without weights.

    Block 0 includes the stem, which takes RGB scaled to -1..1; block 16 includes ``Conv_1``,
    so its output is ``[n, h, w, 1280]``. Other blocks take and give their feature maps.
    """
    import keras

    inputs = keras.Input(_input_shape(first, side_px))
    x: Any = inputs
    for block in range(first, last + 1):
        x = _block(x, block)
    if last == LAST_BLOCK:
        x = _activate(keras.layers.Conv2D(FEATURES, 1, name="Conv_1")(x), "out_relu")
    return keras.Model(inputs, x, name=f"blocks_{first}_{last}")


def _input_shape(first: int, side_px: int) -> tuple[int, int, int]:
    if first == 0:
        return side_px, side_px, 3
    stride = 2 * int(np.prod(STRIDES[:first]))
    return side_px // stride, side_px // stride, OUT_CHANNELS[first - 1]


def _activate(x: Any, name: str) -> Any:
    # Named, as Keras would number them on through a process and the graph's bytes with them.
    import keras

    return keras.layers.ReLU(6.0, name=name)(x)


def _block(x: Any, block: int) -> Any:
    from keras import layers

    name = "expanded_conv" if block == 0 else f"block_{block}"
    stride = STRIDES[block]
    inputs = x
    if block == 0:
        x = _activate(
            layers.Conv2D(32, 3, strides=2, padding="same", name="Conv1")(x), "Conv1_relu"
        )
    else:
        x = _activate(
            layers.Conv2D(6 * x.shape[-1], 1, name=f"{name}_expand")(x), f"{name}_expand_relu"
        )
    depthwise = layers.DepthwiseConv2D(3, strides=stride, padding="same", name=f"{name}_depthwise")
    x = _activate(depthwise(x), f"{name}_depthwise_relu")
    x = layers.Conv2D(OUT_CHANNELS[block], 1, name=f"{name}_project")(x)
    if block and stride == 1 and inputs.shape[-1] == x.shape[-1]:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def scale_pixels(pixels: Any, inner_px: int) -> Any:
    """Scale RGB 0-255 ``[n, h, w, 3]`` to -1..1 at ``[n, inner_px, inner_px, 3]``.

    Why smaller than the crop: see "Size" in docs/training.md.
    """
    import tensorflow as tf

    scaled = tf.cast(pixels, tf.float32) / 127.5 - 1.0
    if scaled.shape[1] == inner_px:
        return scaled
    return tf.compat.v1.image.resize_bilinear(scaled, (inner_px, inner_px), half_pixel_centers=True)


def set_weights(model: keras.Model, folded: Folded) -> None:
    """Give every layer of ``model`` the kernel and bias of its name."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(list(folded[layer.name]))


def get_weights(model: keras.Model) -> Folded:
    """Take the kernels and biases out of ``model``, by layer name."""
    return {
        layer.name: tuple(np.asarray(w) for w in layer.get_weights())  # type: ignore[misc]
        for layer in model.layers
        if layer.weights
    }
