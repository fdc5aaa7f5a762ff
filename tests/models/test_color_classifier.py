"""What anybody would expect of the shipped color graph; nothing here needs the survey."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dsapi.engines import load_graph

_ROOT = Path(__file__).parents[2]
_GRAPH = _ROOT / "models" / "colorClassifier.pb"
_LABELS = (_ROOT / "labels" / "colors.txt").read_text(encoding="utf-8").splitlines()

Namer = Callable[[NDArray[np.generic]], NDArray[np.float32]]

_PLAIN = [
    ("black", (10, 10, 12)),
    ("white", (252, 252, 252)),
    ("gray", (128, 128, 128)),
    ("red", (220, 20, 30)),
    ("green", (40, 160, 60)),
    ("blue", (30, 70, 200)),
    ("blue", (135, 206, 235)),
    ("yellow", (250, 230, 50)),
    ("orange", (255, 140, 0)),
    ("brown", (100, 60, 30)),
    ("pink", (255, 150, 190)),
    ("purple", (120, 40, 160)),
    ("neutral", (230, 210, 170)),
]


@pytest.fixture(scope="module")
def namer() -> Namer:
    graph = load_graph(_GRAPH, engine="tensorflow", input_tensor=None, output_tensor=None)
    session = graph.open_session()
    return lambda patches: session.run(np.asarray(patches, np.float32))


def fill(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((1, 9, 9, 3), color, np.uint8)


def draw_colors() -> NDArray[np.uint8]:
    """Plain patches of 1331 colors over the whole cube, then the same with noise and gradient."""
    levels = np.linspace(0, 255, 11)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 1, 1, 3)
    plain = np.broadcast_to(grid, (len(grid), 9, 9, 3))
    rng = np.random.default_rng(1)
    slope = np.linspace(0.85, 1.1, 9)[None, :, None, None]
    rough = plain * slope + rng.normal(0, 4, plain.shape)
    return np.rint(np.clip(np.concatenate([plain, rough]), 0, 255)).astype(np.uint8)


def name_top(namer: Namer, patches: NDArray[np.generic]) -> list[str]:
    return [_LABELS[index] for index in namer(patches).argmax(axis=1)]


def test_the_graph_is_small_enough_to_keep_in_the_repository() -> None:
    assert _GRAPH.stat().st_size <= 500_000


def test_the_graph_has_one_probability_per_label(namer: Namer) -> None:
    scores = namer(draw_colors()[::50])
    assert scores.shape[1] == len(_LABELS) == 18
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-4)
    assert scores.min() >= 0


@pytest.mark.parametrize(("label", "color"), _PLAIN)
def test_a_plain_color_is_called_by_its_name(
    namer: Namer, label: str, color: tuple[int, int, int]
) -> None:
    assert name_top(namer, fill(color)) == [label]


def test_teal_is_blue_or_green_before_anything_else(namer: Namer) -> None:
    order = namer(fill((0, 128, 128)))[0].argsort()[::-1]
    assert {_LABELS[index] for index in order[:2]} == {"blue", "green"}


def test_stripes_of_black_and_white_are_black_and_white(namer: Namer) -> None:
    patch = np.full((1, 9, 9, 3), 245, np.uint8)
    patch[:, ::3] = 10
    patch[:, 1::3] = 10
    assert name_top(namer, patch) == ["black & white"]
    assert name_top(namer, patch.swapaxes(1, 2)) == ["black & white"]


def test_blocks_of_many_hues_are_multicolored(namer: Namer) -> None:
    hues = np.array(
        [[230, 30, 40], [30, 80, 220], [250, 220, 40], [40, 170, 70], [230, 90, 190]], np.uint8
    )
    blocks = hues[np.array([[0, 1, 2], [3, 4, 0], [2, 3, 1]])].repeat(3, 0).repeat(3, 1)
    assert name_top(namer, blocks[None]) == ["multi-colored"]


@pytest.mark.parametrize(
    ("label", "color"),
    [
        ("silver", (190, 192, 195)),
        ("gold", (215, 170, 60)),
        ("copper", (195, 110, 65)),
        ("rose gold", (220, 160, 150)),
    ],
)
def test_a_metal_with_highlight_is_called_by_its_metal(
    namer: Namer, label: str, color: tuple[int, int, int]
) -> None:
    across = np.linspace(-1, 1, 9)[None, None, :, None]
    light = 0.6 + 0.6 * np.exp(-((across / 0.45) ** 2))
    shine = 0.6 * np.exp(-((across / 0.15) ** 2))
    patch = np.array(color) * light * (1 - shine) + 255 * shine
    patch = np.rint(np.clip(np.broadcast_to(patch, (1, 9, 9, 3)), 0, 255))
    assert name_top(namer, patch) == [label]


def test_darkening_never_makes_anything_white(namer: Namer) -> None:
    patches = draw_colors()
    colored = patches[[name != "white" for name in name_top(namer, patches)]]
    assert len(colored) > 2000
    for factor in (0.97, 0.9, 0.8, 0.65, 0.5, 0.3, 0.1):
        assert "white" not in name_top(namer, np.rint(colored * factor))


def test_white_in_ever_less_light_ends_black_and_never_gets_a_hue(namer: Namer) -> None:
    levels = np.arange(255, -1, -5)[:, None, None, None] * np.ones((1, 9, 9, 3))
    names = name_top(namer, levels)
    assert names[0] == "white"
    assert names[-1] == "black"
    assert set(names) <= {"white", "silver", "gray", "black"}


def test_nineteen_of_twenty_patches_keep_their_name_at_jpeg_quality_60(namer: Namer) -> None:
    patches = draw_colors()
    compressed = []
    for patch in patches:
        stream = io.BytesIO()
        Image.fromarray(patch).save(stream, "JPEG", quality=60)
        compressed.append(np.asarray(Image.open(stream).convert("RGB")))
    before = np.array(name_top(namer, patches))
    after = np.array(name_top(namer, np.stack(compressed)))
    assert (before == after).mean() >= 0.95


def test_mirrored_and_turned_patches_keep_their_name(namer: Namer) -> None:
    patches = draw_colors()
    names = np.array(name_top(namer, patches))
    for turned in (patches[:, ::-1], patches[:, :, ::-1], patches.swapaxes(1, 2)):
        assert (np.array(name_top(namer, turned)) == names).mean() >= 0.97
