"""Models by configuration alone, graphs of the TensorFlow 1 era among them."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from dsapi.engines import EngineName, Session
from dsapi.errors import ModelError, StartupError
from dsapi.prediction.model import Model, OpenModel, load_model
from dsapi.prediction.spec import ModelSpec
from tests.engines.gated import GatedGraph, GatedSession, gated_model
from tests.graphs import (
    COLOR_LABELS,
    freeze_brightest_channel,
    freeze_constant,
    write_graph,
    write_labels,
)


def load(
    folder: Path, graph: Path, *, engine: EngineName = "tensorflow", **options: object
) -> Model:
    labels = write_labels(folder / "labels.txt")
    spec = ModelSpec.model_validate({"graph": graph, "labels": labels, "crop": "9px", **options})
    return load_model("themes", spec, engine=engine)


def best(model: OpenModel, color: tuple[int, int, int]) -> str:
    height, width = model.model.size
    crop = np.full((1, height, width, 3), color, np.uint8)
    return model.model.labels[int(model.run(crop).argmax())]


def test_a_plain_graph_needs_no_settings(tmp_path: Path) -> None:
    model = load(tmp_path, freeze_brightest_channel(tmp_path / "g.pb", side=32))
    assert model.size == (32, 32)
    assert model.labels == COLOR_LABELS
    assert best(model.open(), (0, 200, 10)) == "green"


def test_the_version_is_the_start_of_the_hash_of_the_graph_file(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "g.pb")
    assert load(tmp_path, path).version == hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_a_graph_file_that_changes_while_it_is_loaded_never_gets_the_version_of_another(
    tmp_path: Path,
) -> None:
    graphs = [
        freeze_constant(tmp_path / f"{number}.pb", scores).read_bytes()
        for number, scores in enumerate(([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    ]
    versions = [hashlib.sha256(graph).hexdigest()[:12] for graph in graphs]
    path, new, told = tmp_path / "g.pb", tmp_path / "new.pb", set()
    path.write_bytes(graphs[0])
    for number, delay_s in enumerate(np.linspace(0, 0.004, 100)):
        new.write_bytes(graphs[number % 2])
        replacing = threading.Timer(delay_s, new.replace, [path])
        replacing.start()
        try:
            model = load(tmp_path, path)
        except StartupError as error:
            told.add(str(error))
        else:
            scores = model.open().run(np.zeros((1, 9, 9, 3), np.uint8))
            assert model.version == versions[int(scores.argmax())]
        finally:
            replacing.join()
    assert all("has changed while it was loaded" in each for each in told)


def test_a_flat_graph_of_the_tensorflow_1_era_loads_by_configuration(tmp_path: Path) -> None:
    path = freeze_brightest_channel(
        tmp_path / "g.pb", side=9, flat=True, output_name="output_prediction"
    )
    model = load(tmp_path, path, output_tensor="output_prediction:0")
    assert (model.size, model.flat) == ((9, 9), True)
    assert best(model.open(), (10, 20, 250)) == "blue"


def test_a_retrained_graph_with_mean_and_scale_loads_by_configuration(tmp_path: Path) -> None:
    """As retrain.py left them: Mul:0 → final_result:0, (pixel - 128) / 128 outside the graph."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        raw = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], name="raw")
        pixels = tf.multiply(raw, 1.0, name="Mul")
        means = tf.reduce_mean(pixels, axis=[1, 2])
        # Right only for input in -1 … 1: everything above 0.5 would saturate to the same score.
        tf.nn.softmax(tf.clip_by_value(means, -1.0, 1.0) * 4.0, name="final_result")
    path = write_graph(tmp_path / "g.pb", graph.as_graph_def())
    model = load(
        tmp_path,
        path,
        input_tensor="Mul:0",
        output_tensor="final_result:0",
        scale=0.0078125,
        offset=-1.0,
    ).open()
    crop = np.zeros((1, 16, 16, 3), np.uint8)
    crop[..., 0], crop[..., 1] = 255, 128
    scores = np.array([255 / 128 - 1, 0.0, -1.0]) * 4
    np.testing.assert_allclose(model.run(crop)[0], np.exp(scores) / np.exp(scores).sum(), rtol=1e-4)


