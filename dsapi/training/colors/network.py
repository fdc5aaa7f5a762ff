"""The network that names the colors of a patch: a GRU that reads it row by row.

Enters: patches, float32 [n, 9, 9, 3], RGB 0-255. Leaves: probabilities [n, 18]. Called by
``dsapi train colors``, which freezes it with the conversion to CIELAB inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dsapi.training.colors.camera import PATCH_PX
from dsapi.training.colors.names import COLOR_LABELS
from dsapi.training.colors.science import RGB_TO_XYZ

# CIELAB is linear in the roots f(X), f(Y), f(Z): here L/50 - 1, a/50 and b/50.
_LAB_OF_ROOTS = np.array(
    [[0.0, 500 / 50, 0.0], [116 / 50, -500 / 50, 200 / 50], [0.0, 0.0, -200 / 50]], np.float32
)
_LAB_OFFSET = np.array([-16 / 50 - 1, 0.0, 0.0], np.float32)


def build_color_network() -> Any:
    """A Keras model from RGB patches to the 18 probabilities.

    Every pixel becomes CIELAB, in which equal steps look equal, then ten soft color categories; the
    rows are nine steps of a GRU. It is unrolled: as a loop in TensorFlow the same network takes
    eight times as long.
    """
    import keras

    layers = keras.layers
    patch = keras.Input((PATCH_PX, PATCH_PX, 3), name="patch")
    lab = layers.Lambda(convert_to_lab, output_shape=(PATCH_PX, PATCH_PX, 3), name="lab")(patch)
    pixels = layers.Dense(24, activation="relu", name="pixel_hidden")(lab)
    pixels = layers.Dense(10, activation="relu", name="pixel")(pixels)
    rows = layers.Reshape((PATCH_PX, -1), name="rows")(pixels)
    state = layers.GRU(64, unroll=True, name="reader")(rows)
    hidden = layers.Dense(48, activation="relu", name="hidden")(state)
    scores = layers.Dense(len(COLOR_LABELS), name="scores")(hidden)
    return keras.Model(patch, layers.Softmax(name="probabilities")(scores), name="colors")


def convert_to_lab(patch: Any) -> Any:
    """RGB 0-255 to CIELAB divided by 50 with L centered, so about -1 to 1; same shape.

    Same formulas as `science`, in TensorFlow operations, to live in the graph.
    """
    import tensorflow as tf

    roots = _take_roots(tf.reshape(patch, [-1, 3]) / 255.0)
    return tf.reshape(tf.matmul(roots, _LAB_OF_ROOTS) + _LAB_OFFSET, tf.shape(patch))


def _take_roots(encoded: Any) -> Any:
    """Encoded sRGB 0-1, ``[n, 3]``, to the roots f(X), f(Y), f(Z) of CIELAB."""
    import tensorflow as tf

    # The lower branch of sRGB and CIELAB only matters below 1 % of light, but a power function
    # alone has an unbounded slope there, which makes black noisy.
    linear = tf.where(
        encoded <= 0.04045, encoded * (1 / 12.92), tf.pow(encoded / 1.055 + 0.055 / 1.055, 2.4)
    )
    xyz = tf.matmul(linear, tf.constant(RGB_TO_XYZ.T))
    return tf.where(
        xyz > 216 / 24389,
        tf.pow(tf.maximum(xyz, 1e-6), 1 / 3),
        (24389 / 27 / 116) * xyz + 16 / 116,
    )


def unroll_network(network: Any) -> Callable[[Any], Any]:
    """The same network in as few operations as it takes, for freezing.

    Keras' unrolled GRU takes 240 operations in TensorFlow for one patch, and a small operation
    costs about as much as a large one. Here the conversion to CIELAB ends in the first layer,
    all rows enter in one product, and a step is eleven operations: 0.22 ms instead of 0.47 ms.

    Args:
        network: from `build_color_network`, trained.

    Returns:
        A function from float32 ``[n, 9, 9, 3]`` to probabilities ``[n, 18]``.
    """
    import tensorflow as tf

    weights = {
        name: [np.asarray(each, np.float32) for each in network.get_layer(name).weights]
        for name in ("pixel_hidden", "pixel", "reader", "hidden", "scores")
    }
    kernel, recurrent, (bias, recurrent_bias) = weights["reader"]
    units = len(recurrent)
    # The recurrent bias of the two gates is only ever added to the input's.
    gates = 2 * units
    entering_bias = bias + np.append(recurrent_bias[:gates], np.zeros(units, np.float32))
    first, first_bias = weights["pixel_hidden"]
    to_first = _LAB_OF_ROOTS @ first
    to_first_bias = _LAB_OFFSET @ first + first_bias

    def name_patches(patch: Any) -> Any:
        # Tensors, so that the nine steps share one copy of them in the file.
        memory, candidate_bias = tf.constant(recurrent), tf.constant(recurrent_bias[gates:])
        roots = _take_roots(tf.reshape(patch, [-1, 3]) / 255.0)
        pixels = tf.nn.relu(tf.nn.bias_add(tf.matmul(roots, to_first), to_first_bias))
        pixels = tf.nn.relu(_connect(pixels, weights["pixel"]))
        rows = tf.reshape(pixels, [-1, PATCH_PX * pixels.shape[-1]])
        entering = tf.nn.bias_add(tf.matmul(rows, kernel), entering_bias)
        entering = tf.reshape(entering, [-1, PATCH_PX, 3 * units])
        gates_in, candidate_in = (
            tf.unstack(part, axis=1) for part in tf.split(entering, [gates, units], axis=2)
        )
        state = tf.zeros_like(candidate_in[0])
        for gate_in, new_in in zip(gates_in, candidate_in, strict=True):
            past_gate, past = tf.split(tf.matmul(state, memory), [gates, units], axis=1)
            keep, reset = tf.split(tf.sigmoid(gate_in + past_gate), 2, axis=1)
            new = tf.tanh(new_in + reset * (past + candidate_bias))
            state = new + keep * (state - new)
        hidden = tf.nn.relu(_connect(state, weights["hidden"]))
        return tf.nn.softmax(_connect(hidden, weights["scores"]))

    return name_patches


def _connect(tensor: Any, weights: list[Any]) -> Any:
    import tensorflow as tf

    kernel, bias = weights
    return tf.nn.bias_add(tf.matmul(tensor, kernel), bias)
