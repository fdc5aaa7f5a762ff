"""What holds for every engine, on the same real frozen graphs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dsapi.engines import EngineName, EngineOptions, Graph, load_graph
from dsapi.errors import StartupError
from tests.graphs import freeze_brightest_channel, freeze_small_network, write_graph

pytest.importorskip("openvino")
every_engine = pytest.mark.parametrize("engine", ["tensorflow", "openvino"])


def load(
    engine: EngineName,
    path: Path,
    *,
    feed: str | None = None,
    fetch: str | None = None,
    sessions: int = 1,
) -> Graph:
    return load_graph(
        path,
        engine=engine,
        input_tensor=feed,
        output_tensor=fetch,
        options=EngineOptions(sessions=sessions),
    )


@every_engine
def test_both_ends_of_a_graph_are_found(tmp_path: Path, engine: EngineName) -> None:
    graph = load(engine, freeze_brightest_channel(tmp_path / "graph.pb", side=9))
    assert graph.input_shape == (9, 9, 3)
    assert graph.output_size == 3


@every_engine
def test_tensors_are_found_by_name_with_and_without_output_number(
    tmp_path: Path, engine: EngineName
) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb", input_name="in", output_name="out")
    for feed, fetch in (("in", "out"), ("in:0", "out:0")):
        assert load(engine, path, feed=feed, fetch=fetch).output_size == 3


@every_engine
def test_a_configured_tensor_that_is_missing_is_named(tmp_path: Path, engine: EngineName) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb")
    with pytest.raises(StartupError, match="input_tensor = 'Mul' is not in the graph"):
        load(engine, path, feed="Mul")
    for missing in ("final_result", "probabilities:7"):
        with pytest.raises(StartupError, match=f"output_tensor = '{missing}' is not in the graph"):
            load(engine, path, fetch=missing)


@every_engine
def test_an_ambiguous_end_asks_for_the_setting(tmp_path: Path, engine: EngineName) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 3], name="image")
        tf.nn.softmax(pixels, name="one")
        tf.nn.sigmoid(pixels, name="two")
    path = write_graph(tmp_path / "two.pb", graph.as_graph_def())
    with pytest.raises(StartupError, match=r"one:0, two:0.*set output_tensor"):
        load(engine, path)
    scores = load(engine, path, fetch="two").open_session().run(np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(scores, np.full((2, 3), 0.5))


@pytest.mark.parametrize(
    ("engine", "at_a_time"),
    [("tensorflow", 4), ("openvino", 1), ("openvino", 2), ("openvino", 4)],
)
def test_threads_with_sessions_of_their_own_agree_with_one_alone(
    tmp_path: Path, engine: EngineName, at_a_time: int
) -> None:
    graph = load(engine, freeze_small_network(tmp_path / "graph.pb"), sessions=at_a_time)
    pictures = np.random.default_rng(1).uniform(0, 255, (64, 1, 9, 9, 3)).astype(np.float32)
    alone = graph.open_session()
    expected = [alone.run(picture) for picture in pictures]
    local = threading.local()

    def run(picture: np.ndarray) -> np.ndarray:
        if not hasattr(local, "session"):
            local.session = graph.open_session()
        scores: np.ndarray = local.session.run(picture)
        return scores

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, pictures))
    np.testing.assert_array_equal(found, expected)
