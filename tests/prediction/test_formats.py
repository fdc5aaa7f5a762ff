"""Every valid picture of the corpus comes back as a person sees it."""

import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dsapi.errors import DeadlineExceeded
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats import recognize_format
from dsapi.prediction.formats.header import read_orientation
from dsapi.prediction.picture import Limits, Picture, open_picture, read_picture
from tests.corpus.heif import box, encode_tile, write_tiles
from tests.corpus.png import chunk, write_png
from tests.corpus.profiles import rgb_profile
from tests.corpus.scene import QUADRANTS, draw
from tests.corpus.tiff import rgb_tags, write_tiff
from tests.corpus.valid import Valid, oriented_picture, valid_pictures
from tests.pictures import encode

LIMITS = Limits()
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


@pytest.mark.parametrize("compression", [1, 8], ids=["raw", "deflate"])
@pytest.mark.parametrize("sign", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_a_tiff_is_read_in_either_order_of_bytes(sign: str, big: bool, compression: int) -> None:
    # The last strip is shorter, and the file ends with it.
    strips = [np.asarray(draw())[top : top + 20].tobytes() for top in (0, 20, 40)]
    if compression == 8:
        strips = [zlib.compress(strip) for strip in strips]
    values = {256: 64, 257: 48, 258: 8, 259: compression, 262: 2, 277: 3, 278: 20}
    word, kind, head_bytes, entry_bytes = ("Q", 16, 16, 20) if big else ("I", 4, 8, 12)
    # The directory holds where the places and the lengths are; after it come they, and the strips.
    lists_at = head_bytes + (8 if big else 2) + 9 * entry_bytes + (8 if big else 4)
    lists_bytes = 3 * struct.calcsize(word)
    start = lists_at + 2 * lists_bytes
    offsets = [start + sum(map(len, strips[:index])) for index in range(3)]
    entries = {tag: struct.pack(f"{sign}HH{word}H", tag, 3, 1, it) for tag, it in values.items()}
    entries[273] = struct.pack(f"{sign}HH2{word}", 273, kind, 3, lists_at)
    entries[279] = struct.pack(f"{sign}HH2{word}", 279, kind, 3, lists_at + lists_bytes)
    head = struct.pack(f"{sign}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{sign}HI", 42, 8)
    data = b"".join(
        (
            b"II" if sign == "<" else b"MM",
            head,
            struct.pack(f"{sign}{'Q' if big else 'H'}", 9),
            *(entries[tag].ljust(entry_bytes, b"\0") for tag in sorted(entries)),
            bytes(8 if big else 4),
            struct.pack(f"{sign}6{word}", *offsets, *map(len, strips)),
            *strips,
        )
    )
    picture = read_picture(data, LIMITS)
    assert (picture.format, picture.width, picture.height) == ("TIFF", 64, 48)
    assert middles(picture) == [list(color) for color in QUADRANTS]


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        ((b"heic", b"mif1"), "HEIC"),
        ((b"mif1", b"heic"), "HEIC"),
        ((b"mif1", b"miaf", b"heix"), "HEIC"),
        ((b"msf1", b"hevc"), "HEIC"),
        ((b"avif", b"mif1"), "AVIF"),
        ((b"mif1", b"avif"), "AVIF"),
        ((b"msf1", b"iso8", b"avis"), "AVIF"),
    ],
)
def test_a_container_of_either_codec_is_told_by_the_first_brand_that_names_one(
    brands: tuple[bytes, ...], name: str
) -> None:
    major, *compatible = brands
    assert recognize_format(box(b"ftyp", major, bytes(4), *compatible)) == name


def test_the_transparent_color_of_a_png_of_16_bits_is_white() -> None:
    pixels = np.asarray(draw()).astype(np.uint16) * 256 + 7
    named = chunk(b"tRNS", struct.pack(">3H", *(value * 256 + 7 for value in QUADRANTS[1])))
    picture = read_picture(write_png(pixels, extra=named), LIMITS)
    seen = middles(picture)
    assert seen[1] == [255, 255, 255]
    assert [seen[0], *seen[2:]] == [list(QUADRANTS[at]) for at in (0, 2, 3)]


def test_what_stands_behind_a_chunk_of_odd_length_is_found_in_a_webp() -> None:
    exif = Image.Exif()
    exif[274] = 6
    profile = rgb_profile("sRGB")
    for padded in (profile, profile + b"\0"):
        data = encode(draw(), "WEBP", icc_profile=padded, exif=exif)
        picture = read_picture(data, LIMITS)
        assert (picture.width, picture.height) == (48, 64)


def test_the_scale_that_a_webp_names_beside_its_size_is_no_part_of_it() -> None:
    data = bytearray(encode(draw(), "WEBP", quality=95))
    assert data[12:16] == b"VP8 "
    # RFC 6386, 9.1: the two highest bits of width and height.
    data[27] |= 0x40
    data[29] |= 0x80
    picture = read_picture(bytes(data), LIMITS)
    assert (picture.width, picture.height) == (64, 48)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    assert read_orientation(exif.tobytes()) == 1
    tags = {**rgb_tags(64, 48), 274: [orientation]}
    picture = read_picture(write_tiff(tags, [np.asarray(draw()).tobytes()]), LIMITS)
    assert (picture.width, picture.height) == (64, 48)
    assert middles(picture) == [list(color) for color in QUADRANTS]


def test_of_two_exif_blocks_in_a_jpeg_the_first_counts() -> None:
    turned, other = (oriented_picture(orientation, "JPEG") for orientation in (6, 3))
    at = other.index(b"\xff\xe1")
    second = other[at : at + 2 + int.from_bytes(other[at + 2 : at + 4], "big")]
    end = turned.index(b"\xff\xdb")
    picture = read_picture(turned[:end] + second + turned[end:], LIMITS)
    assert picture.orientation == 6


def test_what_stands_between_two_segments_of_a_jpeg_is_skipped() -> None:
    data = encode(draw(), "JPEG", quality=95)
    at = data.index(b"\xff\xdb")
    picture = read_picture(data[:at] + b"\0\1\2" + data[at:], LIMITS)
    assert np.abs(np.array(middles(picture)) - np.array(QUADRANTS)).max() <= TOLERANCE


def test_a_jpeg_whose_first_scan_lacks_colors_is_kept_whole_and_costs_what_that_does() -> None:
    data = bytearray(encode(draw(), "JPEG"))
    assert open_picture(bytes(data), LIMITS).header.bytes_per_pixel == 0
    at = data.index(b"\xff\xda") + 4
    assert data[at] == 3
    data[at] = 1
    header = open_picture(bytes(data), LIMITS).header
    # Two bytes for each coefficient; half of the rows and columns of colors are left out.
    assert (header.coding, header.bytes_per_pixel) == ("progressive JPEG", 3)


def test_a_profile_that_is_cut_off_does_not_cost_a_tiff_its_picture() -> None:
    profile = rgb_profile("Display P3")
    data = encode(draw(), "TIFF", icc_profile=profile)
    entry = struct.pack("<HHI", 34675, 7, len(profile))
    assert data.count(entry) == 1
    longer = data.replace(entry, struct.pack("<HHI", 34675, 7, len(data)))
    picture = read_picture(longer, LIMITS)
    assert picture.conversion is None
    assert middles(picture) == [list(color) for color in QUADRANTS]