def test_logits_become_probabilities_by_softmax_or_sigmoid(tmp_path: Path) -> None:
    path = freeze_constant(tmp_path / "g.pb", [0.0, 2.0, -200.0])
    crop = np.zeros((1, 9, 9, 3), np.uint8)
    softmax = load(tmp_path, path, activation="softmax").open().run(crop)[0]
    sigmoid = load(tmp_path, path, activation="sigmoid").open().run(crop)[0]
    np.testing.assert_allclose(softmax, [0.1192, 0.8808, 0.0], atol=1e-4)
    np.testing.assert_allclose(sigmoid, [0.5, 0.8808, 0.0], atol=1e-4)


def test_a_graph_with_an_open_size_asks_for_it(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        tf.reduce_mean(pixels, axis=[1, 2], name="mean")
    path = write_graph(tmp_path / "g.pb", graph.as_graph_def())
    with pytest.raises(StartupError, match=r"\[models.themes\].*set input_size"):
        load(tmp_path, path)
    assert load(tmp_path, path, input_size=20).size == (20, 20)


def test_one_open_side_is_not_guessed_from_the_other(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 20, None, 3], name="image")
        tf.reduce_mean(pixels, axis=[1, 2], name="mean")
    path = write_graph(tmp_path / "g.pb", graph.as_graph_def())
    with pytest.raises(StartupError, match="set input_size"):
        load(tmp_path, path)
    with pytest.raises(StartupError, match="input_size = 30, but the graph takes 20"):
        load(tmp_path, path, input_size=30)
    assert load(tmp_path, path, input_size=20).size == (20, 20)


@pytest.mark.parametrize(
    ("shape", "flat"), [([None, 9, 9, None], False), (None, False), ([None, None], True)]
)
def test_a_graph_may_leave_everything_else_open(
    tmp_path: Path, shape: list[int | None] | None, flat: bool
) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, shape, name="image")
        picture = tf.reshape(pixels, [-1, 9, 9, 3]) if flat else pixels
        tf.divide(tf.reduce_mean(picture, axis=[1, 2]), 255.0, name="mean")
    model = load(tmp_path, write_graph(tmp_path / "g.pb", graph.as_graph_def()), input_size=9)
    assert (model.size, model.flat) == ((9, 9), flat)
    assert best(model.open(), (0, 200, 10)) == "green"


def test_an_8_bit_graph_is_fed_8_bits(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.uint8, [None, 9, 9, 3], name="image")
        tf.reduce_mean(tf.cast(pixels, tf.float32) / 255.0, axis=[1, 2], name="mean")
    path = write_graph(tmp_path / "g.pb", graph.as_graph_def())
    assert best(load(tmp_path, path, dtype="uint8").open(), (0, 255, 0)) == "green"


