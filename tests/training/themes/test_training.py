import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.training.photos import read_photos
from dsapi.training.themes import card as cards
from dsapi.training.themes import efficientnet
from dsapi.training.themes.fits import Plan
from dsapi.training.themes.fitting import Recipe
from dsapi.training.themes.training import Trained, fingerprint, train_themes
from tests.graphs import run_graph

LABELS = ("Beach & Ocean", "Forests", "Toys")
COLORS = ((40, 80, 200), (30, 120, 40), (220, 60, 50))
PLAN = Plan(
    recipe=Recipe(epochs=3, batch_size=8, head_rate=0.02),
    last_recipe=Recipe(epochs=1, batch_size=8),
    first_block=15,
    fold_variants=(1, 1),
    last_variants=(1, 1),
    folds=2,
    held_out=0.2,
    side_px=64,
    inner_px=32,
)


@pytest.fixture(scope="module")
def weights() -> Path:
    return efficientnet.find_weights()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("themes")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    rng = np.random.default_rng(0)
    lines = ["file,split,theme,source_repo"]
    for index, color in enumerate(COLORS):
        for number in range(12):
            split = "val" if number % 4 == 3 else "train"
            name = f"{split}/{index:02d}-theme/{number}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(color + rng.normal(0, 25, (40, 50, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            lines.append(f"{name},{split},{LABELS[index]},shop{number % 3}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    return train_themes(
        read_photos(data),
        weights=weights,
        work_dir=folder / "work",
        graph=folder / "models" / "themeClassifier.pb",
        plan=PLAN,
    )


def test_the_graph_takes_pixels_and_gives_probabilities(trained: Trained) -> None:
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    probabilities = run_graph(trained.graph.path, pixels)
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_graph_says_what_was_measured_on_val(trained: Trained, data: Path) -> None:
    from dsapi.photos.files import read_upright
    from dsapi.training.augmentation import crop_at_random_point
    from dsapi.training.themes.activations import _generator

    photos = read_photos(data).val
    crops = [
        crop_at_random_point(
            read_upright(photo.path), _generator(photo, PLAN.seed + 1000), side_px=PLAN.side_px
        )
        for photo in photos
    ]
    said = run_graph(trained.graph.path, np.stack(crops).astype(np.float32))
    np.testing.assert_allclose(said, trained.measured.val_probabilities, atol=0.02)


def test_the_command_tells_before_it_begins_what_it_does_without(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    table = tmp_path / "photos.csv"
    table.write_text("file,label,x,y\na.png,cat,,\nb.png,cat,,\nc.png,dog,3,4\n")
    command = ["train", "themes", "--data", str(table), "--weights", str(tmp_path / "no.pth")]
    folders = ["--output", str(tmp_path), "--work-dir", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, *folders])
    assert "no.pth: No such file" in str(result.exception)
    assert "line 4 has a point, which training leaves unused" in result.stderr
    assert "warning: no held-out photo shows dog" in result.stderr
    assert "warning: 2 of 2 labels are no theme" in result.stderr


def test_an_interrupted_training_goes_on_from_its_checkpoints(
    trained: Trained, data: Path, weights: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(trained.graph.path.parents[1] / "work", work)
    for saved in work.rglob("1.npz"):
        saved.unlink()
    kept = next(work.rglob("folds-*/0.npz"))
    before = kept.stat().st_mtime_ns
    resumed = train_themes(
        read_photos(data), weights=weights, work_dir=work, graph=tmp_path / "a.pb", plan=PLAN
    )
    assert kept.stat().st_mtime_ns == before
    assert len([*work.rglob("folds-*/*.npz"), *work.rglob("last-*/*.npz")]) == 4
    np.testing.assert_allclose(
        resumed.measured.val_probabilities, trained.measured.val_probabilities, atol=1e-3
    )


def test_checkpoints_are_gone_on_with_only_for_the_same_data_and_weights(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    first = read_photos(data)
    known = fingerprint(first, weights=weights, plan=PLAN)
    moved = shutil.copytree(data, tmp_path / "moved")
    shutil.copy(weights, tmp_path / "copy.pth")
    assert fingerprint(read_photos(moved), weights=tmp_path / "copy.pth", plan=PLAN) == known

    other = tmp_path / "other.pth"
    content = weights.read_bytes()
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    relabeled = replace(first.train[0], labels=(1,))
    resold = replace(first.train[0], source="another shop")
    changed = [
        fingerprint(first, weights=other, plan=PLAN),
        fingerprint(replace(first, labels=(*LABELS[:2], "Gardening")), weights=weights, plan=PLAN),
        *(
            fingerprint(replace(first, train=(photo, *first.train[1:])), weights=weights, plan=PLAN)
            for photo in (relabeled, resold)
        ),
    ]
    assert len({known, *changed}) == 5


def test_the_card_has_the_figures_and_the_command(trained: Trained, data: Path) -> None:
    card = cards.write_card(trained, read_photos(data), plan=PLAN, weights="imagenet.npz")
    figures = cards.summarize(trained.measured)
    assert f"{figures.top1:.1%}" in card
    assert "dsapi train themes --data DIR\n" in card
    assert "`imagenet.npz`" in card
    assert trained.graph.version in card
