"""Boxes of HEIF files: which coded pictures make up the one that is shown; called by `heif`.

Read as strictly as decoders do, or more: what two readers could understand in two ways is refused.
ISO/IEC 14496-12 defines the boxes, 23008-12 the items.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dsapi.prediction.formats.header import Reader

# A phone's picture has 50 to 100 items. Reading this many takes 50 ms.
_MAX_ENTRIES = 10_000
# Items that show others: in tiles, in layers, as they are.
DERIVED = {b"grid", b"iovl", b"iden"}
_MAX_DEPTH = 4
_ALONE = (b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat")


@dataclass(frozen=True)
class Box:
    """A box: its type and where that stands, where its content starts and ends."""

    kind: bytes
    kind_at: int
    start: int
    end: int


@dataclass
class Items:
    """What a ``meta`` box says.

    Attributes:
        primary: number of the item that is shown.
        entries: the boxes that list the items, each with its item's number; ``None``: of an unknown
            version.
        kinds: type of each item: ``av01``, ``hvc1``, ``grid``, …
        places: construction method of each, and where its pieces start and how long they are.
        shows: the items that an item is put together from.
        auxiliary: the items that hold an item's transparency, depth and the like.
        properties: boxes of each item's properties.
        idat: where the data of construction method 1 starts.
    """

    primary: int = 0
    entries: list[tuple[Box, int | None]] = field(default_factory=list)
    kinds: dict[int, bytes] = field(default_factory=dict)
    places: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    shows: dict[int, list[int]] = field(default_factory=dict)
    auxiliary: dict[int, list[int]] = field(default_factory=dict)
    properties: dict[int, list[Box]] = field(default_factory=dict)
    idat: int = 0

    def find_parts(self, reader: Reader, item: int, *, depth: int = 0) -> list[int]:
        """List an item and what it is put together from, each as often as it is shown.

        Raises:
            UnreadableImage: too many of them, or nested too deeply.
        """
        reader.count_part()
        parts = [item]
        if self.kinds.get(item) not in DERIVED:
            return parts
        for part in self.shows.get(item, []):
            if depth == _MAX_DEPTH or len(parts) > _MAX_ENTRIES:
                raise reader.unreadable("is put together from too many items")
            parts += self.find_parts(reader, part, depth=depth + 1)
        return parts

    def find_property(self, item: int, kind: bytes) -> Box | None:
        """Find an item's property by its type."""
        return next((box for box in self.properties.get(item, []) if box.kind == kind), None)

    def count_bytes(self, item: int) -> int:
        """Count the bytes of an item's data."""
        return sum(length for _, length in self.places.get(item, (0, []))[1])

    def read_data(self, reader: Reader, item: int) -> bytes:
        """Gather an item's data.

        Raises:
            UnreadableImage: it has none, or not within this file.
        """
        method, pieces = self.places.get(item, (0, []))
        if method > 1 or not pieces or not all(length for _, length in pieces):
            raise reader.unreadable(f"has no data for item {item}")
        start = self.idat if method == 1 else 0
        return b"".join(reader.bytes(start + offset, length) for offset, length in pieces)


def read_boxes(reader: Reader, start: int, end: int, *, strict: bool = True) -> list[Box]:
    """List the boxes between two offsets.

    Args:
        reader: of the file.
        start: offset of the first.
        end: offset after the last.
        strict: refuse what is no box; else it ends the list, and a box past the end is cut.

    Raises:
        UnreadableImage: malformed, or too many.
    """
    boxes: list[Box] = []
    while start + 8 <= end:
        length, kind, header = reader.number(start, 4), reader.bytes(start + 4, 4), 8
        if length == 1:
            length, header = reader.number(start + 8, 8), 16
        stop = start + length if length else end
        if (strict and (stop > end or not length)) or stop < start + header:
            if strict:
                raise reader.unreadable(f"has a malformed box in its {start} first bytes")
            break
        boxes.append(Box(kind, start + 4, start + header, min(stop, end)))
        if kind == b"mdat" and stop > end:
            raise reader.unreadable("ends within its coded data")
        reader.count_part()
        start = stop
    return boxes


