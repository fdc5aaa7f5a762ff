"""AVIF and HEIC files by hand: what no encoder writes, such as pictures in lying tiles."""

import struct
from collections.abc import Sequence
from io import BytesIO

import pillow_heif
from PIL import Image

from tests.pictures import encode

_HEADER = {b"av01": b"av1C", b"hvc1": b"hvcC"}


def box(kind: bytes, *contents: bytes) -> bytes:
    """Write a box."""
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full_box(kind: bytes, *contents: bytes, version: int = 0) -> bytes:
    """Write a box with a version."""
    return box(kind, struct.pack(">I", version << 24), *contents)


def find_box(data: bytes, kind: bytes) -> bytes:
    """Copy the first box of a kind, however deep."""
    start = data.index(kind) - 4
    return data[start : start + int.from_bytes(data[start : start + 4], "big")]


def encode_heic(image: Image.Image | pillow_heif.HeifFile, **options: object) -> bytes:
    """Encode an image as HEIC; one of more than 8 bits comes as ``HeifFile``."""
    stream = BytesIO()
    heif = pillow_heif.from_pillow(image) if isinstance(image, Image.Image) else image
    heif.save(stream, **options)
    return stream.getvalue()


def encode_tile(
    image: Image.Image | pillow_heif.HeifFile, kind: bytes, **options: object
) -> tuple[bytes, bytes]:
    """Encode an image as ``av01`` or ``hvc1``; its coded data, and the box that describes it."""
    if kind == b"av01":
        chosen: dict[str, object] = {"quality": 90, "subsampling": "4:4:4", "speed": 10}
        whole = encode(image, "AVIF", **{**chosen, **options})
    else:
        whole = encode_heic(image, **{"quality": 90, **options})
    return find_box(whole, b"mdat")[8:], find_box(whole, _HEADER[kind])


def say_size(data: bytes, width: int, height: int) -> bytes:
    """Let the first ``ispe`` box say another size."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def write_tiles(
    tiles: list[tuple[bytes, bytes]],
    *,
    kind: bytes,
    size: tuple[int, int],
    tile_size: tuple[int, int],
    grid: tuple[int, int],
    parts: list[int] | None = None,
    properties: Sequence[bytes] = (),
    tile_properties: Sequence[bytes] = (),
) -> bytes:
    """Write a picture put together from tiles.

    Args:
        tiles: coded data of each and the box that describes them, as `encode_tile` makes them.
        kind: ``av01`` or ``hvc1``.
        size: width and height of the picture.
        tile_size: of each tile, as the file says.
        grid: columns and rows.
        parts: numbers of the items that the picture shows; the tiles are 2, 3, …
        properties: further boxes that describe the picture.
        tile_properties: likewise, each tile.
    """
    numbers = list(range(2, 2 + len(tiles)))
    parts = numbers if parts is None else parts
    kinds = [(1, b"grid"), *((number, kind) for number in numbers)]
    entries = [
        full_box(b"infe", struct.pack(">HH", number, 0), name, b"\0", version=2)
        for number, name in kinds
    ]
    parts_box = box(
        b"dimg", struct.pack(">HH", 1, len(parts)), struct.pack(f">{len(parts)}H", *parts)
    )
    ispe = (full_box(b"ispe", struct.pack(">II", *each)) for each in (size, tile_size))
    every = [*ispe, full_box(b"pixi", b"\3\x08\x08\x08"), *properties, *tile_properties]
    first = 4 + len(properties)
    uses = [_use(1, 1, 3, *range(4, first))]
    for number, (_, description) in zip(numbers, tiles, strict=True):
        if description not in every:
            every.append(description)
        # The highest bit says that a reader must know the property.
        decoded_by = 0x80 | every.index(description) + 1
        uses.append(_use(number, 2, decoded_by, 3, *range(first, first + len(tile_properties))))
    content = (
        full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        full_box(b"pitm", struct.pack(">H", 1)),
        full_box(b"iinf", struct.pack(">H", len(kinds)), *entries),
        full_box(b"iref", parts_box),
        box(b"iprp", box(b"ipco", *every), full_box(b"ipma", struct.pack(">I", len(uses)), *uses)),
        box(b"idat", bytes((0, 0, grid[1] - 1, grid[0] - 1)), struct.pack(">HH", *size)),
    )
    brand = {b"av01": b"avif", b"hvc1": b"heic"}[kind]
    start = box(b"ftyp", brand, bytes(4), brand, b"mif1miaf")
    data = [tile for tile, _ in tiles]
    places = _write_places(data, start=0)
    first = len(start) + len(full_box(b"meta", *content, places)) + 8
    places = _write_places(data, start=first)
    return start + full_box(b"meta", *content, places) + box(b"mdat", *data)


def _use(number: int, *properties: int) -> bytes:
    """Write the numbers of an item's properties, from 1."""
    return struct.pack(">HB", number, len(properties)) + bytes(properties)


def _write_places(data: list[bytes], *, start: int) -> bytes:
    entries = [struct.pack(">HHHHII", 1, 1, 0, 1, 0, 8)]
    for index, each in enumerate(data):
        entries.append(struct.pack(">HHHHII", 2 + index, 0, 0, 1, start, len(each)))
        start += len(each)
    return full_box(b"iloc", b"\x44\0", struct.pack(">H", len(entries)), *entries, version=1)
