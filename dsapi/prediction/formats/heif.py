"""AVIF and HEIC (ISO/IEC 23008-12): pixels by libavif through Pillow, and by libheif.

Both turn the picture upright themselves, by the container's own properties; EXIF has no say in
these formats and is hidden from the decoders.
"""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pillow_heif
from PIL.AvifImagePlugin import AvifImageFile

from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats.boxes import Box, Items, read_boxes, read_items
from dsapi.prediction.formats.grids import Grid, find_grid, write_tile
from dsapi.prediction.formats.header import (
    MAX_PROFILE_BYTES,
    Area,
    Decode,
    Header,
    RawPixels,
    Reader,
    decode_with,
)
from dsapi.prediction.formats.tiles import TiledPixels
from dsapi.prediction.formats.work import Work, find_avif_work, find_heic_work, has_alpha

# Measured: planes of up to 10 bits, the result, one copy of it.
_AVIF_BYTES_PER_PIXEL = 13.0
# Measured, of smooth pictures and of noise at every quality: 0.01 to 3.4 bytes a pixel.
_AVIF_NS_PER_PIXEL, _AVIF_NS_PER_BYTE = 48.0, 55.0
_HEIC_NS_PER_BYTE = 100.0
# Measured, likewise: bytes and nanoseconds for each sample of 8 bits, of more.
_HEIC_SAMPLE, _DEEP_HEIC_SAMPLE = (3.5, 20.0), (5.5, 28.0)
_MAX_PIXELS = 25_000_000
# Of tiles, which reach past the edges; the deadline is checked between two. 50 million shown in
# tiles of 512 × 512 are up to 56 million.
_MAX_GRID_PIXELS = 60_000_000


def read_avif_header(data: bytes) -> Header:
    """Read the header of an AVIF picture.

    Raises:
        UnreadableImage: malformed, or its coded data are of another size than it says.
        Exception: whatever libavif and Pillow raise on a malformed one.
    """
    reader = Reader(data, "AVIF")
    boxes = read_boxes(reader, 0, len(data), strict=False)
    work = find_avif_work(reader, boxes, read_items(reader, boxes))
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
    items = read_items(reader, boxes)
    work = find_heic_work(reader, items)
    hidden = _hide_others(data, items, work.items)
    image = _primary_image(hidden)
    mode, (width, height) = image.mode, image.size
    sample_bytes, sample_ns = _DEEP_HEIC_SAMPLE if work.deep else _HEIC_SAMPLE
    whole = Header(
        "HEIC",
        width,
        height,
        decode=lambda _, deadline: _decode_heic(hidden, deadline),
        coding="HEIC",
        profile=_choose_profile(image.info.get("icc_profile"), work),
        bytes_per_pixel=work.samples * sample_bytes,
        fixed_bytes=2 * len(data),
        max_pixels=_MAX_PIXELS,
        ns_per_pixel=work.samples * sample_ns,
        ns_per_byte=_HEIC_NS_PER_BYTE,
        coded_pixels=work.pixels,
        coded_bytes=work.coded_bytes,
    )
    grid = None if has_alpha(reader, items) else find_grid(reader, items)
    # What libheif understands in another way is left to it.
    if grid is None or grid.upright_size != (width, height):
        return whole

    def decode_tiles(seen: Area | None) -> Decode:
        return lambda _, deadline: TiledPixels(
            grid,
            mode,
            lambda item: _decode_heic(write_tile(reader, items, item), deadline),
            seen=seen,
        )

    return _divide(whole, grid, work, decode=decode_tiles)


def _divide(
    whole: Header, grid: Grid, work: Work, *, decode: Callable[[Area | None], Decode]
) -> Header:
    """Say what a picture costs that is decoded tile by tile, all of it or those of an area."""
    (width, height), tile_height = grid.size, grid.tile_size[1]
    tile_bytes = work.tile_pixels * whole.bytes_per_pixel + 3 * work.tile_bytes
    divided = replace(
        whole,
        width=width,
        height=height,
        decode=decode(None),
        orientation=grid.orientation,
        bytes_per_pixel=0.0,
        # One tile, and a row of them.
        fixed_bytes=whole.fixed_bytes + int(tile_bytes) + 3 * width * tile_height,
        max_pixels=_MAX_GRID_PIXELS,
        step_pixels=work.tile_pixels,
        step_bytes=work.tile_bytes,
    )
    return replace(divided, read_part=lambda area: replace(divided, decode=decode(area)))


def _decode_heic(data: bytes, deadline: Deadline) -> RawPixels:
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


def _hide_others(data: bytes, items: Items, shown: frozenset[int]) -> bytes:
    """Take all that is no part of the picture out of the list of items: EXIF, text, thumbnails.

    libheif would gather the data of each, however many share them, and pillow-heif copy what
    belongs to every picture of the file.
    """
    stream = BytesIO(data)
    for entry, number in items.entries:
        if number not in shown:
            stream.seek(entry.kind_at)
            stream.write(b"free")
    return stream.getvalue()


def _hide_exif(data: bytes, boxes: list[Box]) -> bytes:
    """Rename the EXIF item in the ``meta`` box, so that its content is never parsed."""
    for box in boxes:
        if box.kind == b"meta":
            meta = data[box.start : box.end].replace(b"Exif", b"skip")
            return b"".join((data[: box.start], meta, data[box.end :]))
    return data


def _choose_profile(embedded: object, work: Work) -> bytes:
    """Take the embedded ICC profile, which comes before numbers (ISO/IEC 23000-22, 7.3.6.4)."""
    if isinstance(embedded, bytes) and embedded:
        return embedded if len(embedded) <= MAX_PROFILE_BYTES else b""
    return work.profile
