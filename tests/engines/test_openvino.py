"""The OpenVINO engine on the same real frozen graphs as TensorFlow's."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dsapi.engines import EngineOptions, Graph, load_graph
from dsapi.errors import StartupError
from dsapi.prediction.crops import parse_crop
from dsapi.prediction.model import load_model
from dsapi.prediction.spec import ModelSpec
from tests.graphs import (
    freeze_brightest_channel,
    freeze_small_network,
    write_graph,
    write_labels,
    write_unfrozen,
)

pytest.importorskip("openvino")
ROOT = Path(__file__).parent.parent.parent
# A reload: a graph loaded by the main thread gives way to one loaded by another thread; then a
# signal comes, which Python handles on the main thread's alternate stack (sigaltstack(2)).
_RELOAD = """
import os, signal, sys, threading
from pathlib import Path
from dsapi.engines import load_graph

def load():
    graph = load_graph(Path(sys.argv[1]), engine="openvino", input_tensor=None, output_tensor=None)
    graph.open_session().close()
    return graph

def reload():
    graphs[0] = load()

signal.signal(signal.SIGHUP, lambda *_: print("handled"))
graphs = [load()]
for _ in range(2):
    thread = threading.Thread(target=reload)
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGHUP)
"""
# How much a second session in a thread of its own adds to the resident memory, in bytes.
_SECOND_SESSION = """
import resource, sys, threading
from pathlib import Path
import numpy as np
from dsapi.engines import EngineOptions, load_graph

def use():
    sessions.append(graph.open_session())
    sessions[-1].run(np.zeros((1, 4, 4, 3), np.float32))

def use_in_a_thread():
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

graph = load_graph(
    Path(sys.argv[1]), engine="openvino", input_tensor=None, output_tensor=None,
    options=EngineOptions(sessions=2, share_weights="on"),
)
sessions = []
print(-use_in_a_thread() + use_in_a_thread())
"""


def load(
    path: Path, *, feed: str | None = None, fetch: str | None = None, sessions: int = 1
) -> Graph:
    return load_graph(
        path,
        engine="openvino",
        input_tensor=feed,
        output_tensor=fetch,
        options=EngineOptions(sessions=sessions),
    )


def write_large_graph(path: Path) -> Path:
    """Write a convolution whose weights, 28 MB, are worth sharing."""
    import tensorflow as tf

    weights = np.random.default_rng(2).normal(0, 0.01, (3, 3, 768, 1024)).astype(np.float32)
    with tf.Graph().as_default() as definition:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 3], name="image")
        many = tf.tile(pixels, [1, 1, 1, 256])
        features = tf.nn.conv2d(many, tf.constant(weights), strides=1, padding="SAME")
        tf.reduce_mean(features, axis=[1, 2], name="means")
    return write_graph(path, definition.as_graph_def())


def write_mixed_graph(path: Path) -> Path:
    """Write a graph of the TensorFlow 1 era: it decodes JPEGs itself, unless fed behind that."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        content = tf.compat.v1.placeholder(tf.string, [], name="DecodeJpeg/contents")
        decoded = tf.cast(tf.image.decode_jpeg(content, channels=3), tf.float32)
        resized = tf.image.resize(decoded[None], [32, 32])
        scaled = tf.multiply(resized - 128.0, 1 / 128.0, name="Mul")
        tf.nn.softmax(tf.reduce_mean(scaled, axis=[1, 2]) * 10.0, name="final_result")
    return write_graph(path, graph.as_graph_def())


def test_it_gives_what_tensorflow_gives(tmp_path: Path) -> None:
    path = freeze_small_network(tmp_path / "small.pb")
    pictures = np.random.default_rng(5).uniform(0, 255, (32, 9, 9, 3)).astype(np.float32)
    reference = load_graph(path, engine="tensorflow", input_tensor=None, output_tensor=None)
    expected = reference.open_session().run(pictures)
    found = load(path).open_session().run(pictures)
    assert found.dtype == np.float32
    assert np.ptp(expected, axis=0).max() > 0.01, "the network tells the pictures apart"
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_graph_that_leaves_its_size_open_runs(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as definition:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        tf.reduce_mean(pixels, axis=[1, 2], name="means")
    graph = load(write_graph(tmp_path / "open.pb", definition.as_graph_def()))
    assert graph.input_shape == (None, None, 3)
    scores = graph.open_session().run(np.full((2, 5, 7, 3), 9.0, np.float32))
    np.testing.assert_allclose(scores, np.full((2, 3), 9.0))


def test_a_graph_that_leaves_its_rank_open_asks_for_the_size(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as definition:
        pixels = tf.compat.v1.placeholder(tf.float32, None, name="image")
        tf.reduce_mean(pixels, axis=[1, 2], name="means")
    path = write_graph(tmp_path / "open.pb", definition.as_graph_def())
    with pytest.raises(StartupError, match="leaves its input open; set input_size"):
        load(path)


def test_a_graph_is_fed_behind_what_openvino_cannot_run(tmp_path: Path) -> None:
    path = write_mixed_graph(tmp_path / "old.pb")
    write_labels(tmp_path / "labels.txt")
    spec = ModelSpec(
        graph=path,
        labels=tmp_path / "labels.txt",
        crop=parse_crop("80%"),
        input_size=32,
        scale=1 / 128,
        offset=-1,
        input_tensor="Mul",
        output_tensor="final_result:0",
    )
    model = load_model("old", spec, engine="openvino").open()
    crops = np.zeros((1, 32, 32, 3), np.uint8)
    crops[..., 1] = 255
    assert model.run(crops).argmax() == 1
    with pytest.raises(StartupError, match="No conversion rule found for operations: DecodeJpeg"):
        load(path)


def test_an_operation_that_openvino_converts_wrongly_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as definition:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 8], name="image")
        tf.nn.lrn(pixels, depth_radius=2, alpha=0.5, beta=0.75, name="normalized")
    path = write_graph(tmp_path / "graph.pb", definition.as_graph_def())
    with pytest.raises(StartupError, match=r"tf\.nn\.lrn.*use engine = 'tensorflow'"):
        load(path)


