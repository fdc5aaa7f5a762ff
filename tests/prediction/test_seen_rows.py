"""Of a JPEG only the rows that a crop needs are decoded, and its pixels stay the same."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from dsapi.errors import UnreadableImage
from dsapi.prediction.crops import Resize, cut_crop, find_seen, parse_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats import read_header
from dsapi.prediction.picture import Limits, Picture, open_picture
from dsapi.prediction.points import Point
from tests.pictures import encode, photo
from tests.tracing import tracing

LIMITS = Limits(max_pixels=50_000_000, working_side=0)
CORNER, ORIENTATION = Point(3, 3), 274
THEMES = ("80%", (64, 64))


def decode_twice(
    data: bytes, crop: str, point: Point, *, size: tuple[int, int], factor: int = 1
) -> tuple[Picture, Picture]:
    """Decode all of a picture, and what a crop needs."""
    opened = open_picture(data, LIMITS)
    seen = find_seen([(parse_crop(crop), size)], [point], opened)
    whole, part = (opened.decode(factor, Deadline.far(), seen=box) for box in (None, seen))
    return whole, part


def crops(
    pictures: tuple[Picture, Picture],
    crop: str,
    point: Point,
    *,
    size: tuple[int, int],
    resize: Resize = "stretch",
) -> list[np.ndarray]:
    return [
        cut_crop(parse_crop(crop), point, picture, size=size, resize=resize) for picture in pictures
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("factor", [1, 2, 8, 32])
def test_a_crop_is_the_same_as_from_the_whole_picture(
    orientation: int, subsampling: str, factor: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(photo(407, 303), "JPEG", exif=exif.tobytes(), subsampling=subsampling)
    opened = open_picture(data, LIMITS)
    saved = 0
    for crop, size in (THEMES, ("30%", (9, 9)), ("9px", (9, 9))):
        if crop.endswith("px") and factor > 1:
            continue
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.4)):
            point = Point(int(x * (opened.width - 1)), int(y * (opened.height - 1)))
            pictures = decode_twice(data, crop, point, size=size, factor=factor)
            saved += pictures[0].image.height - pictures[1].image.height
            np.testing.assert_array_equal(*crops(pictures, crop, point, size=size))
    assert saved > 0


@pytest.mark.parametrize("resize", ["stretch", "center-crop", "letterbox"])
@pytest.mark.parametrize("size", [(224, 224), (50, 3), (3, 50), (1, 1)])
@pytest.mark.parametrize("shape", [(1000, 90), (90, 1000), (640, 480)])
def test_the_blocks_that_a_crop_is_averaged_from_are_whole(
    resize: Resize, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    data = encode(photo(*shape), "JPEG")
    for crop in ("5%", "33%", "61%", "80%"):
        for y in range(0, shape[1], 29):
            point = Point(shape[0] // 2, y)
            pictures = decode_twice(data, crop, point, size=size)
            np.testing.assert_array_equal(*crops(pictures, crop, point, size=size, resize=resize))


def test_the_blocks_of_a_letterbox_may_be_larger_than_its_scale() -> None:
    # 134 rows become 1.49, which is one, and 128 rows a block; across 90 columns become a pixel.
    data = encode(photo(3000, 447), "JPEG")
    for point in (Point(1500, 0), Point(1500, 90)):
        pictures = decode_twice(data, "30%", point, size=(50, 10))
        found = crops(pictures, "30%", point, size=(50, 10), resize="letterbox")
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32, 160])
def test_the_rows_asked_for_are_the_same_to_the_last(rows: int, subsampling: str) -> None:
    colors = np.random.default_rng(3).integers(0, 256, (200, 64, 3), np.uint8)
    data = encode(Image.fromarray(colors), "JPEG", subsampling=subsampling)
    header = read_header(data)
    assert header.read_part is not None
    top = header.read_part((0, 0, 1, rows))
    assert top is not None
    assert rows <= top.height < rows + 32
    whole, part = (np.asarray(each.decode(1, Deadline.far())) for each in (header, top))
    np.testing.assert_array_equal(part[:rows], whole[:rows])
    assert not np.array_equal(part, whole[: len(part)]) or subsampling == "4:4:4"


def _reencoded(**options: object) -> Callable[[], bytes]:
    return lambda: encode(photo(400, 300), "JPEG", **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: encode(photo(400, 300).convert("L"), "JPEG"),
        lambda: encode(photo(400, 300).convert("CMYK"), "JPEG"),
        _reencoded(restart_marker_rows=1),
        _reencoded(restart_marker_blocks=7),
        _reencoded(optimize=True),
        lambda: encode(photo(400, 300), "JPEG") + bytes(5000),
    ],
    ids=["gray", "CMYK", "restarts of rows", "restarts of blocks", "own tables", "trailing bytes"],
)
def test_every_kind_of_one_scan_ends_early(make: Callable[[], bytes]) -> None:
    pictures = decode_twice(make(), "80%", CORNER, size=THEMES[1])
    assert pictures[0].image.height == 300
    assert 240 < pictures[1].image.height < 280
    assert pictures[1].reduced_size == (400, 300)
    np.testing.assert_array_equal(*crops(pictures, "80%", CORNER, size=THEMES[1]))


def test_a_progressive_picture_is_decoded_whole() -> None:
    _, part = decode_twice(_reencoded(progressive=True)(), "80%", CORNER, size=THEMES[1])
    assert part.image.height == 300


def test_a_picture_that_ends_below_the_crop_is_still_truncated() -> None:
    data = _reencoded(quality=90)()
    for length in (len(data) * 97 // 100, len(data) - 3):
        with pytest.raises(UnreadableImage):
            decode_twice(data[:length], "9px", CORNER, size=(9, 9))


def test_damage_below_the_crop_changes_nothing_above() -> None:
    data = bytearray(_reencoded(quality=90)())
    at = len(data) * 95 // 100
    data[at : at + 40] = b"\x55" * 40
    pictures = decode_twice(bytes(data), "40%", CORNER, size=THEMES[1])
    assert pictures[1].image.height < 200
    np.testing.assert_array_equal(*crops(pictures, "40%", CORNER, size=THEMES[1]))


def test_a_picture_in_another_format_is_decoded_whole() -> None:
    _, part = decode_twice(encode(photo(400, 300)), "80%", CORNER, size=THEMES[1])
    assert part.image.height == 300


def test_damage_at_the_end_of_the_rows_that_are_needed_is_shown_as_in_the_whole_picture() -> None:
    data = encode(photo(64, 96), "JPEG", subsampling="4:4:4", restart_marker_rows=1)
    # After 5 rows of blocks, a marker that there is not: an error where nothing was wrong before.
    at = data.index(b"\xff\xd4")
    data = data[:at] + b"\xff\x81" + data[at + 2 :]
    for y in range(0, 96, 4):
        pictures = decode_twice(data, "9px", Point(3, y), size=(9, 9))
        np.testing.assert_array_equal(*crops(pictures, "9px", Point(3, y), size=(9, 9)))


@pytest.mark.parametrize("progressive", [False, True])
def test_the_copies_of_a_jpeg_that_decoding_makes_are_counted(progressive: bool) -> None:
    data = encode(photo(64, 48).convert("CMYK"), "JPEG", progressive=progressive)
    # Color profiles, and tables that say nothing.
    content = b"ICC_PROFILE\0\1\1" + bytes(50_000)
    more = b"".join(
        marker + struct.pack(">H", 2 + len(content)) + content
        for marker, content in ((b"\xff\xe2", content), (b"\xff\xdb", b"\3" + b"\1" * 64)) * 40
    )
    data = data[:2] + more + data[2:-2] + bytes(2_000_000) + data[-2:]
    with tracing() as read_peak:
        opened = open_picture(data, LIMITS)
        opened.decode(1, Deadline.far(), seen=(0, 0, 64, 8))
        peak_bytes = read_peak()
    assert len(data) < peak_bytes < opened.header.fixed_bytes + 100_000