def read_items(reader: Reader, boxes: list[Box]) -> Items:
    """Read the ``meta`` box, if there is one.

    Args:
        reader: of the file.
        boxes: its outermost ones.

    Raises:
        UnreadableImage: malformed, or it says something twice.
    """
    items = Items()
    found = [box for box in boxes if box.kind == b"meta"]
    if len(found) > 1:
        raise reader.unreadable("has two meta boxes")
    children = [each for meta in found for each in read_boxes(reader, meta.start + 4, meta.end)]
    for kind in _ALONE:
        if sum(box.kind == kind for box in children) > 1:
            raise reader.unreadable(f"has two {kind.decode()} boxes")
    for box in children:
        version = reader.number(box.start, 1) if box.end > box.start else 0
        wide = 2 if version == 0 else 4
        if box.kind == b"pitm":
            items.primary = reader.number(box.start + 4, wide)
        elif box.kind == b"iinf":
            _read_kinds(reader, items, box, start=box.start + 4 + wide)
        elif box.kind == b"iloc":
            _read_places(reader, items, box, version=version)
        elif box.kind == b"iref":
            _read_references(reader, items, box, wide=wide)
        elif box.kind == b"iprp":
            _read_properties(reader, items, box)
        elif box.kind == b"idat":
            items.idat = box.start
    return items


def _read_kinds(reader: Reader, items: Items, box: Box, *, start: int) -> None:
    for entry in read_boxes(reader, start, box.end):
        # Only versions 2 and 3 name a type.
        version = reader.number(entry.start, 1)
        wide = {2: 2, 3: 4}.get(version, 0)
        if entry.kind != b"infe" or not wide:
            items.entries.append((entry, None))
            continue
        number = reader.number(entry.start + 4, wide)
        items.entries.append((entry, number))
        if number in items.kinds or len(items.kinds) >= _MAX_ENTRIES:
            raise reader.unreadable(f"has two items {number}, or over {_MAX_ENTRIES}")
        items.kinds[number] = reader.bytes(entry.start + 6 + wide, 4)


def _read_places(reader: Reader, items: Items, box: Box, *, version: int) -> None:
    sizes = reader.number(box.start + 4, 2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version else 0
    wide = 2 if version < 2 else 4
    at = box.start + 6 + wide
    entries = 0
    for _ in range(reader.number(box.start + 6, wide)):
        number = reader.number(at, wide)
        at += wide
        method = reader.number(at, 2) & 15 if version else 0
        at += 4 if version else 2
        base = reader.number(at, base_bytes)
        count = reader.number(at + base_bytes, 2)
        at += base_bytes + 2
        entries += 1 + count
        if number in items.places or entries > _MAX_ENTRIES:
            raise reader.unreadable(f"has two items {number}, or over {_MAX_ENTRIES} pieces")
        pieces = []
        for _ in range(count):
            offset = base + reader.number(at + index_bytes, offset_bytes)
            at += index_bytes + offset_bytes
            pieces.append((offset, reader.number(at, length_bytes)))
            at += length_bytes
        items.places[number] = (method, pieces)


def _read_references(reader: Reader, items: Items, box: Box, *, wide: int) -> None:
    entries = 0
    for entry in read_boxes(reader, box.start + 4, box.end):
        number, count = reader.number(entry.start, wide), reader.number(entry.start + wide, 2)
        entries += 1 + count
        if entries > _MAX_ENTRIES or (entry.kind == b"dimg" and number in items.shows):
            raise reader.unreadable(f"has too many references, or two lists for item {number}")
        start = entry.start + wide + 2
        targets = [reader.number(start + wide * index, wide) for index in range(count)]
        if entry.kind == b"dimg":
            items.shows[number] = targets
        elif entry.kind == b"auxl":
            for target in set(targets):
                items.auxiliary.setdefault(target, []).append(number)


def _read_properties(reader: Reader, items: Items, box: Box) -> None:
    children = read_boxes(reader, box.start, box.end)
    containers = [child for child in children if child.kind == b"ipco"]
    boxes = [each for ipco in containers for each in read_boxes(reader, ipco.start, ipco.end)]
    for number, index in _read_associations(reader, children):
        if 0 < index <= len(boxes):
            items.properties.setdefault(number, []).append(boxes[index - 1])


def _read_associations(reader: Reader, children: list[Box]) -> Iterator[tuple[int, int]]:
    """Give the items' numbers with those of their properties, from 1."""
    entries = 0
    for box in children:
        if box.kind != b"ipma":
            continue
        head = reader.number(box.start, 4)
        wide, index_bytes = (4 if head >> 24 else 2), (2 if head & 1 else 1)
        at = box.start + 8
        for _ in range(reader.number(box.start + 4, 4)):
            number, count = reader.number(at, wide), reader.number(at + wide, 1)
            at += wide + 1
            entries += 1 + count
            if entries > _MAX_ENTRIES:
                raise reader.unreadable(f"has over {_MAX_ENTRIES} properties")
            for _ in range(count):
                # The highest bit says that a reader must know the property.
                yield number, reader.number(at, index_bytes) & (1 << 8 * index_bytes - 1) - 1
                at += index_bytes
