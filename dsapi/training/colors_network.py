"""The network that names the colors of a patch: a GRU that reads it row by row.

Enters: patches, float32 [n, 9, 9, 3], RGB 0-255. Leaves: probabilities [n, 18]. Called by
``dsapi train colors``, which freezes it with the conversion to CIELAB inside.
"""

from __future__ import annotations

from typing import Any

from dsapi.training.colors_camera import PATCH_PX
from dsapi.training.colors_names import COLOR_LABELS
from dsapi.training.colors_science import RGB_TO_XYZ


def build_color_network(*, pixel_units: int = 10, row_units: int = 64) -> Any:
    """A Keras model from RGB patches to the 18 probabilities.

    Every pixel becomes CIELAB, in which equal steps look equal, then `pixel_units` soft color
    categories; the rows are nine steps of a GRU. It is unrolled: as a loop in TensorFlow the
    same network takes eight times as long.
    """
    import keras

    layers = keras.layers
    patch = keras.Input((PATCH_PX, PATCH_PX, 3), name="patch")
    lab = layers.Lambda(convert_to_lab, output_shape=(PATCH_PX, PATCH_PX, 3), name="lab")(patch)
    pixels = layers.Dense(24, activation="relu", name="pixel_hidden")(lab)
    pixels = layers.Dense(pixel_units, activation="relu", name="pixel")(pixels)
    rows = layers.Reshape((PATCH_PX, PATCH_PX * pixel_units), name="rows")(pixels)
    state = layers.GRU(row_units, unroll=True, name="reader")(rows)
    hidden = layers.Dense(48, activation="relu", name="hidden")(state)
    scores = layers.Dense(len(COLOR_LABELS), name="scores")(hidden)
    return keras.Model(patch, layers.Softmax(name="probabilities")(scores), name="colors")


def convert_to_lab(patch: Any) -> Any:
    """RGB 0-255 to CIELAB divided by 50 with L centered, so about -1 to 1; same shape.

    Same formulas as `colors_science`, in TensorFlow operations, to live in the graph.
    """
    import tensorflow as tf

    encoded = tf.clip_by_value(patch, 0.0, 255.0) / 255.0
    # The lower branch of sRGB and CIELAB only matters below 1 % of light, but a power function
    # alone has an unbounded slope there, which makes black noisy.
    linear = tf.where(encoded <= 0.04045, encoded / 12.92, tf.pow((encoded + 0.055) / 1.055, 2.4))
    xyz = tf.linalg.matmul(linear, tf.constant(RGB_TO_XYZ.T)[None, None])
    f = tf.where(
        xyz > 216 / 24389,
        tf.pow(tf.maximum(xyz, 1e-6), 1 / 3),
        (24389 / 27 * xyz + 16) / 116,
    )
    x, y, z = tf.unstack(f, axis=-1)
    return tf.stack([(116 * y - 66) / 50, 10 * (x - y), 4 * (y - z)], axis=-1)
