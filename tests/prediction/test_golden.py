"""What a golden file leaves open is refused, not guessed."""

import json
from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.prediction.golden import check_golden
from dsapi.prediction.model import OpenModel, load_model
from dsapi.prediction.picture import Limits
from dsapi.prediction.spec import ModelSpec
from tests.graphs import freeze_brightest_channel, write_graph, write_labels
from tests.pictures import encode, halves

LIMITS = Limits(max_pixels=1_000_000, working_side=2048)


def open_model(folder: Path, **sample: object) -> OpenModel:
    """Open a model of 9 × 9 pixels with one golden sample: left half red, right half blue."""
    (folder / "halves.png").write_bytes(encode(halves()))
    golden = folder / "golden.json"
    golden.write_text(json.dumps([{"image": "halves.png", **sample}]))
    spec = ModelSpec(
        graph=freeze_brightest_channel(folder / "g.pb", side=9),
        labels=write_labels(folder / "labels.txt"),
        crop="9px",
        golden=golden,
    )
    return load_model("colors", spec, engine="tensorflow").open()


def test_a_sample_at_a_point_is_checked_there(tmp_path: Path) -> None:
    check_golden(open_model(tmp_path, x=5, y=5, label="red"), LIMITS)
    with pytest.raises(StartupError, match="must get 'blue'"):
        check_golden(open_model(tmp_path, x=5, y=5, label="blue"), LIMITS)


def test_a_graph_that_takes_one_picture_only_without_saying_so_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 9, 9, 3], name="image")
        one = tf.reshape(pixels, [1, 9, 9, 3])
        tf.nn.softmax(tf.reduce_mean(one, axis=[1, 2]), name="probabilities")
    spec = ModelSpec(
        graph=write_graph(tmp_path / "g.pb", graph.as_graph_def()),
        labels=write_labels(tmp_path / "labels.txt"),
        crop="9px",
    )
    model = load_model("colors", spec, engine="tensorflow").open()
    with pytest.raises(StartupError, match=r"golden check: the graph failed: Input to reshape"):
        check_golden(model, LIMITS)


@pytest.mark.parametrize("fault", ["normalized over the batch", "dropout", "labels first"])
def test_a_graph_whose_answer_depends_on_the_pictures_beside_is_refused(
    tmp_path: Path, fault: str
) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 9, 9, 3], name="image")
        if fault == "normalized over the batch":
            pixels -= tf.reduce_mean(pixels, axis=[0, 1, 2])
        means = tf.reduce_mean(pixels, axis=[1, 2]) / [25.5, 40.0, 60.0]
        if fault == "dropout":
            means = tf.nn.dropout(means, 0.5, seed=1)
        scores = tf.nn.softmax(means, name="probabilities")
        if fault == "labels first":
            tf.transpose(scores, name="turned")
    spec = ModelSpec(
        graph=write_graph(tmp_path / "g.pb", graph.as_graph_def()),
        labels=write_labels(tmp_path / "labels.txt"),
        crop="9px",
    )
    model = load_model("colors", spec, engine="tensorflow").open()
    with pytest.raises(StartupError, match="from run to run, or beside other pictures"):
        check_golden(model, LIMITS)


def test_the_sample_that_is_wrong_is_named(tmp_path: Path) -> None:
    for wrong, told in (
        ({"label": "zebra"}, r"golden\.json sample 1: 'zebra' is no label of .*labels\.txt"),
        ({"label": "red", "x": 900, "y": 5}, r"golden\.json sample 1: x must be between 0 and 63"),
        (
            {"label": "red", "image": "none.png"},
            r"cannot read the image 'none\.png': No such file or directory$",
        ),
        ({"label": "red", "image": "no\0.png"}, r"sample 1: cannot read the image 'no\\x00\.png'"),
    ):
        with pytest.raises(StartupError, match=told):
            check_golden(open_model(tmp_path, **wrong), LIMITS)


def test_a_model_that_tells_nothing_apart_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check_golden(open_model(tmp_path, x=5, y=5, label="red"), LIMITS)
    assert not caplog.messages
    spec = ModelSpec(
        graph=freeze_brightest_channel(tmp_path / "g.pb", side=9),
        labels=write_labels(tmp_path / "labels.txt"),
        crop="9px",
        scale=1 / 255 / 255,
    )
    check_golden(load_model("colors", spec, engine="tensorflow").open(), LIMITS)
    (told,) = caplog.messages
    assert "[models.colors] black, white and noise get nearly the same answer" in told


def test_a_golden_file_of_an_editor_that_marks_utf8_is_read(tmp_path: Path) -> None:
    model = open_model(tmp_path, x=5, y=5, label="red")
    golden = tmp_path / "golden.json"
    golden.write_text(golden.read_text(), encoding="utf-8-sig")
    check_golden(model, LIMITS)


@pytest.mark.parametrize("half", ["x", "y"])
def test_half_a_point_is_refused_and_not_taken_for_the_center(tmp_path: Path, half: str) -> None:
    # The center is in the blue half: without the refusal this sample would pass.
    model = open_model(tmp_path, label="blue", **{half: 40})
    with pytest.raises(StartupError, match=r"golden\.json: sample 1: x and y go together"):
        check_golden(model, LIMITS)


def test_a_sample_in_percent_is_checked_there(tmp_path: Path) -> None:
    check_golden(open_model(tmp_path, x=90, y=50, unit="percent", label="blue"), LIMITS)
    with pytest.raises(StartupError, match="must get 'red'"):
        check_golden(open_model(tmp_path, x=90, y=50, unit="percent", label="red"), LIMITS)


def test_a_label_that_comes_first_but_is_not_probable_enough_is_refused(tmp_path: Path) -> None:
    check_golden(open_model(tmp_path, x=5, y=5, label="red", min_probability=0.99), LIMITS)
    told = r"must get 'red' with 1 or more, got 'red' with 0\.99\d"
    with pytest.raises(StartupError, match=told):
        check_golden(open_model(tmp_path, x=5, y=5, label="red", min_probability=1), LIMITS)


def test_a_golden_file_without_samples_is_refused(tmp_path: Path) -> None:
    model = open_model(tmp_path, label="red")
    (tmp_path / "golden.json").write_text("[]")
    with pytest.raises(StartupError, match=r"golden\.json: as a whole"):
        check_golden(model, LIMITS)