def test_any_output_of_an_operation_can_be_named(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 4], name="image")
        tf.split(pixels, 2, axis=1, name="halves")
    path = write_graph(tmp_path / "halves.pb", graph.as_graph_def())
    batch = np.array([[1, 2, 3, 4]], np.float32)
    for number, half in enumerate(([1, 2], [3, 4])):
        scores = load(path, fetch=f"halves:{number}").open_session().run(batch)
        np.testing.assert_array_equal(scores, [half])


@pytest.mark.parametrize("content", [None, b"", b"GIF89a and then some", "cut"])
def test_a_missing_or_corrupt_graph_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if isinstance(content, str) else content)
    with pytest.raises(StartupError, match=r"graph\.pb"):
        load(path)


def test_a_graph_that_is_not_frozen_is_refused_as_such(tmp_path: Path) -> None:
    path = write_unfrozen(tmp_path / "graph.pb")
    told = r"VarHandleOp: Variable or resource `weights` is not initialized.*freeze it again"
    with pytest.raises(StartupError, match=told):
        load(path)


def test_a_small_graph_runs_in_the_thread_that_asks(tmp_path: Path) -> None:
    graph = load(freeze_small_network(tmp_path / "small.pb"), sessions=2)
    sessions = [graph.open_session() for _ in range(2)]
    pictures = np.random.default_rng(5).uniform(0, 255, (2, 1, 9, 9, 3)).astype(np.float32)
    firsts = [session.run(picture) for session, picture in zip(sessions, pictures, strict=True)]
    in_all_s, here_s = time.process_time(), time.thread_time()
    for _ in range(300):
        for session, picture, first in zip(sessions, pictures, firsts, strict=True):
            np.testing.assert_array_equal(session.run(picture), first)
    in_all_s, here_s = time.process_time() - in_all_s, time.thread_time() - here_s
    assert here_s > 0.9 * in_all_s, "a hand-over to another thread takes longer than the graph"


