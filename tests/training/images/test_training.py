import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.errors import StartupError
from dsapi.training.images.config import read_config
from dsapi.training.images.network import build_classifier, find_backbone

TINY = """\
backbone: MobileNetV2
backbone_options: {alpha: 0.35}
size: 64
epochs: 4
frozen_epochs: 4
learning_rate: 0.02
augmentation: crop
batch_size: 16
label_smoothing: 0.0
dropout: 0.0
"""

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
    options = {"--data": data, "--weights": "none", "--config": config, "--output": output}
    arguments = [str(word) for option in options.items() for word in option]
    result = CliRunner().invoke(app, ["train", "image", name, *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_folders_of_photos_become_a_model_that_check_accepts(tmp_path: Path, config: Path) -> None:
    for name, color in COLORS.items():
        for number in range(12):
            paint(tmp_path / "data" / name / f"{number}.png", color, right=color, seed=number)
    output = train("plain", data=tmp_path / "data", config=config, output=tmp_path)
    section = output[output.index("[models.plain]") :]
    checked = CliRunner().invoke(app, ["check", "-c", str(serve_config(tmp_path, section))])
    assert checked.exit_code == 0, checked.output
    assert (tmp_path / "labels/plain.txt").read_text().split() == ["blue", "green", "red"]
    assert "accuracy" in (tmp_path / "models/plain.md").read_text()
    assert (tmp_path / "models/plain-curves.png").stat().st_size > 1000


def test_photos_with_several_labels_become_a_multi_label_model(
    tmp_path: Path, config: Path
) -> None:
    names = ("beach", "night", "people", "sunset")
    rng = np.random.default_rng(3)
    with (tmp_path / "photos.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "labels"))
        for number in range(48):
            shown = [bool(value) for value in rng.integers(0, 2, 4)]
            top = (250 if shown[0] else 10, 250 if shown[1] else 10, 100)
            low = (250 if shown[2] else 10, 250 if shown[3] else 10, 100)
            paint(tmp_path / f"{number}.png", top, right=low, seed=number)
            chosen = [name for name, there in zip(names, shown, strict=True) if there]
            writer.writerow((f"{number}.png", "|".join(chosen)))
    output = train("scenes", data=tmp_path / "photos.csv", config=config, output=tmp_path)
    section = output[output.index("[models.scenes]") :]
    assert 'activation = "sigmoid"' in section
    path = serve_config(tmp_path, section)
    answer = CliRunner().invoke(
        app, ["predict", str(tmp_path / "0.png"), "5", "5", "--json", "-c", str(path)]
    )
    assert answer.exit_code == 0, answer.output
    assert all(name in answer.output for name in names)


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


def test_weights_of_another_network_are_refused(tmp_path: Path, config: Path) -> None:
    np.savez(tmp_path / "other.npz", **{"Conv1/kernel": np.zeros((1, 1, 3, 8), np.float32)})
    with pytest.raises(StartupError, match=r"other\.npz do not fit the backbone"):
        build_classifier(read_config(config), weights=str(tmp_path / "other.npz"), labels=3)


def test_a_file_of_weights_fills_the_backbone(tmp_path: Path, config: Path) -> None:
    settings = read_config(config)
    first = build_classifier(settings, weights="none", labels=3).backbone
    arrays = {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in first.layers
        for weight in layer.weights
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    second = build_classifier(settings, weights=str(tmp_path / "mine.npz"), labels=3).backbone
    for before, after in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())


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
