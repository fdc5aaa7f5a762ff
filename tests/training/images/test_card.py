"""What the card of one's own model says: every figure as `dsapi evaluate` counts it."""

from pathlib import Path

import numpy as np
import pytest

from dsapi.evaluation.figures import LabelFigures
from dsapi.settings import load_settings
from dsapi.training.freezing import FrozenGraph
from dsapi.training.images.card import (
    ImageFigures,
    find_named_folder,
    measure,
    write_card,
    write_section,
)
from dsapi.training.images.config import ImageConfig
from dsapi.training.photos import Collection, Photo


def test_a_card_counts_photos_and_epochs_and_a_label_with_a_bar_stays_in_its_cell() -> None:
    photos = tuple(Photo(Path(f"{label}.jpg"), (label,)) for label in (0, 1, 1))
    card = write_card(
        name="plain",
        graph=FrozenGraph(Path("plain.pb"), 10, "0" * 64),
        collection=Collection(("on|off", "rest"), photos, photos[:2]),
        config=ImageConfig(),
        weights="none",
        epochs=7,
        activation="softmax",
        figures=ImageFigures(
            0.5,
            0.1,
            (
                LabelFigures("on|off", 1, precision=0.5, recall=1.0, average_precision=0.5),
                LabelFigures("rest", 2, precision=None, recall=0.0, average_precision=0.5),
            ),
        ),
    )
    assert r"| on\|off | 100% | 50% |" in card
    assert "| rest | 0% | never answered |" in card
    assert "3 photos to learn from, 2 held out; 7 epochs." in card
    assert "On 2 held-out photos" in card


def test_the_calibration_of_several_labels_is_that_of_evaluate() -> None:
    sure = np.float32(np.log(9))  # a sigmoid of 0.9, and of 0.1 if negative
    logits = np.full((10, 2), (sure, -sure), np.float32)
    targets = np.zeros((10, 2), np.float32)
    targets[:8, 0] = 1
    # "Yes" of 90 % is right 8 times of 10, "yes" of 10 % never.
    error = measure(logits, targets, "sigmoid", labels=("a", "b")).calibration_error
    assert error == pytest.approx(0.1, abs=1e-6)


def test_the_section_of_a_folder_with_quotes_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / 'my "50%" \\ Ünï'
    (tmp_path / "dsapi.conf").write_text(write_section("plain", folder=folder), encoding="utf-8")
    spec = load_settings(tmp_path / "dsapi.conf").models["plain"]
    assert (spec.graph, spec.labels) == (folder / "models/plain.pb", folder / "labels/plain.txt")


def test_a_section_names_its_folder_unless_the_configuration_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_named_folder(Path("."), tmp_path / "dsapi.conf") is None
    assert find_named_folder(Path("."), tmp_path / "checkout" / "dsapi.conf") == tmp_path
    assert find_named_folder(tmp_path / "out", tmp_path / "dsapi.conf") == tmp_path / "out"
