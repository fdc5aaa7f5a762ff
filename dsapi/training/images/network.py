"""A classifier on any backbone of ``keras.applications``, its preprocessing included.

Enters: `ImageConfig`, where the weights come from, the number of labels. Leaves: a network
from RGB 0-255 to logits. Called by the training on one's own labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError, first_line
from dsapi.training.images.config import ImageConfig

_MOMENTUM = 0.9


class Classifier:
    """A backbone and a new layer behind it: RGB 0-255 ``[n, side, side, 3]`` in, logits out.

    Attributes:
        backbone: of ``keras.applications``, without its own head.
        head: mean over the picture, dropout and the new layer.
    """

    def __init__(
        self,
        backbone: Any,
        head: Any,
        *,
        preprocess: Callable[[Any], Any],
        learns_normalization: bool,
    ) -> None:
        """Put the parts together; `preprocess` scales the backbone's input."""
        self.backbone = backbone
        self.head = head
        self._preprocess = preprocess
        self._learns_normalization = learns_normalization

    def __call__(self, pixels: Any, *, training: bool = False) -> Any:
        """Give logits ``float32 [n, labels]``."""
        import keras

        scaled = self._preprocess(keras.ops.convert_to_tensor(pixels))
        # Each part is told by itself: a Keras model that is called for training tells its parts so,
        # whatever they were told when it was built (Keras 3.15).
        features = self.backbone(scaled, training=training and self._learns_normalization)
        return self.head(features, training=training)

    @property
    def variables(self) -> list[Any]:
        """All variables, those of random generators and normalization included."""
        return [*self.backbone.variables, *self.head.variables]

    def get_weights(self) -> list[NDArray[np.float32]]:
        """Copy the weights of both parts."""
        return [*self.backbone.get_weights(), *self.head.get_weights()]

    def set_weights(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Put back what `get_weights` gave."""
        count = len(self.backbone.weights)
        self.backbone.set_weights(weights[:count])
        self.head.set_weights(weights[count:])


def build_classifier(config: ImageConfig, *, weights: str, labels: int) -> Classifier:
    """Build the network for pictures of ``config.size`` pixels a side.

    ``weights`` is ``none`` (random), ``imagenet`` (Keras downloads them), or a file: ``.npz``
    with keys ``layer/variable``, or ``.h5`` / ``.keras`` / ``.weights.h5`` of Keras.
    Batch normalization runs in inference mode, as small batches would spoil what it knows; without
    weights it knows nothing yet and learns.

    Raises:
        StartupError: There is no such backbone, or the weights do not fit it or cannot be had.
    """
    import keras

    make, preprocess = find_backbone(config.backbone)
    named = "imagenet" if weights == "imagenet" else None
    try:
        backbone = make(
            include_top=False,
            weights=named,
            input_shape=(config.size, config.size, 3),
            **config.backbone_options,
        )
    except Exception as error:  # a download that fails ends in a bare Exception of Keras
        raise StartupError(
            f"cannot build {config.backbone} with --weights {weights}: {first_line(error)}"
        ) from error
    if weights == "none":
        _quicken_normalization(backbone)
    elif weights != "imagenet":
        load_weights(backbone, Path(weights))
    head = keras.Sequential(
        [
            keras.Input(backbone.output.shape[1:]),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dropout(config.dropout, seed=config.seed, name="dropout"),
            keras.layers.Dense(labels, name="logits"),
        ],
        name="head",
    )
    return Classifier(backbone, head, preprocess=preprocess, learns_normalization=weights == "none")


def _quicken_normalization(backbone: Any) -> None:
    """Let running means follow within tens of steps: there may be no thousands of them."""
    import keras

    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _MOMENTUM)


def find_backbone(name: str) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """Find a network of ``keras.applications`` by name, and the scaling of its input.

    Raises:
        StartupError: There is none of that name; the message lists those there are.
    """
    import keras

    known = dict(inspect.getmembers(keras.applications, callable))
    if name not in known:
        raise StartupError(f"no backbone {name!r}; there are {', '.join(sorted(known))}")
    module = known[name].__module__.rpartition(".")[2]
    return known[name], getattr(keras.applications, module).preprocess_input


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
    except Exception as error:  # each format has its own, down to that of a broken archive
        raise StartupError(
            f"weights {path} do not fit the backbone: {first_line(error)}; save those of the "
            "backbone alone, without its head"
        ) from error
    if not all(np.isfinite(each).all() for each in backbone.get_weights()):
        raise StartupError(f"weights {path} hold numbers that are none (NaN or infinite)")
