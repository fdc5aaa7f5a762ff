"""Training the colors from a tiny survey to graph, labels and card; going on after a cut."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dsapi.training.colors.names import COLOR_LABELS
from dsapi.training.colors.settings import ColorTraining
from dsapi.training.colors.training import ColorReport, train_colors
from tests.training.colors.survey import write_survey
from tests.training.cuts import CutError, CuttingConsole


def plan(folder: Path) -> ColorTraining:
    return ColorTraining(
        survey=write_survey(folder),
        models=folder / "models",
        labels=folder / "labels",
        work=folder / "work",
        patches=1024,
        epochs=3,
        batch=128,
        per_label=4,
        seed=7,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ColorReport]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, train_colors(plan(folder), console=Console(file=io.StringIO()))


def test_training_writes_graph_labels_card_and_curves(whole: tuple[Path, ColorReport]) -> None:
    folder, report = whole
    labels = (folder / "labels" / "colors.txt").read_text().splitlines()
    assert labels == list(COLOR_LABELS)
    assert report.graph.path == folder / "models" / "colorClassifier.pb"
    assert report.graph.size_bytes <= 500_000
    card = (folder / "models" / "colorClassifier.md").read_text()
    assert report.graph.sha256 in card
    assert "| rose gold |" in card
    assert (folder / "work" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "work" / "checkpoint.npz").exists()
    assert 0 <= report.figures.plain_top1 <= report.figures.plain_top5 <= 1


def test_a_training_that_was_cut_ends_with_the_same_graph(
    whole: tuple[Path, ColorReport], tmp_path: Path
) -> None:
    with pytest.raises(CutError):
        train_colors(plan(tmp_path), console=CuttingConsole(file=io.StringIO()))
    # Where the folder lies, and what is measured in the end, do not change what is trained.
    (tmp_path / "work").rename(tmp_path / "moved")
    moved = dataclasses.replace(plan(tmp_path), work=tmp_path / "moved", per_label=3)
    output = io.StringIO()
    resumed = train_colors(moved, console=Console(file=output))
    assert "going on after epoch 2 of 3" in output.getvalue()
    assert resumed.graph.sha256 == whole[1].graph.sha256


def test_a_checkpoint_of_another_training_is_not_gone_on_with(tmp_path: Path) -> None:
    output = io.StringIO()
    for seed in (7, 8):
        training = dataclasses.replace(plan(tmp_path), seed=seed)
        with pytest.raises(CutError):
            train_colors(training, console=CuttingConsole(file=output))
    assert "going on" not in output.getvalue()
    assert output.getvalue().count("epoch 1 of 3") == 2


def test_the_network_sees_only_what_the_patch_shows() -> None:
    from dsapi.training.colors.network import build_color_network

    network = build_color_network()
    patch = np.random.default_rng(0).uniform(0, 255, (3, 9, 9, 3)).astype(np.float32)
    together = np.asarray(network(patch))
    alone = np.concatenate([np.asarray(network(each[None])) for each in patch])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-5)


def test_the_network_in_few_operations_is_the_same_network() -> None:
    from dsapi.training.colors.network import build_color_network, unroll_network

    network = build_color_network()
    rng = np.random.default_rng(1)
    network.set_weights([rng.normal(0, 0.3, each.shape) for each in network.get_weights()])
    patches = rng.uniform(0, 255, (20, 9, 9, 3)).astype(np.float32)
    # Near black, where both formulas of sRGB and of CIELAB have their lower branch.
    patches[:10] *= 0.03
    expected = np.asarray(network(patches))
    np.testing.assert_allclose(np.asarray(unroll_network(network)(patches)), expected, atol=1e-4)
