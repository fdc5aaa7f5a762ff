"""HEIC in tiles: decoded tile by tile, byte for byte as libheif decodes the whole picture."""

import struct
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from dsapi.errors import DeadlineExceeded, TooLarge, UnreadableImage
from dsapi.prediction.crops import cut_crop, find_seen, parse_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, Picture, open_picture, read_picture
from dsapi.prediction.points import Point
from tests.corpus.heif import box, encode_tile, find_box, full_box, write_tiles
from tests.corpus.scene import draw

LIMITS = Limits()
Tile = tuple[bytes, bytes]


def photo(width: int, height: int) -> Image.Image:
    """Edges, shades and noise in every color."""
    noise = np.random.default_rng(3).normal(0, 12, (height, width, 3))
    shades = np.asarray(draw(width=width, height=height)) * np.linspace(0.3, 1, width)[:, None]
    return Image.fromarray(np.clip(shades + noise, 0, 255).astype(np.uint8))


def cut_tiles(image: Image.Image, side: tuple[int, int], **options: object) -> list[Tile]:
    """Encode every tile of an image, row by row; black where they reach past it."""
    (width, height), bits = side, options.pop("bits", 8)
    corners = [(x, y) for y in range(0, image.height, height) for x in range(0, image.width, width)]
    pieces = [image.crop((x, y, x + width, y + height)) for x, y in corners]
    if bits == 8:
        return [encode_tile(piece, b"hvc1", **options) for piece in pieces]
    deep = [(np.asarray(piece).astype(np.uint16) * 257).tobytes() for piece in pieces]
    images = [pillow_heif.from_bytes("RGB;16", side, each) for each in deep]
    return [encode_tile(each, b"hvc1", **options) for each in images]


