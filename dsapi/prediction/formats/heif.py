"""AVIF and HEIC (ISO/IEC 23008-12): pixels by libavif through Pillow, and by libheif.

Both turn the picture upright themselves, by the container's own properties; EXIF has no say in
these formats and is hidden from the decoders.
"""

from io import BytesIO

import pillow_heif
from PIL.AvifImagePlugin import AvifImageFile

from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats.header import (
    MAX_PARTS,
    MAX_PROFILE_BYTES,
    Header,
    Pixels,
    RawPixels,
    Reader,
    decode_with,
)

# Measured: planes of up to 10 bits, the result, one copy of it.
_AVIF_BYTES_PER_PIXEL = 13.0
_HEIC_BYTES_PER_PIXEL = 8.0
# Measured, of smooth pictures and of noise at every quality: 0.03 to 3.4 bytes a pixel.
_AVIF_NS_PER_PIXEL, _AVIF_NS_PER_BYTE = 14.0, 80.0
_HEIC_NS_PER_PIXEL, _HEIC_NS_PER_BYTE = 34.0, 100.0
_MAX_PIXELS = 25_000_000


def read_avif_header(data: bytes) -> Header:
    """Read the header of an AVIF picture.

    Raises:
        Exception: whatever libavif and Pillow raise on a malformed one.
    """
    hidden = _hide_exif(data, "AVIF")
    image = AvifImageFile(BytesIO(hidden))
    exif = image.getexif()
    return Header(
        "AVIF",
        *image.size,
        decode=lambda _, deadline: decode_with(AvifImageFile, hidden, deadline),
        coding="AVIF",
        # From the container; Pillow hands it on in a block that it made itself.
        orientation=int(exif.get(0x0112, 1)),
        profile=_profile(image.info.get("icc_profile")),
        bytes_per_pixel=_AVIF_BYTES_PER_PIXEL,
        fixed_bytes=2 * len(data),
        max_pixels=_MAX_PIXELS,
        ns_per_pixel=_AVIF_NS_PER_PIXEL,
        ns_per_byte=_AVIF_NS_PER_BYTE,
    )


def read_heic_header(data: bytes) -> Header:
    """Read the header of a HEIC picture.

    Raises:
        UnreadableImage: it holds no HEVC picture.
        Exception: whatever libheif raises on a malformed one.
    """
    hidden = _hide_exif(data, "HEIC")
    image = _primary_image(hidden)
    width, height = image.size
    return Header(
        "HEIC",
        width,
        height,
        decode=lambda _, deadline: _decode_heic(hidden, deadline),
        coding="HEIC",
        profile=_profile(image.info.get("icc_profile")),
        bytes_per_pixel=_HEIC_BYTES_PER_PIXEL,
        fixed_bytes=2 * len(data),
        max_pixels=_MAX_PIXELS,
        ns_per_pixel=_HEIC_NS_PER_PIXEL,
        ns_per_byte=_HEIC_NS_PER_BYTE,
    )


def _decode_heic(data: bytes, deadline: Deadline) -> Pixels:
    deadline.check()
    image = _primary_image(data)
    pixels = memoryview(image.data)
    return RawPixels(pixels, image.size, image.mode, image.stride)


def _primary_image(data: bytes) -> pillow_heif.HeifImage:
    heif = pillow_heif.HeifFile(BytesIO(data), convert_hdr_to_8bit=True, remove_stride=False)
    return heif[heif.primary_index]


def _hide_exif(data: bytes, what: str) -> bytes:
    """Rename the EXIF item in the ``meta`` box, so that its content is never parsed.

    Raises:
        UnreadableImage: the boxes are malformed, or the file ends within the coded data: libheif
            would show what there is of it.
    """
    reader = Reader(data, what)
    hidden = data
    offset = 0
    for _ in range(MAX_PARTS):
        if offset + 8 > len(data):
            return hidden
        length, kind, header = reader.number(offset, 4), data[offset + 4 : offset + 8], 8
        if length == 1:
            length, header = reader.number(offset + 8, 8), 16
        end = offset + length if length else len(data)
        if kind == b"mdat" and end > len(data):
            raise reader.unreadable("ends within its coded data")
        if kind == b"meta":
            meta = data[offset:end].replace(b"Exif", b"skip")
            hidden = b"".join((data[:offset], meta, data[end:]))
        if end < offset + header:
            return hidden
        offset = end
    raise reader.unreadable(f"has over {MAX_PARTS} boxes")


def _profile(profile: object) -> bytes:
    return profile if isinstance(profile, bytes) and len(profile) <= MAX_PROFILE_BYTES else b""
