"""Every valid picture of the corpus comes back as a person sees it."""

import logging

import numpy as np
import pytest
from PIL import Image

from dsapi.errors import DeadlineExceeded
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, Picture, open_picture, read_picture
from tests.corpus.heif import box, encode_tile, write_tiles
from tests.corpus.scene import QUADRANTS, draw, encode
from tests.corpus.valid import Valid, valid_pictures

LIMITS = Limits(max_pixels=50_000_000, working_side=2048)
# Lossy coding at quality 95; a person sees no difference below 3 ΔE, about 8 levels.
TOLERANCE = 8
VALID = valid_pictures()


def middles(picture: Picture) -> list[list[int]]:
    """The color in the middle of each quadrant of the upright picture."""
    width, height = picture.reduced_size
    return [
        np.asarray(picture.cut((x - 2, y - 2, x + 3, y + 3)))
        .reshape(-1, 3)
        .mean(axis=0)
        .round()
        .astype(int)
        .tolist()
        for y in (height // 4, 3 * height // 4)
        for x in (width // 4, 3 * width // 4)
    ]


@pytest.mark.parametrize("case", VALID.values(), ids=VALID)
def test_a_valid_picture_shows_what_a_person_sees(
    case: Valid, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    picture = read_picture(case.make(), LIMITS)
    assert picture.format == case.format
    assert (picture.width * 48, picture.height) == (picture.height * 64, picture.height)
    assert np.abs(np.array(middles(picture)) - np.array(case.quadrants)).max() <= TOLERANCE
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"])
def test_past_the_deadline_nothing_is_decoded(format: str) -> None:
    opened = open_picture(next(e.make() for e in VALID.values() if e.format == format), LIMITS)
    with pytest.raises(DeadlineExceeded):
        opened.decode(1, Deadline.within(0))


def _heic_of_a_phone(width: int, height: int) -> bytes:
    """Tiles of 512 × 512 pixels, as phones write them."""
    tiles = [encode_tile(Image.new("RGB", (512, 512), color), b"hvc1") for color in QUADRANTS]
    columns, rows = -(-width // 512), -(-height // 512)
    quadrants = [
        tiles[2 * (2 * row >= rows) + (2 * column >= columns)]
        for row in range(rows)
        for column in range(columns)
    ]
    return write_tiles(
        quadrants,
        kind=b"hvc1",
        size=(width, height),
        tile_size=(512, 512),
        grid=(columns, rows),
    )


@pytest.mark.parametrize(
    ("format", "width", "height", "file_bytes"),
    [
        ("HEIC", 4032, 3024, 2_500_000),
        ("HEIC", 5712, 4284, 5_000_000),
        ("HEIC", 8064, 6048, 15_000_000),
        ("AVIF", 4032, 3024, 2_500_000),
        ("WEBP", 4032, 3024, 2_000_000),
        ("JPEG", 8064, 6048, 19_000_000),
        ("JPEG", 8160, 6120, 19_000_000),
    ],
)
def test_the_largest_usual_pictures_of_phones_are_answered(
    format: str, width: int, height: int, file_bytes: int
) -> None:
    if format == "HEIC":
        data = _heic_of_a_phone(width, height)
    else:
        fast = {"AVIF": {"speed": 10}, "WEBP": {"method": 0}}
        data = encode(draw(width=width, height=height), format, **fast.get(format, {}))
    # As large a file as photographs make: the limits go by it.
    padding = bytes(file_bytes - len(data))
    data += padding if format in ("JPEG", "WEBP") else box(b"free", padding)
    picture = read_picture(data, LIMITS)
    assert (picture.width, picture.height, picture.bytes >= file_bytes) == (width, height, True)
    assert np.abs(np.array(middles(picture)) - np.array(QUADRANTS)).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("values", "shades"),
    [
        ((0, 0.5, 1, np.nan), (0, 128, 255, 0)),
        ((0, 0.25, np.inf, -np.inf), (0, 64, 255, 0)),
        ((-3e38, 0, 3e38, np.nan), (0, 128, 255, 0)),
        ((-100, np.inf, 300, 100), (0, 255, 255, 128)),
        # Below black, but not above white.
        ((-1, 0, 1, 0.5), (0, 128, 255, 191)),
        ((np.nan, np.nan, np.inf, -np.inf), (0, 0, 255, 0)),
        # A NaN that signals, as no computation gives it.
        ((0, 1, 0.5, np.uint32(0x7F800001).view(np.float32)), (0, 255, 128, 0)),
    ],
)
def test_odd_floating_point_values_are_shown_without_a_warning(
    values: tuple[float, ...], shades: tuple[int, ...]
) -> None:
    gray = np.repeat(np.array(values, np.float32), 16)[None].repeat(16, axis=0)
    picture = read_picture(encode(Image.fromarray(gray), "TIFF"), LIMITS)
    shown = [np.asarray(picture.cut((16 * at, 0, 16 * at + 9, 9)))[4, 4, 0] for at in range(4)]
    assert shown == list(shades)


@pytest.mark.parametrize("mode", ["1", "LA", "P"])
def test_a_picture_wider_than_a_band_is_shown_in_full(mode: str) -> None:
    # A panorama of a scanner; a band is worked through at a time, of one row at least.
    width, height = 300_000, 5
    image = Image.new("L", (width, height), 0)
    image.paste(255, (width // 2, 0, width, height))
    picture = read_picture(encode(image.convert(mode), "PNG"), LIMITS)
    assert (picture.width, picture.height, picture.factor) == (width, height, 256)
    shown = np.asarray(picture.cut((0, 0, *picture.reduced_size)))[..., 0]
    middle = shown.shape[1] // 2
    assert (shown[:, : middle - 1].max(), shown[:, middle + 1 :].min()) == (0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_large_picture_is_put_together_of_all_its_bands(mode: str) -> None:
    image = draw(width=1600, height=2100).convert(mode)
    picture = read_picture(encode(image, "PNG"), LIMITS)
    assert (picture.factor, picture.reduced_size) == (2, (800, 1050))
    assert np.abs(np.array(middles(picture)) - np.array(QUADRANTS)).max() <= TOLERANCE