def freeze_shape(path: Path, *, batch: int | None, dtype: str = "float32") -> Path:
    """Freeze a graph of one placeholder whose output is the mean of each channel, 0 to 1."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(dtype, [batch, 9, 9, 3], name="image")
        tf.reduce_mean(tf.cast(pixels, tf.float32) / 255.0, axis=[1, 2], name="mean")
    return write_graph(path, graph.as_graph_def())


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_graph_of_one_picture_at_a_time_takes_several_points(
    tmp_path: Path, engine: EngineName
) -> None:
    path = freeze_shape(tmp_path / "g.pb", batch=1)
    crops = np.zeros((3, 9, 9, 3), np.uint8)
    crops[[0, 1, 2], ..., [2, 0, 1]] = 255
    scores = load(tmp_path, path, engine=engine).open().run(crops)
    assert scores.argmax(axis=1).tolist() == [2, 0, 1]


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_graph_of_more_pictures_at_a_time_stops_the_start(
    tmp_path: Path, engine: EngineName
) -> None:
    path = freeze_shape(tmp_path / "g.pb", batch=4)
    with pytest.raises(StartupError, match=r"\[models.themes\].*takes 4 pictures at a time"):
        load(tmp_path, path, engine=engine).open()


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
@pytest.mark.parametrize(
    ("taken", "configured"), [("uint8", "float32"), ("float32", "uint8"), ("float64", "float32")]
)
def test_another_type_than_configured_stops_the_start(
    tmp_path: Path, engine: EngineName, taken: str, configured: str
) -> None:
    path = freeze_shape(tmp_path / "g.pb", batch=None, dtype=taken)
    told = f"takes {taken}, but dtype = '{configured}'; "
    fed = taken in ("float32", "uint8")
    told += f"set dtype to '{taken}'" if fed else "a graph can be fed float32 or uint8"
    with pytest.raises(StartupError, match=told):
        load(tmp_path, path, engine=engine, dtype=configured)


def test_scaled_8_bit_values_stay_within_their_range(tmp_path: Path) -> None:
    path = freeze_shape(tmp_path / "g.pb", batch=None, dtype="uint8")
    model = load(tmp_path, path, dtype="uint8", scale=2.0, offset=-100.0).open()
    crop = np.full((1, 9, 9, 3), (20, 100, 200), np.uint8)
    np.testing.assert_allclose(model.run(crop)[0], [0.0, 100 / 255, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "offset", "pixels", "fed"),
    [
        (1.0, 50.0, (0, 100, 200), (50, 150, 250)),
        # Rounded, not cut off.
        (0.5, 0.25, (3, 7, 12), (2, 4, 6)),
        # A negative.
        (-1.0, 255.0, (0, 100, 255), (255, 155, 0)),
    ],
)
def test_a_graph_is_fed_what_scale_and_offset_say(
    tmp_path: Path,
    scale: float,
    offset: float,
    pixels: tuple[int, int, int],
    fed: tuple[int, int, int],
) -> None:
    path = freeze_shape(tmp_path / "g.pb", batch=None, dtype="uint8")
    model = load(tmp_path, path, dtype="uint8", scale=scale, offset=offset).open()
    crop = np.full((1, 9, 9, 3), pixels, np.uint8)
    np.testing.assert_allclose(model.run(crop)[0] * 255, fed, atol=1e-4)


@pytest.mark.parametrize("scores", [[4.0, -2.0, 0.5], [float("nan"), 0.5, 0.5], [0.2, 0.3, 2.19]])
def test_scores_that_are_no_probabilities_stop_the_start(
    tmp_path: Path, scores: list[float]
) -> None:
    model = load(tmp_path, freeze_constant(tmp_path / "g.pb", scores))
    with pytest.raises(StartupError, match=r"no probabilities .*set activation to softmax"):
        model.open()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04 and a zip archive", r"a Keras model \(\.keras\)"),
        (b"\x89HDF\r\n\x1a\n and so on", r"a Keras model \(\.h5\)"),
        (b"\x08\x01\x12\xec\xb7\x01", "a SavedModel"),
    ],
)
def test_a_model_of_another_kind_is_told_how_to_become_a_graph(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    told = f"is {kind}.*, not a frozen graph .*docs/models.md"
    with pytest.raises(StartupError, match=told):
        load(tmp_path, tmp_path / "saved_model.pb")
    with pytest.raises(StartupError, match="is a SavedModel, not a frozen graph"):
        load(tmp_path, tmp_path)
    (tmp_path / "saved_model.pb").unlink()
    with pytest.raises(StartupError, match="is a folder, not a frozen graph"):
        load(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (
            [None, 3, 48, 48],
            r"\[n, 3, 48, 48\], not \[n, height, width, 3\]; .*transposition",
        ),
        ([None, 48, 48, 1], r"\[n, 48, 48, 1\], not \[n, height, width, 3\], RGB"),
        ([None, 8, 48, 48, 3], r"\[n, 8, 48, 48, 3\], not \[n, height, width, 3\], RGB"),
        ([None], r"\[n\], not \[n, height, width, 3\], RGB"),
        ([None, 9, 27], r"\[n, 9, 27\], not \[n, height, width, 3\], RGB"),
    ],
)
def test_a_graph_whose_input_is_no_rgb_picture_is_told_its_shape(
    tmp_path: Path, shape: list[int | None], told: str
) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, shape, name="image")
        tf.nn.softmax(pixels, axis=0, name="probabilities")
    with pytest.raises(StartupError, match=told):
        load(tmp_path, write_graph(tmp_path / "g.pb", graph.as_graph_def()))


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_graph_for_training_is_told_to_be_frozen_for_inference(
    tmp_path: Path, engine: EngineName
) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 9, 9, 3], name="image")
        kept = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
        tf.nn.softmax(tf.reduce_mean(pixels, axis=[1, 2]) * kept, name="probabilities")
    path = write_graph(tmp_path / "g.pb", graph.as_graph_def())
    for options in ({}, {"input_tensor": "image:0"}):
        with pytest.raises(StartupError, match=r"keep_prob.*; .*freeze the inference graph"):
            load(tmp_path, path, engine=engine, **options).open()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_are_not_made_probabilities_once_more(
    tmp_path: Path, activation: str
) -> None:
    model = load(tmp_path, freeze_brightest_channel(tmp_path / "g.pb"), activation=activation)
    told = rf"gives probabilities already .*activation = '{activation}'; set it to \"none\""
    with pytest.raises(StartupError, match=told):
        model.open()
    # Small logits, and a graph that ends in a sigmoid for each label, could be either.
    for scores in ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7]):
        other = freeze_constant(tmp_path / "other.pb", scores)
        load(tmp_path, other, activation=activation).open()


def test_a_scale_that_rounding_makes_nothing_of_is_refused(tmp_path: Path) -> None:
    path = freeze_shape(tmp_path / "g.pb", batch=None, dtype="uint8")
    for scale in (1 / 255, -1 / 128):
        with pytest.raises(ValidationError, match=r"leave scale out"):
            load(tmp_path, path, dtype="uint8", scale=scale)
    load(tmp_path, path, dtype="uint8", scale=0.5)


def test_one_scale_for_each_channel_goes_into_the_graph(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "g.pb")
    with pytest.raises(ValidationError, match="put per-channel normalization into the graph"):
        load(tmp_path, path, scale=[0.1, 0.2, 0.3])


def test_a_hash_is_the_same_in_capitals(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "g.pb")
    digest = hashlib.sha256(path.read_bytes()).hexdigest().upper()
    assert load(tmp_path, path, sha256=digest).spec.sha256 == digest.lower()


@pytest.mark.parametrize(
    ("side", "flat", "options", "told"),
    [
        (9, False, {"input_size": 32}, "input_size = 32, but the graph takes 9 × 9"),
        (9, True, {"input_size": 8}, "flat input of 243 values is no square RGB picture"),
        (9, False, {"sha256": "0" * 64}, "SHA-256"),
    ],
)
def test_what_does_not_fit_the_graph_stops_the_start(
    tmp_path: Path, side: int, flat: bool, options: dict[str, object], told: str
) -> None:
    path = freeze_brightest_channel(tmp_path / "g.pb", side=side, flat=flat)
    with pytest.raises(StartupError, match=told):
        load(tmp_path, path, **options).open()


def test_another_number_of_labels_stops_the_start(tmp_path: Path) -> None:
    path = freeze_constant(tmp_path / "g.pb", [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(StartupError, match=r"gives 4 scores.*has 3 labels"):
        load(tmp_path, path)


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
@pytest.mark.parametrize("shape", [[-1, 3, 1, 1], [-1, 1, 1, 3], [-1, 1, 3]])
def test_scores_may_have_axes_of_one_before_or_behind_them(
    tmp_path: Path, engine: EngineName, shape: list[int]
) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 9, 9, 3], name="image")
        tf.reshape(tf.reduce_mean(pixels, axis=[1, 2]) / 255.0, shape, name="means")
    path = write_graph(tmp_path / "g.pb", graph.as_graph_def())
    assert best(load(tmp_path, path, engine=engine).open(), (0, 255, 0)) == "green"
    labels = write_labels(tmp_path / "two.txt", ("red", "green"))
    with pytest.raises(StartupError, match=r"gives 3 scores.*has 2 labels"):
        load(tmp_path, path, engine=engine, labels=labels)


def test_an_engine_that_fails_without_a_word_is_a_model_error() -> None:
    def fail() -> None:
        raise MemoryError

    graph = GatedGraph(fail)
    model = gated_model(graph).open()
    with pytest.raises(ModelError, match="the graph failed: MemoryError"):
        model.run(np.ones((1, 4, 4, 3), np.uint8))


def test_one_row_of_scores_for_two_pictures_is_a_model_error() -> None:
    class Merging(GatedSession):
        def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
            return super().run(batch)[:1]

    class MergingGraph(GatedGraph):
        def open_session(self) -> Session:
            return Merging(self)

    model = gated_model(MergingGraph(lambda: None)).open()
    with pytest.raises(ModelError, match="the graph gives"):
        model.run(np.zeros((2, 4, 4, 3), np.uint8))


def test_a_graph_that_fails_later_is_a_model_error(tmp_path: Path) -> None:
    model = load(tmp_path, freeze_brightest_channel(tmp_path / "g.pb", side=9)).open()
    with pytest.raises(ModelError, match="the graph failed"):
        model.run(np.zeros((1, 5, 5, 3), np.uint8))


def test_a_model_that_cannot_be_put_into_service_leaves_no_session_open() -> None:
    graph = GatedGraph(lambda: None)
    model = gated_model(graph)
    # Its scores are probabilities already.
    wrong = replace(model, spec=model.spec.model_copy(update={"activation": "softmax"}))
    with pytest.raises(StartupError, match="gives probabilities already"):
        wrong.open()
    assert graph.open_sessions == 0
