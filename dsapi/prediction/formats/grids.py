"""Grids of HEVC tiles (ISO/IEC 23008-12, 6.6.2.3), as phones write HEIC; called by `heif`.

libheif decodes a whole picture at once: tens of megapixels, seconds in which nothing stops it. A
tile is a picture of its own, so each is written into a file of its own and decoded by itself.
"""

import struct
from dataclasses import dataclass

from dsapi.prediction.formats.boxes import Box, Items
from dsapi.prediction.formats.header import Reader
from dsapi.prediction.orientation import swaps_sides

# By the quarter turns to the left: unless mirrored, upside down, left to right.
_ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))
# Sizes have 12, colors named by numbers 11.
_MAX_PROPERTY_BYTES = 12
_TRANSFORMS = {b"irot", b"imir", b"clap"}


@dataclass(frozen=True)
class Grid:
    """A picture put together from tiles of one size.

    Attributes:
        size: width and height of the picture, before it is turned upright.
        tile_size: width and height of each tile; those at the right and the bottom may reach past
            the picture.
        rows: numbers of the items of each row of tiles, from the top.
        orientation: how the picture is turned upright: 1 to 8 as in EXIF.
    """

    size: tuple[int, int]
    tile_size: tuple[int, int]
    rows: tuple[tuple[int, ...], ...]
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        width, height = self.size
        return (height, width) if swaps_sides(self.orientation) else (width, height)


def find_grid(reader: Reader, items: Items) -> Grid | None:
    """Read the grid that is the primary picture.

    Returns:
        ``None`` if it is no grid, or an odd one that is left to libheif: of nested, turned or cut
        tiles, of more or fewer than it needs, or cut itself.

    Raises:
        UnreadableImage: its data are missing or end early.
    """
    tiles = tuple(items.shows.get(items.primary, []))
    orientation = _find_orientation(reader, items)
    sizes = {_find_tile_size(reader, items, tile) for tile in set(tiles)}
    if items.kinds.get(items.primary) != b"grid" or orientation is None or len(sizes) != 1:
        return None
    data = Reader(items.read_data(reader, items.primary), "HEIC")
    version, flags, rows, columns = data.bytes(0, 4)
    wide = 4 if flags & 1 else 2
    size = (data.number(4, wide), data.number(4 + wide, wide))
    counts = (columns + 1, rows + 1)
    tile_size = sizes.pop()
    if version or tile_size is None or len(tiles) != counts[0] * counts[1]:
        return None
    for whole, side, count in zip(size, tile_size, counts, strict=True):
        if not (count - 1) * side < whole <= count * side:
            return None
    starts = range(0, len(tiles), counts[0])
    lines = tuple(tiles[start : start + counts[0]] for start in starts)
    return Grid(size, tile_size, lines, orientation)


def write_tile(reader: Reader, items: Items, item: int) -> bytes:
    """Write a tile into a HEIC file of its own, with what decoding it takes.

    The numbers of its color space (``nclx``) are the picture's, if that names some.

    Raises:
        UnreadableImage: its data lie outside the file.
    """
    coded = items.read_data(reader, item)
    described = [items.find_property(item, kind) for kind in (b"ispe", b"hvcC")]
    described += _find_named_colors(reader, items, item)[:1]
    properties = [_copy(reader, box) for box in described if box is not None]
    uses = bytes((1, len(properties), *(0x80 | 1 + index for index in range(len(properties)))))
    start = _box(b"ftyp", b"heic", bytes(4), b"heic")
    children = (
        _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", b"\0\1"),
        _full_box(b"iinf", b"\0\1", _box(b"infe", b"\2\0\0\0", b"\0\1\0\0hvc1\0")),
        _box(b"iprp", _box(b"ipco", *properties), _full_box(b"ipma", b"\0\0\0\1\0", uses)),
    )

    def write_meta(offset: int) -> bytes:
        place = struct.pack(">4HII", 1, 1, 0, 1, offset, len(coded))
        return _full_box(b"meta", *children, _full_box(b"iloc", b"\x44\0", place))

    offset = len(start) + len(write_meta(0)) + 8
    return b"".join((start, write_meta(offset), _box(b"mdat", coded)))


def _find_orientation(reader: Reader, items: Items) -> int | None:
    """Find how the picture is turned, then mirrored; ``None`` if it is cut, or in another order."""
    transforms = [box for box in items.properties.get(items.primary, []) if box.kind in _TRANSFORMS]
    kinds = [box.kind for box in transforms]
    if kinds not in ([], [b"irot"], [b"imir"], [b"irot", b"imir"]):
        return None
    values = {box.kind: reader.number(box.start, 1) for box in transforms}
    mirror = 1 + (values[b"imir"] & 1) if b"imir" in values else 0
    return _ORIENTATIONS[values.get(b"irot", 0) & 3][mirror]


def _find_tile_size(reader: Reader, items: Items, item: int) -> tuple[int, int] | None:
    """Find a tile's width and height; ``None`` if it is none, or shown otherwise than coded."""
    size = items.find_property(item, b"ispe")
    kinds = {box.kind for box in items.properties.get(item, [])}
    if size is None or kinds & _TRANSFORMS or items.kinds.get(item) != b"hvc1":
        return None
    return reader.number(size.start + 4, 4), reader.number(size.start + 8, 4)


def _find_named_colors(reader: Reader, items: Items, item: int) -> list[Box]:
    """List what names the color space by numbers, of the picture and then of the tile."""
    every = (*items.properties.get(items.primary, []), *items.properties.get(item, []))
    colors = (box for box in every if box.kind == b"colr")
    return [box for box in colors if reader.bytes(box.start, 4) == b"nclx"]


def _copy(reader: Reader, box: Box) -> bytes:
    # Of all but the configuration the rest, if there is more, says nothing.
    most = box.end if box.kind == b"hvcC" else box.start + _MAX_PROPERTY_BYTES
    return _box(box.kind, reader.bytes(box.start, min(box.end, most) - box.start))


def _box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _full_box(kind: bytes, *contents: bytes) -> bytes:
    """Write a box of version 0."""
    return _box(kind, bytes(4), *contents)
