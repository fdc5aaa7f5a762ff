"""AVIF and HEIC (ISO/IEC 23008-12): pixels by libavif through Pillow, and by libheif.

Both turn the picture upright themselves, by the container's own properties; EXIF has no say in
these formats and is hidden from the decoders.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import pillow_heif
from PIL.AvifImagePlugin import AvifImageFile

from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats.av1 import read_frames
from dsapi.prediction.formats.boxes import DERIVED, Box, Items, read_boxes, read_items
from dsapi.prediction.formats.header import (
    MAX_PROFILE_BYTES,
    Header,
    Pixels,
    RawPixels,
    Reader,
    decode_with,
)
from dsapi.prediction.formats.hevc import Coded, read_coded
from dsapi.prediction.formats.primaries import write_profile
from dsapi.prediction.formats.tracks import read_first_samples

# Measured: planes of up to 10 bits, the result, one copy of it.
_AVIF_BYTES_PER_PIXEL = 13.0
# Measured, likewise, for each sample: of 8 bits, of more.
_HEIC_BYTES_PER_SAMPLE, _DEEP_HEIC_BYTES_PER_SAMPLE = 3.5, 5.5
# Measured, of smooth pictures and of noise at every quality: 0.01 to 3.4 bytes a pixel.
_AVIF_NS_PER_PIXEL, _AVIF_NS_PER_BYTE = 48.0, 55.0
_HEIC_NS_PER_SAMPLE, _DEEP_HEIC_NS_PER_SAMPLE, _HEIC_NS_PER_BYTE = 20.0, 28.0, 100.0
_MAX_PIXELS = 25_000_000
# However small, each takes as long as this many pixels: 0.2 ms, measured. libheif enforces no
# smaller size than 256 × 256 on the coded data.
_MIN_AVIF_PIXELS, _MIN_HEIC_PIXELS = 16_384, 65_536
# Encoders write equal tiles once and refer to them many times.
_MAX_REPEATED_BYTES = 1024 * 1024

# The size of every frame that is decoded for an item.
Frames = Callable[[int], list[tuple[int, int]]]


@dataclass(frozen=True)
class _Work:
    """What the decoder has to do.

    Attributes:
        pixels: of all frames of the picture, or of its transparency if that has more.
        coded_bytes: of their coded data.
        sizes: of the largest frames, where one item is the picture; else empty.
        profile: of the color space that the picture names by numbers; empty if it is sRGB.
        samples: for each pixel, transparency included.
        deep: more than 8 bits each.
    """

    pixels: int
    coded_bytes: int
    sizes: tuple[tuple[int, int], ...]
    profile: bytes = b""
    samples: float = 3.0
    deep: bool = True


def read_avif_header(data: bytes) -> Header:
    """Read the header of an AVIF picture.

    Raises:
        UnreadableImage: malformed, or its coded data are of another size than it says.
        Exception: whatever libavif and Pillow raise on a malformed one.
    """
    reader = Reader(data, "AVIF")
    boxes = read_boxes(reader, 0, len(data), strict=False)
    work = _find_avif_work(reader, boxes)
    hidden = _hide_exif(data, boxes)
    image = AvifImageFile(BytesIO(hidden))
    if work.sizes and image.size not in work.sizes:
        coded, said = (f"{width} × {height}" for width, height in (work.sizes[0], image.size))
        raise reader.unreadable(f"says {said} pixels, its coded data {coded}")
    exif = image.getexif()
    return Header(
        "AVIF",
        *image.size,
        decode=lambda _, deadline: decode_with(AvifImageFile, hidden, deadline),
        coding="AVIF",
        # From the container; Pillow hands it on in a block that it made itself.
        orientation=int(exif.get(0x0112, 1)),
        profile=_choose_profile(image.info.get("icc_profile"), work),
        bytes_per_pixel=_AVIF_BYTES_PER_PIXEL,
        fixed_bytes=2 * len(data),
        max_pixels=_MAX_PIXELS,
        ns_per_pixel=_AVIF_NS_PER_PIXEL,
        ns_per_byte=_AVIF_NS_PER_BYTE,
        coded_pixels=work.pixels,
        coded_bytes=work.coded_bytes,
    )


def read_heic_header(data: bytes) -> Header:
    """Read the header of a HEIC picture.

    Raises:
        UnreadableImage: it holds no HEVC picture, or is malformed.
        Exception: whatever libheif raises on a malformed one.
    """
    reader = Reader(data, "HEIC")
    boxes = read_boxes(reader, 0, len(data), strict=False)
    work = _find_heic_work(reader, boxes)
    hidden = _hide_exif(data, boxes)
    image = _primary_image(hidden)
    width, height = image.size
    return Header(
        "HEIC",
        width,
        height,
        decode=lambda _, deadline: _decode_heic(hidden, deadline),
        coding="HEIC",
        profile=_choose_profile(image.info.get("icc_profile"), work),
        bytes_per_pixel=work.samples
        * (_DEEP_HEIC_BYTES_PER_SAMPLE if work.deep else _HEIC_BYTES_PER_SAMPLE),
        fixed_bytes=2 * len(data),
        max_pixels=_MAX_PIXELS,
        ns_per_pixel=work.samples
        * (_DEEP_HEIC_NS_PER_SAMPLE if work.deep else _HEIC_NS_PER_SAMPLE),
        ns_per_byte=_HEIC_NS_PER_BYTE,
        coded_pixels=work.pixels,
        coded_bytes=work.coded_bytes,
    )


def _find_avif_work(reader: Reader, boxes: list[Box]) -> _Work:
    """Count what libavif decodes: the items or, of a sequence, the first sample of each track."""
    items = _read_only_items(reader, boxes)

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
        works.append(_Work(pixels, len(sample), tuple(frames)))
    return _Work(
        max(work.pixels for work in works),
        max(work.coded_bytes for work in works),
        tuple(size for work in works for size in work.sizes),
        works[0].profile,
    )


def _find_heic_work(reader: Reader, boxes: list[Box]) -> _Work:
    """Count what libheif decodes. It refuses by itself coded data larger than their item says."""
    items = _read_only_items(reader, boxes)
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
        samples=max(coded.samples for coded in found) + _has_alpha(reader, items),
        deep=any(coded.deep for coded in found),
    )


def _has_alpha(reader: Reader, items: Items) -> bool:
    """Whether any auxiliary item is one of transparency (ISO/IEC 23008-12, 6.6.2.1)."""
    kinds = (items.find_property(item, b"auxC") for item in items.kinds)
    names = (reader.bytes(box.start, box.end - box.start) for box in kinds if box is not None)
    return any(b"alpha" in name or b"auxid:1" in name for name in names)


def _read_only_items(reader: Reader, boxes: list[Box]) -> Items:
    found = [box for box in boxes if box.kind == b"meta"]
    if len(found) > 1:
        raise reader.unreadable("has two meta boxes")
    return read_items(reader, found[0]) if found else Items()


def _add_up(reader: Reader, items: Items, frames: Frames, *, smallest: int) -> _Work:
    """Add up the frames of all items that the picture and its transparency are made of."""
    if items.primary not in items.kinds:
        raise reader.unreadable("has no primary picture")
    shown = items.find_parts(reader, items.primary)
    veils = {
        part: [items.find_parts(reader, veil) for veil in items.auxiliary.get(part, [])]
        for part in set(shown)
    }
    every = [*shown, *(each for lists in veils.values() for veil in lists for each in veil)]
    coded = [item for item in every if items.kinds.get(item) not in DERIVED]
    coded_bytes = sum(items.count_bytes(item) for item in coded)
    if coded_bytes > 2 * len(reader.data) + _MAX_REPEATED_BYTES:
        raise reader.unreadable("uses the same coded data too often")
    sizes = {item: frames(item) for item in set(coded)}

    def count(parts: list[int]) -> int:
        return sum(_count_pixels(sizes.get(part, []), smallest=smallest) for part in parts)

    # Of an item's auxiliary ones only one is its transparency.
    veil_pixels = sum(max(map(count, lists), default=0) for lists in veils.values())
    single = sizes.get(items.primary, [])
    profile = _read_named_colors(reader, items, shown)
    return _Work(max(count(shown), veil_pixels), coded_bytes, tuple(single), profile)


def _count_pixels(sizes: list[tuple[int, int]], *, smallest: int) -> int:
    return sum(max(width * height, smallest) for width, height in sizes)


def _decode_heic(data: bytes, deadline: Deadline) -> Pixels:
    deadline.check()
    image = _primary_image(data)
    pixels = memoryview(image.data)
    return RawPixels(pixels, image.size, image.mode, image.stride)


def _primary_image(data: bytes) -> pillow_heif.HeifImage:
    """Choose the picture whose items were counted.

    Raises:
        UnreadableImage: libheif lists others only.
    """
    heif = pillow_heif.HeifFile(BytesIO(data), convert_hdr_to_8bit=True, remove_stride=False)
    image = heif[heif.primary_index]
    if not image.info["primary"]:
        raise Reader(data, "HEIC").unreadable("has no primary picture")
    return image


def _hide_exif(data: bytes, boxes: list[Box]) -> bytes:
    """Rename the EXIF item in the ``meta`` box, so that its content is never parsed."""
    for box in boxes:
        if box.kind == b"meta":
            meta = data[box.start : box.end].replace(b"Exif", b"skip")
            return b"".join((data[: box.start], meta, data[box.end :]))
    return data


def _read_named_colors(reader: Reader, items: Items, parts: list[int]) -> bytes:
    """Find the color space that an item, or its first part, names by numbers (``nclx``)."""
    for item in parts[:2]:
        colors = items.find_property(item, b"colr")
        if colors is not None and reader.bytes(colors.start, 4) == b"nclx":
            return write_profile(*(reader.number(colors.start + at, 2) for at in (4, 6)))
    return b""


def _choose_profile(embedded: object, work: _Work) -> bytes:
    """Take the embedded ICC profile, which comes before numbers (ISO/IEC 23000-22, 7.3.6.4)."""
    if isinstance(embedded, bytes) and embedded:
        return embedded if len(embedded) <= MAX_PROFILE_BYTES else b""
    return work.profile
