"""A classifier on any backbone of ``keras.applications``, its preprocessing included.

Enters: `ImageConfig`, where the weights come from, the number of labels. Leaves: a Keras model
from RGB 0-255 to logits. Called by the training on one's own labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dsapi.errors import StartupError
from dsapi.training.images.config import ImageConfig


@dataclass(frozen=True)
class Classifier:
    """The whole network, and the backbone in it."""

    model: Any
    backbone: Any


def build_classifier(config: ImageConfig, *, weights: str, labels: int) -> Classifier:
    """Build the network: input ``[n, size, size, 3]``, RGB 0-255; output logits ``[n, labels]``.

    ``weights`` is ``none`` (random), ``imagenet`` (Keras downloads them), or a file: ``.npz``
    with keys ``layer/variable``, or ``.h5`` / ``.keras`` / ``.weights.h5`` of Keras.
    Batch normalization always runs in inference mode, as small batches would spoil it.

    Raises:
        StartupError: There is no such backbone or the weights do not fit it.
    """
    import keras

    make, preprocess = find_backbone(config.backbone)
    shape = (config.size, config.size, 3)
    named = "imagenet" if weights == "imagenet" else None
    try:
        backbone = make(
            include_top=False, weights=named, input_shape=shape, **config.backbone_options
        )
    except (TypeError, ValueError) as error:
        raise StartupError(f"cannot build {config.backbone}: {error}") from error
    if weights not in {"imagenet", "none"}:
        load_weights(backbone, Path(weights))
    inputs = keras.Input(shape, name="image")
    features = backbone(preprocess(inputs), training=False)
    features = keras.layers.GlobalAveragePooling2D()(features)
    features = keras.layers.Dropout(config.dropout, seed=config.seed)(features)
    logits = keras.layers.Dense(labels, name="logits")(features)
    return Classifier(keras.Model(inputs, logits), backbone)


def find_backbone(name: str) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """Find a network of ``keras.applications`` by name, and the scaling of its input.

    Raises:
        StartupError: There is none of that name; the message lists those there are.
    """
    import keras

    found: dict[str, ModuleType] = {}
    for _, module in inspect.getmembers(keras.applications, inspect.ismodule):
        if hasattr(module, "preprocess_input"):
            found |= {key: module for key, _ in inspect.getmembers(module, callable)}
    known = {key: module for key, module in found.items() if key[0].isupper()}
    if name not in known:
        raise StartupError(f"no backbone {name!r}; there are {', '.join(sorted(known))}")
    return getattr(known[name], name), known[name].preprocess_input


def load_weights(backbone: Any, path: Path) -> None:
    """Fill ``backbone`` from a file; every layer with weights must be in it.

    Raises:
        StartupError: The file is missing, lacks a layer, or its shapes differ.
    """
    if not path.is_file():
        raise StartupError(f"there is no weights file {path}; give FILE, imagenet or none")
    try:
        if path.suffix != ".npz":
            backbone.load_weights(path)
            return
        with np.load(path) as arrays:
            for layer in backbone.layers:
                if layer.weights:
                    layer.set_weights(
                        [arrays[f"{layer.name}/{w.name}"].astype("float32") for w in layer.weights]
                    )
    except (KeyError, ValueError, OSError) as error:
        raise StartupError(f"weights {path} do not fit the backbone: {error}") from error
