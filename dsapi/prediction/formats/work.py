"""What AVIF and HEIC decoders have to do, by the coded data; called by `heif`.

The container has no say in it: it may call 16 tiles of 16 megapixels each a picture of 64 × 64.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dsapi.prediction.formats.av1 import read_frames
from dsapi.prediction.formats.boxes import DERIVED, Box, Items
from dsapi.prediction.formats.header import Reader
from dsapi.prediction.formats.hevc import Coded, read_coded
from dsapi.prediction.formats.primaries import write_profile
from dsapi.prediction.formats.tracks import read_first_samples

# However small, each takes as long as this many pixels: 0.2 ms, measured. libheif enforces no
# smaller size than 256 × 256 on the coded data.
_MIN_AVIF_PIXELS, _MIN_HEIC_PIXELS = 16_384, 65_536
# Encoders write equal tiles once and refer to them many times.
_MAX_REPEATED_BYTES = 1024 * 1024

# The size of every frame that is decoded for an item.
Frames = Callable[[int], list[tuple[int, int]]]


@dataclass(frozen=True)
class Work:
    """What the decoder has to do.

    Attributes:
        pixels: of all frames of the picture, or of its transparency if that has more.
        coded_bytes: of their data, and of what says how they are put together.
        sizes: of the largest frames, where one item is the picture; else empty.
        items: numbers of all that the picture and its transparency are put together from.
        profile: of the color space that the picture names by numbers; empty if it is sRGB.
        samples: for each pixel, transparency included.
        deep: more than 8 bits each.
        tile_pixels: as `pixels`, of the item that has most.
        tile_bytes: as `coded_bytes`, likewise.
    """

    pixels: int
    coded_bytes: int
    sizes: tuple[tuple[int, int], ...]
    items: frozenset[int] = frozenset()
    profile: bytes = b""
    samples: float = 3.0
    deep: bool = True
    tile_pixels: int = 0
    tile_bytes: int = 0


def find_avif_work(reader: Reader, boxes: list[Box], items: Items) -> Work:
    """Count what libavif decodes: the items or, of a sequence, the first sample of each track.

    Raises:
        UnreadableImage: malformed, or put together from what is no AV1.
    """

    def read_item_frames(item: int) -> list[tuple[int, int]]:
        if items.kinds.get(item) != b"av01":
            raise reader.unreadable(f"is put together from item {item}, which is no AV1")
        return list(read_frames(reader, items.read_data(reader, item)))

    samples = read_first_samples(reader, boxes)
    works = []
    if items.primary in items.kinds or not samples:
        works.append(_add_up(reader, items, read_item_frames, smallest=_MIN_AVIF_PIXELS))
    for sample in samples:
        frames = list(read_frames(reader, sample))
        pixels = _count_pixels(frames, smallest=_MIN_AVIF_PIXELS)
        works.append(Work(pixels, len(sample), tuple(frames)))
    return Work(
        max(work.pixels for work in works),
        max(work.coded_bytes for work in works),
        tuple(size for work in works for size in work.sizes),
        profile=works[0].profile,
    )


def find_heic_work(reader: Reader, items: Items) -> Work:
    """Count what libheif decodes. It refuses by itself coded data larger than their item says.

    Raises:
        UnreadableImage: malformed, or put together from what is no HEVC.
    """
    found: list[Coded] = []

    def read_item_frames(item: int) -> list[tuple[int, int]]:
        size, config = (items.find_property(item, kind) for kind in (b"ispe", b"hvcC"))
        if items.kinds.get(item) != b"hvc1" or size is None or config is None:
            raise reader.unreadable(f"is put together from item {item}, which is no HEVC")
        side = (reader.number(size.start + 4, 4), reader.number(size.start + 8, 4))
        configuration = reader.bytes(config.start, config.end - config.start)
        coded = read_coded(reader, configuration, items.read_data(reader, item))
        found.append(coded)
        return [side] * coded.pictures

    work = _add_up(reader, items, read_item_frames, smallest=_MIN_HEIC_PIXELS)
    return replace(
        work,
        samples=max(coded.samples for coded in found) + has_alpha(reader, items),
        deep=any(coded.deep for coded in found),
    )


def has_alpha(reader: Reader, items: Items) -> bool:
    """Whether any auxiliary item is one of transparency (ISO/IEC 23008-12, 6.6.2.1)."""
    kinds = (items.find_property(item, b"auxC") for item in items.kinds)
    names = (reader.bytes(box.start, box.end - box.start) for box in kinds if box is not None)
    return any(b"alpha" in name or b"auxid:1" in name for name in names)


def _add_up(reader: Reader, items: Items, frames: Frames, *, smallest: int) -> Work:
    """Add up the frames of all items that the picture and its transparency are made of."""
    if items.primary not in items.kinds:
        raise reader.unreadable("has no primary picture")
    shown = items.find_parts(reader, items.primary)
    veils = {
        part: [items.find_parts(reader, veil) for veil in items.auxiliary.get(part, [])]
        for part in set(shown)
    }
    every = [*shown, *(each for lists in veils.values() for veil in lists for each in veil)]
    # Once for each: it may be shown thousands of times, and have thousands of pieces.
    lengths = {item: items.count_bytes(item) for item in set(every)}
    coded_bytes = sum(lengths[item] for item in every)
    if coded_bytes > 2 * len(reader.data) + _MAX_REPEATED_BYTES:
        raise reader.unreadable("uses the same coded data too often")
    sizes = {item: frames(item) for item in lengths if items.kinds.get(item) not in DERIVED}
    pixels = {item: _count_pixels(sides, smallest=smallest) for item, sides in sizes.items()}

    def count(parts: list[int]) -> int:
        return sum(pixels.get(part, 0) for part in parts)

    # Of an item's auxiliary ones only one is its transparency.
    veil_pixels = sum(max(map(count, lists), default=0) for lists in veils.values())
    single = sizes.get(items.primary, [])
    return Work(
        max(count(shown), veil_pixels),
        coded_bytes,
        tuple(single),
        items=frozenset(every),
        profile=_read_named_colors(reader, items, shown),
        tile_pixels=max(pixels.values(), default=0),
        tile_bytes=max(lengths.values(), default=0),
    )


def _count_pixels(sizes: list[tuple[int, int]], *, smallest: int) -> int:
    return sum(max(width * height, smallest) for width, height in sizes)


def _read_named_colors(reader: Reader, items: Items, parts: list[int]) -> bytes:
    """Find the color space that an item, or its first part, names by numbers (``nclx``)."""
    for item in parts[:2]:
        colors = items.find_property(item, b"colr")
        if colors is not None and reader.bytes(colors.start, 4) == b"nclx":
            return write_profile(*(reader.number(colors.start + at, 2) for at in (4, 6)))
    return b""