def test_a_second_session_adds_no_second_copy_of_the_weights(tmp_path: Path) -> None:
    path = write_large_graph(tmp_path / "large.pb")
    run = subprocess.run(
        [sys.executable, "-c", _SECOND_SESSION, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    size = path.stat().st_size
    assert int(run.stdout or size) < size / 4, run.stderr


def test_two_sessions_share_no_weights_and_run_in_the_thread_that_asks(tmp_path: Path) -> None:
    graph = load(write_large_graph(tmp_path / "large.pb"), sessions=2)
    sessions = [graph.open_session() for _ in range(3)]
    picture = np.ones((1, 4, 4, 3), np.float32)
    expected = [session.run(picture) for session in sessions]
    np.testing.assert_array_equal(expected[1:], expected[:-1])
    in_all_s, here_s = time.process_time(), time.thread_time()
    for _ in range(10):
        for session in sessions:
            np.testing.assert_array_equal(session.run(picture), expected[0])
    in_all_s, here_s = time.process_time() - in_all_s, time.thread_time() - here_s
    assert here_s > 0.9 * in_all_s


def test_a_large_graph_leaves_its_caller_free_while_it_runs(tmp_path: Path) -> None:
    session = load(write_large_graph(tmp_path / "large.pb"), sessions=3).open_session()
    picture = np.ones((1, 4, 4, 3), np.float32)
    session.run(picture)
    in_all_s, here_s = time.process_time(), time.thread_time()
    for _ in range(20):
        session.start(picture)()
    in_all_s, here_s = time.process_time() - in_all_s, time.thread_time() - here_s
    assert here_s < 0.5 * in_all_s


def test_a_run_that_nobody_waits_for_does_not_spoil_the_next(tmp_path: Path) -> None:
    session = load(write_large_graph(tmp_path / "large.pb"), sessions=3).open_session()
    pictures = np.random.default_rng(4).uniform(0, 255, (8, 1, 4, 4, 3)).astype(np.float32)
    expected = [session.run(picture) for picture in pictures]
    for picture, scores in zip(pictures, expected, strict=True):
        session.start(255 - picture)
        finish = session.start(picture.copy())  # an array that nobody else keeps
        spoilt = [np.full_like(picture, -1.0) for _ in range(100)]
        np.testing.assert_array_equal(finish(), scores)
        del spoilt
    session.start(pictures[0])
    session.close()


@pytest.mark.parametrize("sessions", [1, 3])
def test_a_session_goes_on_after_a_run_that_failed(tmp_path: Path, sessions: int) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as definition:
        numbers = tf.compat.v1.placeholder(tf.int32, [None, 1], name="numbers")
        weights = tf.constant(np.ones((600, 600), np.float32))
        rows = tf.gather(weights, tf.reshape(numbers, [-1]))
        count = tf.cast(tf.shape(rows)[0], tf.float32) + tf.zeros([1, 1])
        ones = tf.ones(tf.concat([tf.reshape(numbers, [-1]), [1]], 0))
        tf.identity(count + tf.reduce_sum(ones), name="scores")
    path = write_graph(tmp_path / "graph.pb", definition.as_graph_def())
    session = load(path, sessions=sessions).open_session()
    good, bad = np.full((1, 1), 3, np.int32), np.full((1, 1), -5, np.int32)
    expected = session.run(good)
    with pytest.raises(RuntimeError):
        session.run(bad)
    session.start(bad)  # given up
    np.testing.assert_array_equal(session.run(good), expected)


@pytest.mark.parametrize("graph", ["branch", "loop", "index"])
def test_a_run_may_fail_though_the_shapes_are_known(tmp_path: Path, graph: str) -> None:
    import tensorflow as tf

    def pick(number: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
        if graph == "index":
            rows = tf.reshape(tf.range(12.0), [4, 3])
            return tf.scatter_nd(number[None, None], rows[:1], [4, 3])[:1] + means

        def fail_below_0() -> tf.Tensor:
            return means + tf.reduce_sum(tf.ones(tf.stack([number, 2])))

        if graph == "branch":
            return tf.cond(number > 5, lambda: means, fail_below_0)
        return tf.while_loop(
            lambda i, _: i < 2,
            lambda i, sums: (i + 1, sums + fail_below_0()),
            [tf.constant(0), means],
        )[1]

    with tf.Graph().as_default() as definition:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 3], name="image")
        means = tf.reduce_mean(pixels, axis=[1, 2])
        tf.identity(pick(tf.cast(means[0, 0], tf.int32), means), name="scores")
    path = write_graph(tmp_path / "graph.pb", definition.as_graph_def())
    session = load(path, fetch="scores").open_session()
    good, bad = np.full((1, 4, 4, 3), 2, np.float32), np.full((1, 4, 4, 3), -7, np.float32)
    expected = session.run(good)
    with pytest.raises(RuntimeError):
        session.run(bad)
    np.testing.assert_array_equal(session.run(good), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int32"])
def test_scores_of_any_type_are_read_as_what_they_are(tmp_path: Path, dtype: str) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as definition:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 3], name="image")
        tf.cast(tf.reduce_mean(pixels, axis=[1, 2]), dtype, name="scores")
    path = write_graph(tmp_path / "graph.pb", definition.as_graph_def())
    scores = load(path).open_session().run(np.full((2, 4, 4, 3), (1, -2, 96), np.float32))
    np.testing.assert_array_equal(scores, [[1, -2, 96]] * 2)


def test_the_reason_of_a_failed_run_is_told_not_the_file_it_comes_from(tmp_path: Path) -> None:
    session = load(freeze_brightest_channel(tmp_path / "graph.pb", side=9)).open_session()
    with pytest.raises(RuntimeError, match="shape") as failed:
        session.run(np.zeros((1, 5, 5, 3), np.float32))
    assert "Exception from" not in str(failed.value)


def test_a_signal_after_the_first_graph_has_gone_is_survived(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb")
    run = subprocess.run(
        [sys.executable, "-c", _RELOAD, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout.split()) == (0, ["handled"] * 2), run.stderr


def test_importing_it_starts_no_thread_and_no_telemetry(tiny_config: Path) -> None:
    code = (
        "import sys, threading\nfrom dsapi.process.server import load_models\n"
        "from dsapi.settings import load_settings\nfrom pathlib import Path\n"
        f"load_models(load_settings(Path({str(tiny_config)!r}), engine='openvino'))\n"
        "print([thread.name for thread in threading.enumerate()])\n"
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == ["['MainThread']", "True False"], run.stderr


def test_a_prediction_imports_no_tensorflow(tiny_config: Path, tmp_path: Path) -> None:
    from tests.pictures import GREEN, encode, plain

    picture = tmp_path / "green.png"
    picture.write_bytes(encode(plain(GREEN)))
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom dsapi.cli import app\n"
        f"run = CliRunner().invoke(app, ['predict', {str(picture)!r}, '--config', "
        f"{str(tiny_config)!r}, '--json'])\n"
        "print(run.output)\nprint('tensorflow' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "", "DSAPI_ENGINE": "openvino"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"label": "green"' in run.stdout, run.stderr
    assert run.stdout.split()[-1] == "False"
