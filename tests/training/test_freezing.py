"""A trained network becomes one plain graph file that other programs can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsapi.errors import StartupError
from dsapi.training.freezing import (
    FreezingError,
    check_freezable,
    freeze_network,
    write_atomically,
)
from tests.graphs import run_graph


def build_small_network(seed: int, *, unroll: bool = True) -> Any:
    """A convolution, a batch normalization and a recurrent layer, as the shipped models have."""
    import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6, 6, 3))
    features = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    features = keras.layers.BatchNormalization()(features)
    rows = keras.layers.Reshape((6, 24))(features)
    state = keras.layers.GRU(5, unroll=unroll)(rows)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(state))


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (5, 6, 6, 3)).astype(np.float32)


def freeze_small(path: Path, network: Any) -> Any:
    return freeze_network(
        network,
        path,
        input_shape=(None, 6, 6, 3),
        input_name="picture",
        output_name="scores",
    )


def test_what_cannot_be_frozen_is_seen_before_it_is_trained() -> None:
    import tensorflow as tf

    def loop(pixels: Any) -> Any:
        return tf.map_fn(lambda row: row * 2.0, pixels)

    with pytest.raises(FreezingError, match="loops or calls a function"):
        check_freezable(loop, input_shape=(None, 4))
    check_freezable(lambda pixels: pixels * 2.0, input_shape=(None, 4))


def test_the_frozen_graph_gives_what_the_network_gives(tmp_path: Path, batch: np.ndarray) -> None:
    network = build_small_network(1)
    frozen = freeze_small(tmp_path / "new folder" / "small.pb", network)
    expected = np.asarray(network(batch, training=False))
    np.testing.assert_allclose(
        run_graph(frozen.path, batch, "picture", "scores"), expected, atol=1e-5
    )
    assert frozen.size_bytes == frozen.path.stat().st_size
    # The server may be another user.
    assert frozen.path.stat().st_mode & 0o777 == 0o644
    assert len(frozen.version) == 12


def test_openvino_reads_the_frozen_graph(tmp_path: Path, batch: np.ndarray) -> None:
    openvino = pytest.importorskip("openvino")
    network = build_small_network(2)
    frozen = freeze_small(tmp_path / "small.pb", network)
    compiled = openvino.Core().compile_model(
        openvino.Core().read_model(frozen.path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    expected = np.asarray(network(batch, training=False))
    np.testing.assert_allclose(compiled(batch)[0], expected, atol=1e-5)


def test_freezing_the_same_network_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    network = build_small_network(3)
    first = freeze_small(tmp_path / "first.pb", network)
    second = freeze_small(tmp_path / "second.pb", network)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_plain_function_on_tensors_freezes_too(tmp_path: Path) -> None:
    import tensorflow as tf

    frozen = freeze_network(
        lambda x: tf.reduce_mean(x, axis=[1, 2]) / 255.0,
        tmp_path / "mean.pb",
        input_shape=(None, 6, 6, 3),
        input_name="picture",
        output_name="scores",
    )
    white = np.full((2, 6, 6, 3), 255, np.float32)
    np.testing.assert_allclose(
        run_graph(frozen.path, white, "picture", "scores"), np.ones((2, 3)), atol=1e-6
    )


def test_the_graph_holds_only_constants_and_plain_operations(tmp_path: Path) -> None:
    import tensorflow as tf

    frozen = freeze_small(tmp_path / "small.pb", build_small_network(4))
    definition = tf.compat.v1.GraphDef.FromString(frozen.path.read_bytes())
    operations = {node.op for node in definition.node}
    assert not definition.library.function
    assert not operations & {"While", "StatefulPartitionedCall", "PartitionedCall", "VarHandleOp"}
    assert not any(operation.startswith("_Fused") for operation in operations)
    assert all(not node.device for node in definition.node)


def test_a_loop_is_refused_with_what_to_do_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FreezingError, match="unroll=True"):
        freeze_small(tmp_path / "loop.pb", build_small_network(5, unroll=False))
    assert list(tmp_path.iterdir()) == []
    assert issubclass(FreezingError, StartupError)


def test_more_than_one_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FreezingError, match="one tensor"):
        freeze_network(lambda x: (x, x), tmp_path / "two.pb", input_shape=(None, 3))


def test_a_calculation_in_doubles_is_refused() -> None:
    import tensorflow as tf

    def calculate_in_doubles(pixels: Any) -> Any:
        return tf.cast(tf.cast(pixels, tf.float64) * np.float64(0.1), tf.float32)

    with pytest.raises(FreezingError, match="is float64; build the network in float32"):
        check_freezable(calculate_in_doubles, input_shape=(None, 3))


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "graph.pb"
    target.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pb"]
