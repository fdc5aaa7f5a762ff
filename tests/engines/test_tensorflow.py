"""The TensorFlow engine on real frozen graphs."""

from pathlib import Path

import numpy as np
import pytest

from dsapi.engines import load_graph
from dsapi.engines.tensorflow import TensorFlowGraph
from dsapi.errors import StartupError
from tests.graphs import freeze_brightest_channel, write_graph, write_unfrozen


def load(path: Path, *, feed: str | None = None, fetch: str | None = None) -> TensorFlowGraph:
    graph = load_graph(path, engine="tensorflow", input_tensor=feed, output_tensor=fetch)
    assert isinstance(graph, TensorFlowGraph)
    return graph


def test_a_session_gives_the_scores_of_each_picture(tmp_path: Path) -> None:
    session = load(freeze_brightest_channel(tmp_path / "graph.pb", side=2)).open_session()
    batch = np.zeros((2, 2, 2, 3), np.float32)
    batch[0, ..., 0] = 255
    batch[1, ..., 2] = 255
    scores = session.run(batch)
    expected = np.exp(10) / (np.exp(10) + 2)
    np.testing.assert_allclose(scores[[0, 1], [0, 2]], expected, rtol=1e-5)
    assert scores.dtype == np.float32
    session.close()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read the graph"),
        (b"", "is empty"),
        (b"\xff" * 100, "is no frozen TensorFlow graph or is cut short"),
        (b"GIF89a and then some", "is no frozen TensorFlow graph"),
    ],
)
def test_a_missing_or_corrupt_graph_is_refused(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "graph.pb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=told):
        load(path)


def test_a_truncated_graph_is_refused(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StartupError, match="cut short"):
        load(path)


def test_a_graph_that_is_not_frozen_is_refused_as_such(tmp_path: Path) -> None:
    path = write_unfrozen(tmp_path / "graph.pb")
    with pytest.raises(StartupError, match=r"is not frozen: it has the variable 'weights.*freeze"):
        load(path)


def test_the_reason_of_a_failed_run_is_told(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 3], name="image")
        keep = tf.compat.v1.placeholder(tf.float32, [], name="keep")
        tf.nn.softmax(pixels * keep, name="out")
    path = write_graph(tmp_path / "graph.pb", graph.as_graph_def())
    session = load(path, feed="image").open_session()
    with pytest.raises(RuntimeError, match="You must feed a value for placeholder tensor 'keep'"):
        session.run(np.zeros((1, 3), np.float32))


def test_the_reason_of_a_run_without_the_memory_is_told(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        side = tf.compat.v1.placeholder(tf.float32, [None, 1], name="side")
        sides = tf.cast(tf.stack([side[0, 0], side[0, 0]]), tf.int32)
        tf.reduce_sum(tf.cumsum(tf.ones(sides)), axis=[0, 1], name="sum")
    path = write_graph(tmp_path / "graph.pb", graph.as_graph_def())
    session = load(path, fetch="sum").open_session()
    assert session.run(np.full((1, 1), 3, np.float32)) == 18
    with pytest.raises(RuntimeError, match=r"^OOM when allocating tensor with shape\[10000000,"):
        # 400 TB, more than can be addressed. TensorFlow waits for them for 10 s.
        session.run(np.full((1, 1), 1e7, np.float32))
