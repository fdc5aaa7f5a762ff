import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.cli.train import telling_how_to_go_on
from dsapi.errors import StartupError
from dsapi.photos.files import PhotosError
from dsapi.training.calibration import expected_calibration_error
from dsapi.training.checkpoint import Checkpoint
from dsapi.training.epochs import EpochFigures
from dsapi.training.images import training
from dsapi.training.images.card import measure
from dsapi.training.images.config import read_config
from dsapi.training.images.fitting import Fit, count_stale, is_over
from dsapi.training.images.network import build_classifier, find_backbone
from dsapi.training.photos import Collection, Photo, label_indices, read_photos
from tests.graphs import run_graph
from tests.training.cuts import CutError, CuttingConsole

TINY = """\
backbone: MobileNetV2
backbone_options: {alpha: 0.35}
size: 64
epochs: 16
patience: 16
learning_rate: 0.003
augmentation: crop
batch_size: 8
label_smoothing: 0.0
dropout: 0.0
"""

# Half as many layers: most of these trainings take the time of their tracing.
TINIER = TINY.replace("MobileNetV2", "MobileNet").replace("0.35", "0.25")

COLORS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 40, 190)}


def paint(
    path: Path, left: tuple[int, int, int], *, right: tuple[int, int, int], seed: int
) -> None:
    """Draw two colored bands, with noise, so that no two files are alike."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((48, 64, 3))
    pixels[:24], pixels[24:] = left, right
    pixels += rng.normal(0, 12, pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "training.yaml"
    path.write_text(TINY)
    return path


def serve_config(folder: Path, section: str) -> Path:
    path = folder / "dsapi.conf"
    path.write_text(section)
    return path


def train(name: str, *, data: Path, config: Path, output: Path) -> str:
    options = {
        "--data": data,
        "--weights": "none",
        "--config": config,
        "--output": output,
        "--work-dir": output / "work",
    }
    arguments = [str(word) for option in options.items() for word in option]
    result = CliRunner().invoke(app, ["train", "image", name, *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def predict(picture: Path, *, model: str, config: Path) -> dict[str, float]:
    """Ask the trained model about a picture, as a user would: probability by label."""
    command = ["predict", str(picture), "--model", model, "--json", "-c", str(config)]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    labels = json.loads(answer.stdout)["predictions"][model]
    return {each["label"]: each["probability"] for each in labels}


def save_backbone(backbone: Any, path: Path) -> None:
    arrays = {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in backbone.layers
        for weight in layer.weights
    }
    np.savez(path, **arrays)


def test_folders_of_photos_become_a_model_that_check_accepts(tmp_path: Path, config: Path) -> None:
    config.write_text(TINIER)
    for name, color in COLORS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(12):
            shade = tuple(channel + number for channel in color)
            Image.new("RGB", (64, 48), shade).save(tmp_path / "data" / name / f"{number}.png")
    output = train("plain", data=tmp_path / "data", config=config, output=tmp_path)
    section = output[output.index("[models.plain]") :]
    checked = CliRunner().invoke(app, ["check", "-c", str(serve_config(tmp_path, section))])
    assert checked.exit_code == 0, checked.output
    assert (tmp_path / "labels/plain.txt").read_text().split() == ["blue", "green", "red"]
    # The card's figures are those of the graph that is served, its temperature included. Plain
    # photos are the same wherever they are cut.
    held_out = read_photos(tmp_path / "data").val
    batch = [np.asarray(Image.open(photo.path).resize((64, 64)), np.float32) for photo in held_out]
    probabilities = run_graph(tmp_path / "models/plain.pb", np.stack(batch))
    labels = label_indices(held_out)
    card = (tmp_path / "models/plain.md").read_text()
    assert f"accuracy {np.mean(probabilities.argmax(axis=1) == labels):.1%}" in card
    told = re.search(r"calibration error ([0-9.]+)\.\n", card)
    assert told is not None
    error = expected_calibration_error(probabilities, labels)
    assert float(told[1]) == pytest.approx(error, abs=0.002)
    assert (tmp_path / "models/plain-curves.png").stat().st_size > 1000


SCENES = ("beach", "night", "people", "sunset")


def paint_scenes(folder: Path, count: int) -> list[set[str]]:
    """Draw pictures in which each label is something of its own, and list them in a CSV file."""
    rng = np.random.default_rng(3)
    drawn = []
    with (folder / "photos.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "labels"))
        for number in range(count):
            shown = dict(zip(SCENES, rng.integers(0, 2, 4).astype(bool), strict=True))
            color = tuple(220 if shown[name] else 30 for name in ("beach", "night", "sunset"))
            red, green, blue = color
            other = (255 - red, 255 - green, 255 - blue) if shown["people"] else color
            paint(folder / f"{number}.png", (red, green, blue), right=other, seed=number)
            drawn.append({name for name in SCENES if shown[name]})
            writer.writerow((f"{number}.png", "|".join(sorted(drawn[-1]))))
    return drawn


def test_photos_with_several_labels_become_a_multi_label_model(
    tmp_path: Path, config: Path
) -> None:
    drawn = paint_scenes(tmp_path, 64)
    output = train("scenes", data=tmp_path / "photos.csv", config=config, output=tmp_path)
    path = serve_config(tmp_path, output[output.index("[models.scenes]") :])
    answers = [predict(tmp_path / f"{n}.png", model="scenes", config=path) for n in range(12)]
    assert all(set(answer) == set(SCENES) for answer in answers)
    pairs = list(zip(answers, drawn, strict=False))
    absent = [answer[name] for answer, shown in pairs for name in set(SCENES) - shown]
    present = [answer[name] for answer, shown in pairs for name in shown]
    assert np.mean(absent) < 0.4 < 0.6 < np.mean(present)
    # A sigmoid of a sigmoid lies between 0.5 and 0.73, whatever the picture shows.
    assert min(absent) < 0.2
    assert max(present) > 0.8
    assert re.search(r"on \d+ held-out photos: .* of all decisions \(a label, yes", output)
    arguments = ["--data", str(tmp_path / "photos.csv"), "--points", "0", "--json", "-c", str(path)]
    measured = CliRunner().invoke(app, ["evaluate", "scenes", *arguments], catch_exceptions=False)
    (figures,) = json.loads(measured.stdout)["figures"]
    assert figures["count"] == 64
    assert figures["mean_average_precision"] > 0.9


def train_briefly(
    folder: Path, config: Path, *, console: Console, weights: str = "none"
) -> training.TrainedImages:
    settings = read_config(config).model_copy(update={"epochs": 3})
    return training.train_images(
        read_photos(folder / "photos.csv"),
        settings,
        name="scenes",
        weights=weights,
        output=folder,
        work_dir=folder / "work",
        console=console,
    )


def test_a_training_that_was_cut_ends_with_the_same_graph(tmp_path: Path, config: Path) -> None:
    paint_scenes(tmp_path, 24)
    config.write_text(TINIER)
    whole = train_briefly(tmp_path, config, console=Console(file=io.StringIO()))
    with pytest.raises(CutError):
        train_briefly(tmp_path, config, console=CuttingConsole(file=io.StringIO()))
    # Other weights to start with, or another photo of the same name, make it another training.
    backbone = build_classifier(read_config(config), weights="none", labels=4).backbone
    save_backbone(backbone, tmp_path / "mine.npz")
    photo = (tmp_path / "0.png").read_bytes()
    # And so do other settings.
    for weights, changed, rate in (
        (str(tmp_path / "mine.npz"), photo, "0.003"),
        ("none", photo + b"more", "0.003"),
        ("none", photo, "0.002"),
    ):
        (tmp_path / "0.png").write_bytes(changed)
        config.write_text(TINIER.replace("0.003", rate))
        console = CuttingConsole(file=io.StringIO(), last="beginning anew")
        with pytest.raises(CutError):
            train_briefly(tmp_path, config, console=console, weights=weights)
    (tmp_path / "0.png").write_bytes(photo)
    config.write_text(TINIER)
    output = io.StringIO()
    resumed = train_briefly(tmp_path, config, console=Console(file=output))
    assert "going on after epoch 2 of 3" in output.getvalue()
    assert "epoch 2 of 3:" not in output.getvalue()
    assert resumed.graph.sha256 == whole.graph.sha256
    assert not list((tmp_path / "work").iterdir())


def test_without_a_photo_to_measure_a_label_with_a_training_warns_before_it_begins(
    tmp_path: Path, config: Path
) -> None:
    for name in ("cat/a", "cat/b", "dog/a"):
        paint(tmp_path / f"data/{name}.png", (200, 30, 30), right=(30, 160, 40), seed=1)
    (tmp_path / "data/dog/notes.txt").touch()
    command = ["train", "image", "pets", "--data", str(tmp_path / "data"), "--config", str(config)]
    folders = ["--output", str(tmp_path), "--work-dir", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, *folders, "--weights", str(tmp_path / "no.npz")])
    assert "there is no weights file" in str(result.exception)
    assert "warning: no held-out photo shows dog: the figures say nothing" in result.stderr
    assert "1 file skipped (no picture suffix)" in result.stderr


def test_labels_of_another_graph_are_not_replaced(tmp_path: Path, config: Path) -> None:
    labels = tmp_path / "labels/themes.txt"
    labels.parent.mkdir()
    labels.write_text("Shoes\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/themeClassifier.pb").touch()
    command = [
        "train",
        "image",
        "themes",
        "--data",
        str(tmp_path / "none"),
        "--config",
        str(config),
    ]
    folders = ["--output", str(tmp_path), "--work-dir", str(tmp_path)]
    refused = CliRunner().invoke(app, [*command, *folders])
    assert re.search(r"themes\.txt holds the labels of another graph", str(refused.exception))
    # Once trained, it may be trained anew.
    (tmp_path / "models/themes.pb").touch()
    retrained = CliRunner().invoke(app, [*command, *folders])
    assert "none is neither a folder nor a CSV file" in str(retrained.exception)


def test_sigmoids_are_chosen_where_a_photo_has_other_than_one_label(config: Path) -> None:
    settings = read_config(config)
    sets: dict[tuple[int, ...], str] = {(0,): "softmax", (): "sigmoid", (0, 1): "sigmoid"}
    for labels, chosen in sets.items():
        one, other = Photo(Path("a.png"), (0,)), Photo(Path("b.png"), labels)
        for photos in (((one,), (other,)), ((other,), (one,))):
            collection = Collection(("cat", "dog"), *photos)
            assert training.choose_activation(collection, settings) == chosen
            softmax = settings.model_copy(update={"activation": "softmax"})
            sigmoid = settings.model_copy(update={"activation": "sigmoid"})
            assert training.choose_activation(collection, sigmoid) == "sigmoid"
            if chosen == "softmax":
                assert training.choose_activation(collection, softmax) == "softmax"
                continue
            with pytest.raises(StartupError, match=rf"one label a photo, b\.png has {len(labels)}"):
                training.choose_activation(collection, softmax)


def test_a_fit_ends_with_the_weights_of_its_best_epoch_and_leaves_a_backbone_of_rate_0(
    tmp_path: Path, config: Path
) -> None:
    import keras

    paint_scenes(tmp_path, 24)
    config.write_text(TINIER)
    settings = read_config(config).model_copy(
        # Steps so large that the loss jumps.
        update={"epochs": 4, "frozen_epochs": 0, "backbone_rate": 0.0, "learning_rate": 1.0}
    )
    keras.utils.set_random_seed(1)
    classifier = build_classifier(settings, weights="none", labels=4)
    before = [each.numpy() for each in classifier.backbone.trainable_variables]
    collection = read_photos(tmp_path / "photos.csv")
    fit = Fit(classifier, collection, settings, activation="sigmoid")
    checkpoint = Checkpoint(tmp_path / "run.npz", run="run")
    # As a terminal has it, with a bar that has nothing to tell before the first step.
    output = io.StringIO()
    history = fit.run(checkpoint, console=Console(file=output, force_terminal=True, width=100))
    best = min(history, key=lambda epoch: epoch.new_loss)
    shown = Text.from_ansi(output.getvalue()).plain
    assert f"epoch {history.index(best) + 1} is kept, the best on held-out photos" in shown
    assert "loss nan" not in shown
    logits, targets = fit.score_val()
    losses = np.logaddexp(0, np.where(targets > 0.5, -logits, logits))
    assert losses.mean() == pytest.approx(best.new_loss, rel=1e-3)
    after = [each.numpy() for each in classifier.backbone.trainable_variables]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_figures_of_sigmoids_count_each_decision_and_each_label() -> None:
    # The first label is always said, the second of one photo too many, the third never.
    logits = np.array([[0.2, 3, -1], [0.1, 3, -1], [2, -3, -1], [2, -3, -1]], np.float32)
    targets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    figures = measure(logits, targets, "sigmoid", labels="abc")
    assert figures.accuracy == pytest.approx(10 / 12)
    assert [each.recall for each in figures.labels] == [1, 1, None]
    assert [each.precision for each in figures.labels] == [3 / 4, 1 / 2, None]


def test_figures_of_softmax_count_the_one_answer_of_each_photo() -> None:
    logits = np.array([[2, 0, 0], [2, 0, 0], [0, 2, 0], [2, 0, 1]], np.float32)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    figures = measure(logits, targets, "softmax", labels="abc")
    assert figures.accuracy == 0.5
    assert [each.recall for each in figures.labels] == [1, 0.5, 0]
    assert [each.precision for each in figures.labels] == [1 / 3, 1, None]


def test_who_interrupts_a_training_is_told_how_it_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt), telling_how_to_go_on():
        raise KeyboardInterrupt
    assert "the same command goes on" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(tmp_path: Path, config: Path) -> None:
    paint_scenes(tmp_path, 24)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/scenes.npz").write_bytes(b"PK damaged")
    with pytest.raises(StartupError, match=r"scenes\.npz is no checkpoint .*; remove it"):
        train_briefly(tmp_path, config, console=Console(file=io.StringIO()))


def test_all_photos_that_cannot_be_read_are_named_at_once(tmp_path: Path, config: Path) -> None:
    paint_scenes(tmp_path, 24)
    for number in range(11):
        (tmp_path / f"{number}.png").write_bytes(b"broken")
    config.write_text(TINIER)
    with pytest.raises(PhotosError) as caught:
        train_briefly(tmp_path, config, console=Console(file=io.StringIO()))
    *named, last = str(caught.value).splitlines()
    assert len({line.split(" cannot be read ")[0] for line in named}) == 10
    assert last == "… and 1 more"


def test_normalization_of_given_weights_stays_as_it_is_and_features_are_dropped_to_learn(
    config: Path, tmp_path: Path
) -> None:
    settings = read_config(config).model_copy(update={"dropout": 0.5})
    save_backbone(build_classifier(settings, weights="none", labels=3).backbone, tmp_path / "w.npz")
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    for weights, moves in ((str(tmp_path / "w.npz"), False), ("none", True)):
        classifier = build_classifier(settings, weights=weights, labels=3)
        before = classifier.backbone.get_weights()
        learning = classifier(pixels, training=True)
        after = classifier.backbone.get_weights()
        assert not np.allclose(learning, classifier(pixels), rtol=0.1, atol=0)
        changed = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
        assert any(changed) == moves


def test_a_misspelt_setting_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("epoch: 3\n")
    with pytest.raises(StartupError, match=r"unknown setting 'epoch'; known are .*epochs"):
        read_config(path)


def test_a_setting_out_of_range_is_named_with_its_value(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("epochs: 0\n")
    with pytest.raises(StartupError, match=r"epochs: .*greater than or equal to 1, not 0"):
        read_config(path)


def test_an_unknown_backbone_is_refused_with_a_list() -> None:
    with pytest.raises(StartupError, match=r"no backbone 'MobileNet9'.*EfficientNetB0"):
        find_backbone("MobileNet9")


@pytest.mark.parametrize("name", ["bad.keras", "bad.weights.h5", "bad.npz"])
def test_a_broken_file_of_weights_is_named(tmp_path: Path, config: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(StartupError, match=rf"weights .*{name} do not fit the backbone"):
        build_classifier(read_config(config), weights=str(tmp_path / name), labels=3)


def test_weights_that_cannot_be_downloaded_are_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # An address at which nobody listens, as a machine without a way out would find.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    settings = read_config(config)
    with pytest.raises(StartupError, match=r"cannot build MobileNetV2 with --weights imagenet"):
        build_classifier(settings, weights="imagenet", labels=3)


@pytest.mark.parametrize(
    "name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetV2B0", "ResNet50V2", "ConvNeXtTiny"]
)
def test_every_network_of_keras_applications_is_a_backbone(name: str) -> None:
    import keras

    make, preprocess = find_backbone(name)
    assert make is getattr(keras.applications, name)
    assert preprocess.__module__ == make.__module__


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, config: Path) -> None:
    backbone = build_classifier(read_config(config), weights="none", labels=3).backbone
    backbone.layers[-2].set_weights(
        [np.full_like(each, np.nan) for each in backbone.layers[-2].get_weights()]
    )
    save_backbone(backbone, tmp_path / "nan.npz")
    with pytest.raises(StartupError, match=r"nan\.npz hold numbers that are none"):
        build_classifier(read_config(config), weights=str(tmp_path / "nan.npz"), labels=3)


def test_patience_begins_with_the_backbone(config: Path) -> None:
    losses = [1.0, 1.1, 1.2, 1.3]
    history = [EpochFigures(1.0, 0.5, loss, 0.5) for loss in losses]
    assert count_stale(history) == 3
    assert count_stale([*history, EpochFigures(1.0, 0.5, 0.9, 0.5)]) == 0
    # What hardly falls would fall for ever.
    for loss, stale in ((1.0, 4), (0.99995, 4), (0.9998, 0)):
        assert count_stale([*history, EpochFigures(1.0, 0.5, loss, 0.5)]) == stale
    settings = read_config(config).model_copy(
        update={"frozen_epochs": 4, "patience": 3, "epochs": 20}
    )
    assert not is_over(history, settings)
    assert not is_over([*history, *history[:3]], settings)
    assert is_over([*history, *history], settings)


@pytest.mark.parametrize("option", ["--output", "--work-dir"])
def test_a_folder_that_cannot_be_written_is_named_before_the_work(
    tmp_path: Path, option: str
) -> None:
    paint_scenes(tmp_path, 8)
    (tmp_path / "file").write_text("no folder")
    command = ["train", "image", "scenes", "--data", str(tmp_path / "photos.csv")]
    result = CliRunner().invoke(app, [*command, option, str(tmp_path / "file")])
    assert isinstance(result.exception, StartupError)
    assert f"{option} {tmp_path}/file" in str(result.exception)


def test_weights_of_another_network_are_refused(tmp_path: Path, config: Path) -> None:
    np.savez(tmp_path / "other.npz", **{"Conv1/kernel": np.zeros((1, 1, 3, 8), np.float32)})
    with pytest.raises(StartupError, match=r"other\.npz do not fit the backbone"):
        build_classifier(read_config(config), weights=str(tmp_path / "other.npz"), labels=3)


def test_a_file_of_weights_fills_the_backbone(tmp_path: Path, config: Path) -> None:
    settings = read_config(config)
    first = build_classifier(settings, weights="none", labels=3).backbone
    save_backbone(first, tmp_path / "mine.npz")
    second = build_classifier(settings, weights=str(tmp_path / "mine.npz"), labels=3).backbone
    for before, after in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())


def test_a_backbone_gets_pixels_scaled_as_its_weights_are_used_to(config: Path) -> None:
    classifier = build_classifier(read_config(config), weights="none", labels=3)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    # MobileNet's are -1 to 1.
    expected = classifier.head(classifier.backbone(pixels / 127.5 - 1))
    np.testing.assert_allclose(classifier(pixels), expected, rtol=0.01)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1: 2\n", "must hold lines such as 'epochs: 12'"),
        ("false\n", "must hold lines such as 'epochs: 12'"),
        ("epochs: [1\n", "cannot read the training settings .* on line 2$"),
        ("epochs: 3\nsize: 64\nepochs: 5\n", "epochs stands on lines 1 and 3; remove one"),
        ("seed: 4294967296\n", "seed: .*less than 4294967296"),
        ("learning_rate: .inf\n", "learning_rate: .*less than 1000"),
        ("backbone_options: {pooling: avg}\n", "backbone_options: pooling cannot be chosen"),
    ],
)
def test_wrong_settings_are_named_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "training.yaml"
    path.write_text(text)
    with pytest.raises(StartupError, match=told) as refused:
        read_config(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "# as usual\n", "null\n", "{}\n"])
def test_a_file_without_settings_leaves_all_at_their_defaults(tmp_path: Path, text: str) -> None:
    (tmp_path / "training.yaml").write_text(text)
    assert read_config(tmp_path / "training.yaml") == read_config(None)


def test_a_name_that_no_section_can_have_is_refused() -> None:
    result = CliRunner().invoke(app, ["train", "image", "total", "--data", "nowhere"])
    assert result.exit_code == 2
    assert "cannot name a model" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "/tmp/model", "", ".", "a b", "wetter\n"])
def test_a_name_that_is_no_plain_word_is_refused_before_anything_is_read(
    tmp_path: Path, name: str
) -> None:
    missing = tmp_path / "missing"
    output = tmp_path / "output"
    command = ["train", "image", "--data", str(missing), "--output", str(output), "--", name]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "letters, digits, _ and -" in " ".join(result.output.replace("│", " ").split())
    assert not output.exists()
