"""Pictures decoded at a fraction of their size give the models the same crops."""

import numpy as np
import pytest
from PIL import Image

from dsapi.prediction.crops import Crop, cut_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, open_picture
from dsapi.prediction.points import Point
from dsapi.prediction.reduction import find_working_factor
from tests.pictures import encode

LIMITS = Limits(max_pixels=50_000_000, working_side=0)
SIZE = (64, 64)


def photo(format: str, **options: object) -> bytes:
    """Waves with noise: edges, colors and detail as in a photo."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:600, 0:800]
    waves = [128 + 90 * np.sin(x / (9 + 7 * band) + y / 31) for band in range(3)]
    pixels = np.stack(waves, axis=-1) + rng.normal(0, 20, (600, 800, 1))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return encode(image, format, **options)


def crop_at(data: bytes, factor: int) -> np.ndarray:
    picture = open_picture(data, LIMITS).decode(factor, Deadline.within(60))
    assert picture.factor == factor
    return cut_crop(Crop(80, "%"), Point(311, 203), picture, size=SIZE, resize="stretch")


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        # A scaled decoder leaves out high frequencies, where blocks are averaged.
        ("JPEG", {"quality": 92, "subsampling": 0}, 0.6),
        ("JPEG", {"quality": 92, "subsampling": 2}, 0.6),
        # Averages are rounded to whole levels, once or twice.
        ("PNG", {}, 0.3),
        ("WEBP", {"lossless": True}, 0.3),
    ],
)
def test_a_picture_decoded_at_half_its_size_gives_the_same_crop(
    format: str, options: dict[str, object], tolerance: float
) -> None:
    data = photo(format, **options)
    difference = crop_at(data, 1) - crop_at(data, 2)
    assert np.sqrt(np.mean(difference**2)) < tolerance


def test_a_crop_is_not_rounded_to_whole_levels() -> None:
    crop = crop_at(photo("PNG"), 1)
    assert crop.dtype == np.float32
    assert np.mean(np.abs(crop - crop.round()) > 0.1) > 0.5
    assert 0 <= crop.min() < crop.max() <= 255


def test_each_side_of_a_long_crop_is_averaged_by_itself() -> None:
    stripes = np.zeros((70, 16_000, 3), np.uint8)
    stripes[:, ::2] = 200
    stripes[:35, :, 1] = 50
    data = encode(Image.fromarray(stripes))
    picture = open_picture(data, LIMITS).decode(1, Deadline.within(60))
    crop = cut_crop(Crop(100, "%"), Point(5, 5), picture, size=SIZE, resize="stretch")
    np.testing.assert_allclose(crop[..., 0], 100, atol=1)
    np.testing.assert_allclose(crop[:30, :, 1], 50, atol=1)


@pytest.mark.parametrize(
    ("long_side", "working_side", "factor"),
    [
        *((2047, 2048, 1), (2048, 2048, 1), (2049, 2048, 2)),
        *((4096, 2048, 2), (4097, 2048, 4), (50_000, 0, 1)),
    ],
)
def test_a_picture_is_reduced_no_more_than_to_the_working_side(
    long_side: int, working_side: int, factor: int
) -> None:
    assert find_working_factor(long_side, working_side) == factor


@pytest.mark.parametrize(("asked", "factor"), [(1, 8), (2, 8), (8, 8), (16, 16)])
def test_a_picture_is_reduced_to_the_working_side_whatever_the_models_could_do_with(
    asked: int, factor: int
) -> None:
    opened = open_picture(photo("PNG"), Limits(max_pixels=50_000_000, working_side=100))
    assert opened.decode(asked, Deadline.within(60)).factor == factor
