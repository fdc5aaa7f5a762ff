"""The page's sample pictures are what the code beside them draws."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from dsapi.web.page import SAMPLES

FOLDER = Path(__file__).parents[2] / "static/samples"


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "draw.py"))


@pytest.mark.parametrize("name", [sample.name for sample in SAMPLES])
def test_a_sample_is_what_the_code_draws(drawing: dict[str, Any], name: str) -> None:
    drawn = np.asarray(drawing["draw"](name), np.float32)
    with Image.open(FOLDER / f"{name}.jpg") as image:
        stored = np.asarray(image, np.float32)
    assert drawn.shape == stored.shape
    assert np.abs(drawn - stored).mean() < 4


def test_samples_are_small_and_all_are_offered() -> None:
    files = {file.name: file.stat().st_size for file in FOLDER.glob("*.jpg")}
    names = [sample.name for sample in SAMPLES]
    assert sorted(files) == sorted([f"{n}.jpg" for n in names] + [f"{n}-small.jpg" for n in names])
    assert max(files.values()) < 100_000


def test_one_sample_is_stored_on_its_side_like_a_phones_photo() -> None:
    with Image.open(FOLDER / "harbor.jpg") as image:
        assert image.size == (960, 720)
        assert ImageOps.exif_transpose(image).size == (720, 960)