def write_grid(
    tiles: list[Tile],
    size: tuple[int, int] = (300, 200),
    side: tuple[int, int] = (128, 128),
    *,
    properties: Sequence[bytes] = (),
    tile_properties: Sequence[bytes] = (),
    parts: list[int] | None = None,
) -> bytes:
    return write_tiles(
        tiles,
        kind=b"hvc1",
        size=size,
        tile_size=side,
        grid=(-(-size[0] // side[0]), -(-size[1] // side[1])),
        parts=parts,
        properties=properties,
        tile_properties=tile_properties,
    )


def decode_whole(data: bytes) -> Image.Image:
    """Decode as libheif does by itself."""
    return pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True).to_pillow()


def show(picture: Picture) -> Image.Image:
    """The whole upright picture."""
    return picture.cut((0, 0, *picture.reduced_size))


def is_divided(data: bytes) -> bool:
    return open_picture(data, LIMITS).header.step_pixels > 0


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("chroma", [420, 422, 444])
@pytest.mark.parametrize(
    ("size", "side"),
    [
        ((256, 192), (128, 96)),
        ((300, 233), (130, 90)),
        ((233, 150), (64, 64)),
        ((80, 72), (80, 72)),
    ],
)
def test_tiles_decode_to_what_the_whole_picture_does(
    size: tuple[int, int], side: tuple[int, int], *, chroma: int, bits: int
) -> None:
    tiles = cut_tiles(photo(*size), side, quality=80, chroma=chroma, bits=bits)
    data = write_grid(tiles, size, side)
    assert is_divided(data)
    whole = decode_whole(data)
    for factor in (1, 2, 16):
        picture = open_picture(data, LIMITS).decode(factor, Deadline.within(60))
        assert np.array_equal(np.asarray(show(picture)), np.asarray(whole.reduce(factor)))


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    return cut_tiles(photo(300, 200), (128, 128))


def turn(quarters: int) -> bytes:
    return box(b"irot", bytes((quarters,)))


def mirror(axis: int) -> bytes:
    return box(b"imir", bytes((axis,)))


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("quarters", [None, 0, 1, 2, 3])
def test_tiles_are_turned_and_mirrored_as_the_container_says(
    tiles: list[Tile], quarters: int | None, axis: int | None
) -> None:
    turns = [] if quarters is None else [turn(quarters)]
    data = write_grid(tiles, properties=turns + ([] if axis is None else [mirror(axis)]))
    assert is_divided(data)
    picture, expected = read_picture(data, LIMITS), decode_whole(data)
    assert (picture.width, picture.height) == expected.size
    assert np.array_equal(np.asarray(show(picture)), np.asarray(expected))


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize(("crop", "size"), [("40%", (32, 32)), ("9px", (9, 9)), ("80%", (7, 50))])
def test_a_crop_is_the_same_where_only_its_tiles_are_decoded(
    tiles: list[Tile], crop: str, size: tuple[int, int], quarters: int, axis: int | None
) -> None:
    properties = [turn(quarters), *([] if axis is None else [mirror(axis)])]
    opened = open_picture(write_grid(tiles, properties=properties), LIMITS)
    around = parse_crop(crop)
    for x in range(0, opened.width, 37):
        point = Point(x, x * (opened.height - 1) // opened.width)
        seen = find_seen([(around, size)], [point], opened)
        for factor in (1,) if crop == "9px" else (1, 2, 32):
            crops = [
                cut_crop(around, point, picture, size=size, resize="stretch")
                for picture in (
                    opened.decode(factor, Deadline.far()),
                    opened.decode(factor, Deadline.far(), seen=seen),
                )
            ]
            np.testing.assert_array_equal(*crops)


@pytest.mark.parametrize(
    ("bad", "seen", "wider"),
    [
        # Two pixels beyond may be looked at.
        (5, (0, 0, 254, 200), (0, 0, 255, 200)),
        (5, (0, 0, 300, 126), (0, 0, 300, 127)),
        (3, (130, 0, 300, 200), (129, 0, 300, 200)),
        (1, (0, 130, 300, 200), (0, 129, 300, 200)),
        (2, (-50, -50, 254, 500), (-50, -50, 500, 500)),
    ],
)
def test_tiles_outside_of_what_is_seen_are_not_decoded(
    tiles: list[Tile],
    bad: int,
    seen: tuple[int, int, int, int],
    wider: tuple[int, int, int, int],
) -> None:
    gray = cut_tiles(photo(128, 128).convert("L"), (128, 128))[0]
    opened = open_picture(write_grid([*tiles[:bad], gray, *tiles[bad + 1 :]]), LIMITS)
    opened.decode(1, Deadline.far(), seen=seen)
    for more in (wider, None):
        with pytest.raises(UnreadableImage):
            opened.decode(1, Deadline.far(), seen=more)


@pytest.mark.parametrize(
    ("properties", "tile_properties"),
    [
        ([mirror(0), turn(1)], []),
        ([turn(1), turn(1)], []),
        ([box(b"clap", struct.pack(">8I", 200, 1, 100, 1, 0, 1, 0, 1))], []),
        ([], [turn(2)]),
    ],
    ids=["mirrored first", "turned twice", "cut", "turned tiles"],
)
def test_odd_grids_are_left_to_libheif(
    tiles: list[Tile], properties: list[bytes], tile_properties: list[bytes]
) -> None:
    data = write_grid(tiles, properties=properties, tile_properties=tile_properties)
    assert not is_divided(data)
    picture, expected = read_picture(data, LIMITS), decode_whole(data)
    assert (picture.width, picture.height) == expected.size
    assert np.array_equal(np.asarray(show(picture)), np.asarray(expected))


def name_colors(matrix: int, *, full_range: bool) -> bytes:
    numbers = struct.pack(">HHHB", 1, 13, matrix, full_range << 7)
    return box(b"colr", b"nclx", numbers)


PROFILE = box(b"colr", b"prof", bytes(200))


@pytest.mark.parametrize(
    ("properties", "tile_properties"),
    [
        ([name_colors(1, full_range=True)], []),
        ([name_colors(6, full_range=False)], []),
        ([], [name_colors(9, full_range=False)]),
        ([name_colors(1, full_range=False)], [name_colors(6, full_range=True)]),
        # A corrupt profile, which is passed over, beside numbers.
        ([PROFILE, name_colors(1, full_range=False)], [name_colors(6, full_range=True)]),
        ([PROFILE], [name_colors(1, full_range=False)]),
        ([], [PROFILE, name_colors(1, full_range=False)]),
    ],
)
def test_tiles_have_the_colors_that_the_container_names(
    tiles: list[Tile], properties: list[bytes], tile_properties: list[bytes]
) -> None:
    data = write_grid(tiles, properties=properties, tile_properties=tile_properties)
    assert is_divided(data)
    assert np.array_equal(np.asarray(show(read_picture(data, LIMITS))), decode_whole(data))


def split(content: bytes) -> list[tuple[bytes, bytes]]:
    """List the boxes in some content, each with what is in it."""
    boxes = []
    while content:
        length = int.from_bytes(content[:4], "big")
        boxes.append((content[4:8], content[8:length]))
        content = content[length:]
    return boxes


def add_transparency(data: bytes, veil: Tile, size: tuple[int, int]) -> bytes:
    """Add an item 99 that says how transparent item 1, a grid, is."""
    coded, description = veil
    meta = find_box(data, b"meta")
    parts = dict(split(meta[12:]))
    infe = full_box(b"infe", struct.pack(">HH", 99, 0), b"hvc1", b"\0", version=2)
    count = int.from_bytes(parts[b"iinf"][4:6], "big") + 1
    parts[b"iinf"] = bytes(4) + struct.pack(">H", count) + parts[b"iinf"][6:] + infe
    parts[b"iref"] += box(b"auxl", struct.pack(">HHH", 99, 1, 1))
    (_, properties), (_, uses) = split(parts[b"iprp"])
    first = len(split(properties)) + 1
    kind = full_box(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0")
    properties += description + full_box(b"ispe", struct.pack(">II", *size)) + kind
    uses = bytes(4) + struct.pack(">I", count) + uses[8:]
    uses += struct.pack(">HB", 99, 3) + bytes((0x80 | first, first + 1, 0x80 | first + 2))
    parts[b"iprp"] = box(b"ipco", properties) + box(b"ipma", uses)
    places = [struct.unpack(">HHHHII", each) for each in batched(parts[b"iloc"][8:], 16)]
    parts[b"iloc"] += bytes(16)
    longer = len(full_box(b"meta", *(box(*part) for part in parts.items()))) - len(meta)
    places = [(*place[:4], place[4] + longer * (place[1] == 0), place[5]) for place in places]
    places.append((99, 0, 0, 1, len(data) + longer + 8, len(coded)))
    entries = b"".join(struct.pack(">HHHHII", *place) for place in places)
    parts[b"iloc"] = parts[b"iloc"][:6] + struct.pack(">H", count) + entries
    changed = full_box(b"meta", *(box(*part) for part in parts.items()))
    return data.replace(meta, changed) + box(b"mdat", coded)


def batched(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def test_what_is_transparent_in_a_picture_of_tiles_is_white(tiles: list[Tile]) -> None:
    veil = Image.new("L", (300, 200), 255)
    veil.paste(0, (150, 0, 300, 200))
    data = add_transparency(write_grid(tiles), encode_tile(veil, b"hvc1"), (300, 200))
    assert decode_whole(data).mode == "RGBA"
    shown = np.asarray(show(read_picture(data, LIMITS)))
    assert shown[:, 170:].min() >= 250
    assert np.array_equal(shown[:, :130], np.asarray(decode_whole(write_grid(tiles)))[:, :130])


def test_a_grid_may_write_its_size_in_four_bytes(tiles: list[Tile]) -> None:
    data = write_grid(tiles)
    place = struct.pack(">HHHHII", 1, 1, 0, 1, 0, 8)
    assert data.count(place) == 1
    # ISO/IEC 23008-12, 6.6.2.3.2: by a flag; here outside of the item data box, too.
    wide = bytes((0, 1, 1, 2)) + struct.pack(">II", 300, 200)
    elsewhere = struct.pack(">HHHHII", 1, 0, 0, 1, len(data) + 8, len(wide))
    data = data.replace(place, elsewhere) + box(b"mdat", wide)
    assert is_divided(data)
    assert np.array_equal(np.asarray(show(read_picture(data, LIMITS))), decode_whole(data))


def test_gray_tiles_are_shown_in_gray() -> None:
    data = write_grid(cut_tiles(photo(300, 200).convert("L"), (128, 128)))
    assert is_divided(data)
    picture = read_picture(data, LIMITS)
    assert picture.image.mode == "L"
    assert np.array_equal(np.asarray(picture.image), np.asarray(decode_whole(data)))


def test_a_tile_that_is_shown_often_is_shown_everywhere() -> None:
    piece = photo(128, 128)
    data = write_grid(cut_tiles(piece, (128, 128)), parts=[2] * 6)
    assert is_divided(data)
    assert np.array_equal(np.asarray(show(read_picture(data, LIMITS))), decode_whole(data))


def test_the_deadline_is_looked_at_between_tiles() -> None:
    tile = encode_tile(Image.new("RGB", (512, 512), "teal"), b"hvc1")
    opened = open_picture(write_grid([tile] * 192, (8064, 6048), (512, 512)), LIMITS)
    # 192 tiles take far longer, and libheif never stops.
    with pytest.raises(DeadlineExceeded):
        opened.decode(1, Deadline.within(0.05))


def test_a_tile_that_takes_too_long_by_itself_is_refused() -> None:
    coded, description = encode_tile(Image.new("RGB", (512, 512), "teal"), b"hvc1")
    filler = b"\x4c\1" + b"\xff" * 10_000_000  # H.265, 7.3.2.8
    slow = (coded + struct.pack(">I", len(filler)) + filler, description)
    data = write_grid([(coded, description), slow], (1024, 512), (512, 512))
    with pytest.raises(TooLarge, match=r"takes about \d+ ms to decode, the limit is 1000 ms"):
        open_picture(data, LIMITS)


def test_more_tiles_than_the_limit_are_refused() -> None:
    # Each takes as long as one of 256 × 256 pixels.
    small = encode_tile(Image.new("RGB", (16, 16), "teal"), b"hvc1")
    data = write_grid([small], (496, 496), (16, 16), parts=[2] * 961)
    with pytest.raises(TooLarge, match="62980096 as coded, the limit for HEIC is 60000000"):
        open_picture(data, LIMITS)


@pytest.mark.parametrize("coded", [(64, 64), (120, 128), (256, 256), (2000, 2000)])
def test_tiles_of_another_size_than_they_say_are_unreadable(coded: tuple[int, int]) -> None:
    data = write_grid([encode_tile(Image.new("RGB", coded, "teal"), b"hvc1")] * 6)
    with pytest.raises(UnreadableImage):
        read_picture(data, LIMITS)


def test_a_tile_of_another_kind_is_unreadable(tiles: list[Tile]) -> None:
    gray = cut_tiles(photo(128, 128).convert("L"), (128, 128))[0]
    data = write_grid([tiles[0], *[gray] * 5])
    with pytest.raises(UnreadableImage):
        read_picture(data, LIMITS)


def test_a_configuration_that_is_copied_for_each_tile_is_short(tiles: list[Tile]) -> None:
    coded, description = tiles[0]
    data = write_grid([(coded, box(b"hvcC", description[8:], bytes(20_000)))] * 6)
    with pytest.raises(UnreadableImage, match="too long"):
        open_picture(data, LIMITS)


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_a_grid_of_too_few_or_too_many_tiles_is_unreadable(tiles: list[Tile], count: int) -> None:
    data = write_grid(tiles, parts=list(range(2, 8))[:count] + [2] * (count - 6))
    with pytest.raises(UnreadableImage):
        read_picture(data, LIMITS)


def test_tiles_that_are_not_in_the_file_are_unreadable(tiles: list[Tile]) -> None:
    for parts in ([2, 3, 4, 5, 6, 99], [2, 3, 4, 5, 6, 0]):
        with pytest.raises(UnreadableImage):
            read_picture(write_grid(tiles, parts=parts), LIMITS)
    data = write_grid(tiles)
    place = struct.pack(">I", data.index(b"mdat") + 4)
    assert data.count(place) == 1
    for lie in (2**31, len(data) - 3):
        with pytest.raises(UnreadableImage):
            read_picture(data.replace(place, struct.pack(">I", lie)), LIMITS)


def test_tiles_that_end_early_are_unreadable(tiles: list[Tile]) -> None:
    data = write_grid(tiles)
    for end in (len(data) - 1, len(data) - len(tiles[-1][0]) // 2, data.index(b"mdat") + 8):
        with pytest.raises(UnreadableImage):
            read_picture(data[:end], LIMITS)
    # The file goes on where the last tile ends.
    cut = [*tiles[:-1], (tiles[-1][0][:40], tiles[-1][1])]
    with pytest.raises(UnreadableImage):
        read_picture(write_grid(cut), LIMITS)


def test_a_grid_whose_sizes_differ_is_unreadable(tiles: list[Tile]) -> None:
    data = write_grid(tiles)
    said = b"ispe" + bytes(4) + struct.pack(">II", 300, 200)
    lying = data.replace(said, b"ispe" + bytes(4) + struct.pack(">II", 290, 200))
    with pytest.raises(UnreadableImage):
        read_picture(lying, LIMITS)
