"""Generated patches look like what they are called, and are the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsapi.training.colors.camera import CANVAS_PX, Camera, blur, compress_canvases
from dsapi.training.colors.names import COLOR_LABELS, mark_held_out, read_survey
from dsapi.training.colors.palette import Palette, build_palette, draw_metals
from dsapi.training.colors.patches import PatchSet, generate_patches, join_patches
from dsapi.training.colors.scenes import draw_black_white, draw_metal, draw_multi, draw_plain
from dsapi.training.colors.science import measure_lab
from dsapi.training.colors.variant import generate_variant
from tests.training.colors.survey import write_survey


@pytest.fixture(scope="module")
def palette(tmp_path_factory: pytest.TempPathFactory) -> Palette:
    return build_palette(read_survey(write_survey(tmp_path_factory.mktemp("survey"))))


def find_label(name: str) -> int:
    return COLOR_LABELS.index(name)


def generate(palette: Palette, *, count: int, seed: int, processes: int = 1) -> PatchSet:
    return join_patches(generate_patches(palette, count=count, seed=seed, processes=processes))


def test_the_same_seed_gives_the_same_patches_on_one_process_and_on_two(palette: Palette) -> None:
    alone = generate(palette, count=5000, seed=1)
    shared = generate(palette, count=5000, seed=1, processes=2)
    np.testing.assert_array_equal(alone.patches, shared.patches)
    np.testing.assert_array_equal(alone.shares, shared.shares)
    assert not np.array_equal(alone.patches, generate(palette, count=5000, seed=2).patches)


def test_patches_are_pixels_with_shares_that_sum_to_one_for_every_label(palette: Palette) -> None:
    made = generate(palette, count=4096, seed=3)
    assert made.patches.shape == (4096, 9, 9, 3)
    assert made.patches.dtype == np.uint8
    np.testing.assert_allclose(made.shares.sum(axis=1), 1.0, atol=1e-4)
    assert made.shares.min() >= 0
    assert np.all(made.shares.mean(axis=0) > 0.01)


def test_no_base_color_comes_from_a_held_out_region(palette: Palette) -> None:
    rng = np.random.default_rng(4)
    metals, _ = draw_metals(rng, 500)
    assert not mark_held_out(measure_lab(metals)).any()
    # Colors that sRGB cannot hold are clipped, which moves them; the others stay put.
    plain = palette.draw(rng, 500)
    inside = ((plain > 0) & (plain < 1)).all(axis=1)
    assert mark_held_out(measure_lab(plain[inside])).mean() < 0.005


def test_black_and_white_scenes_have_both_ends_and_no_hue(palette: Palette) -> None:
    scenes = draw_black_white(np.random.default_rng(5), palette, 300)
    sure = scenes.shares[:, find_label("black & white")] > 0.8
    assert sure.mean() > 0.3
    lab = measure_lab(scenes.light[sure][:, 4:13, 4:13])
    assert np.all(lab[..., 0].max(axis=(1, 2)) - lab[..., 0].min(axis=(1, 2)) > 30)
    assert np.median(np.hypot(lab[..., 1], lab[..., 2])) < 6


def test_multicolored_scenes_show_three_hues(palette: Palette) -> None:
    scenes = draw_multi(np.random.default_rng(6), palette, 200)
    sure = scenes.shares[:, find_label("multi-colored")] > 0.85
    assert sure.mean() > 0.5
    lab = measure_lab(scenes.light[sure][:, 4:13, 4:13])
    hue = np.floor(np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) / 30)
    kinds = [len(np.unique(each)) for each in hue]
    assert np.mean(np.array(kinds) >= 3) > 0.9


def test_metal_mirrors_more_light_and_dark_than_plain_surfaces(palette: Palette) -> None:
    rng = np.random.default_rng(7)
    spread = [
        np.median(measure_lab(scenes.light)[:, 4:13, 4:13, 0].std(axis=(1, 2)))
        for scenes in (draw_metal(rng, palette, 300), draw_plain(rng, palette, 300))
    ]
    assert spread[0] > 2 * spread[1]


def test_the_camera_leaves_the_mean_color_about_where_it_was() -> None:
    scenes = np.full((2000, CANVAS_PX, CANVAS_PX, 3), 0.2, np.float32)
    photos = Camera().photograph(np.random.default_rng(8), scenes)
    # 0.2 of linear light is 124 in sRGB.
    assert abs(photos.mean() - 124) < 4
    assert photos.std(axis=(1, 2, 3)).max() > 3


def test_blur_keeps_flat_canvases_flat_and_smooths_others() -> None:
    flat = np.full((2, 17, 17, 3), 0.5, np.float32)
    np.testing.assert_allclose(blur(flat, np.array([0.0, 1.0])), flat, atol=1e-6)
    rough = np.random.default_rng(9).random((2, 17, 17, 3)).astype(np.float32)
    soft = blur(rough, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(soft[0], rough[0])
    assert soft[1].std() < 0.6 * rough[1].std()


def test_jpeg_sheets_give_every_canvas_back_in_its_place() -> None:
    levels = np.linspace(10, 245, 70).astype(np.uint8)
    canvases = np.broadcast_to(levels[:, None, None, None], (70, 17, 17, 3)).copy()
    offsets = np.random.default_rng(10).integers(0, 16, (70, 2))
    back = compress_canvases(canvases, offsets=offsets, quality=90, subsampling="4:2:0")
    assert np.abs(back.astype(int) - canvases).max() <= 3


def test_the_other_generator_makes_the_asked_number_of_every_label(tmp_path: Path) -> None:
    survey = read_survey(write_survey(tmp_path))
    patches, labels = generate_variant(survey, per_label=4, seed=1)
    assert patches.shape == (72, 9, 9, 3)
    assert np.bincount(labels).tolist() == [4] * 18
