"""Tiny real graphs, frozen here, for tests in which speed matters more than truth."""

import os
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

COLOR_LABELS = ("red", "green", "blue")


def freeze_brightest_channel(
    path: Path,
    *,
    side: int = 9,
    flat: bool = False,
    input_name: str = "image",
    output_name: str = "probabilities",
) -> Path:
    """Freeze a graph that says which of red, green and blue is strongest on average.

    Its probabilities are a softmax over the mean of each channel, taken as 0 to 1 and times 10.
    With `flat` it takes ``[n, side * side * 3]``.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        shape = [None, side * side * 3] if flat else [None, side, side, 3]
        pixels = v1.placeholder(tf.float32, shape, name=input_name)
        picture = tf.reshape(pixels, [-1, side, side, 3]) if flat else pixels
        means = tf.reduce_mean(picture, axis=[1, 2])
        tf.nn.softmax(means / 255.0 * 10.0, name=output_name)
    return write_graph(path, graph.as_graph_def())


def freeze_constant(path: Path, scores: list[float], *, side: int = 9) -> Path:
    """Freeze a graph that gives the same scores for every picture."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, side, side, 3], name="image")
        nothing = tf.reduce_sum(pixels, axis=[1, 2, 3], keepdims=False)[:, None] * 0.0
        tf.add(nothing, tf.constant(np.array([scores], np.float32)), name="scores")
    return write_graph(path, graph.as_graph_def())


def write_unfrozen(path: Path) -> Path:
    """Write a graph whose weights are a variable still, as training leaves them."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        pixels = v1.placeholder(tf.float32, [None, 3], name="image")
        weights = v1.get_variable("weights", [3, 3], use_resource=True)
        tf.nn.softmax(tf.matmul(pixels, weights), name="out")
    return write_graph(path, graph.as_graph_def())


def freeze_failing(path: Path, *, side: int = 9) -> Path:
    """Freeze a graph that passes the golden check and gives NaN for most other pictures.

    Black, white and noise, which that check uses, are all black, all white or 127.5 on average.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, side, side, 3], name="image")
        distance = tf.abs(tf.reduce_mean(pixels, axis=[1, 2, 3]) - 127.5)[:, None]
        unusual = tf.logical_and(distance > 20.0, distance < 127.0)
        scores = tf.where(unusual, tf.constant(float("nan")), tf.constant(1 / 3))
        tf.tile(scores, [1, 3], name="scores")
    return write_graph(path, graph.as_graph_def())


def freeze_small_network(path: Path) -> Path:
    """Freeze convolutions, a depthwise one and a recurrent layer with random weights."""
    import keras

    from dsapi.training.freezing import freeze_network

    keras.utils.set_random_seed(3)
    picture = keras.Input((9, 9, 3))
    features = keras.layers.Rescaling(1 / 127.5, -1)(picture)
    features = keras.layers.Conv2D(8, 3, padding="same", activation="relu6")(features)
    features = keras.layers.DepthwiseConv2D(3, padding="same")(features)
    features = keras.layers.BatchNormalization()(features)
    rows = keras.layers.Reshape((9, 72))(features)
    state = keras.layers.GRU(16, unroll=True)(rows)
    network = keras.Model(picture, keras.layers.Dense(18, activation="softmax")(state))
    return freeze_network(network, path, input_shape=(None, 9, 9, 3)).path


def freeze_hanging(path: Path, *, on_any: bool = False) -> Path:
    """Freeze a graph that never answers about a red picture, or any, without processor time."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        pixels = v1.placeholder(tf.float32, [None, 9, 9, 3], name="image")
        red, green, _ = tf.unstack(tf.reduce_mean(pixels, axis=[0, 1, 2]))
        scores = tf.nn.softmax(tf.reduce_mean(pixels, axis=[1, 2]) / 25.5)
        empty = v1.FIFOQueue(1, tf.float32)
        hangs = tf.constant(True) if on_any else red > green + 100
        shown = v1.cond(hangs, lambda: scores + empty.dequeue(), lambda: scores)
        tf.identity(shown, name="probabilities")
    return write_graph(path, graph.as_graph_def())


def run_graph(
    path: Path, batch: np.ndarray, input_name: str = "image", output_name: str = "probabilities"
) -> np.ndarray:
    """Run a graph file on a batch, by TensorFlow and nothing of ours."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return np.asarray(session.run(f"{output_name}:0", {f"{input_name}:0": batch}))


def write_graph(path: Path, definition: object) -> Path:
    """Write a ``GraphDef``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(definition.SerializeToString())  # type: ignore[attr-defined]
    return path


def write_labels(path: Path, labels: tuple[str, ...] = COLOR_LABELS) -> Path:
    """Write a labels file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(labels) + "\n", encoding="utf-8")
    return path
