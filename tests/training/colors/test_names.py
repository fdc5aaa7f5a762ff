"""The survey's terms fold onto the 18 labels, and the fold reads like people speak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsapi.errors import StartupError
from dsapi.training.colors.names import (
    COLOR_LABELS,
    ColorSurvey,
    NameSurface,
    fold_terms,
    mark_held_out,
    read_survey,
)
from dsapi.training.colors.science import decode_srgb, encode_srgb, measure_lab, render_lab
from tests.training.colors.survey import write_survey


def test_the_labels_are_alphabetical_and_eighteen() -> None:
    assert list(COLOR_LABELS) == sorted(COLOR_LABELS)
    assert len(COLOR_LABELS) == 18


def test_every_term_goes_to_known_labels_with_shares_that_sum_to_one() -> None:
    fold = fold_terms()
    assert len(fold) == 153
    for term, shares in fold.items():
        assert set(shares) <= set(COLOR_LABELS), term
        assert sum(shares.values()) == pytest.approx(1.0), term


def test_a_survey_file_becomes_answers_per_label(tmp_path: Path) -> None:
    survey = read_survey(write_survey(tmp_path))
    red = np.abs(survey.lab - [55.0, 80.0, 65.0]).sum(axis=1).argmin()
    assert COLOR_LABELS[survey.shares[red].argmax()] == "red"
    np.testing.assert_allclose(survey.shares.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "is no JSON"),
        (b"no json", "is no JSON"),
        (b"[]", "lacks"),
        (b"{}", "lacks"),
        (b'{"color": [0, 0, 0], "terms": ["blurple"], "T": [0, 1]}', "blurple"),
        (b'{"color": [0, 0], "terms": ["red"], "T": [0, 1]}', "is damaged"),
        (b'{"color": [0, 0, 0], "terms": ["red"], "T": [9, 1]}', "is damaged"),
    ],
)
def test_a_file_that_is_no_survey_is_an_operators_error(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "c3_data.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=rf"c3_data\.json.*{message}.*StanfordHCI/c3"):
        read_survey(path)


def test_colors_are_held_out_by_whole_cubes_and_about_one_in_five() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(-90, 90, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid.astype(np.float32)
    held = mark_held_out(grid)
    assert 0.15 < held.mean() < 0.25
    cubes = np.floor((grid + np.array([2.5, 302.5, 302.5])) / 15)
    _, cube = np.unique(cubes, axis=0, return_inverse=True)
    per_cube = np.bincount(cube.ravel(), held) / np.bincount(cube.ravel())
    assert set(np.unique(per_cube)) == {0.0, 1.0}


def test_photo_white_and_photo_black_reach_further_than_paper_and_ink() -> None:
    gray = np.zeros((1, len(COLOR_LABELS)), np.float32)
    gray[0, COLOR_LABELS.index("gray")] = 100
    survey = ColorSurvey(
        lab=np.repeat(np.array([[50.0, 0.0, 0.0]], np.float32), 8, 0), answers=gray.repeat(8, 0)
    )
    shares = NameSurface(survey).find_shares(
        np.array([[97, 0, 0], [50, 0, 0], [8, 0, 0]], np.float32)
    )
    assert [COLOR_LABELS[index] for index in shares.argmax(axis=1)] == ["white", "gray", "black"]


def test_lab_and_srgb_agree_with_published_values() -> None:
    encoded = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 128]], np.float32) / 255
    lab = measure_lab(decode_srgb(encoded))
    # CIELAB (D65) of sRGB red, white and navy, as in any color table.
    expected = [[53.24, 80.09, 67.20], [100.0, 0.0, 0.0], [12.97, 47.50, -64.70]]
    np.testing.assert_allclose(lab, expected, atol=0.05)
    np.testing.assert_allclose(encode_srgb(render_lab(lab)), encoded, atol=2e-3)
