"""WebP (RFC 9649): chunks by hand, the first frame by libwebp through Pillow."""

from PIL.WebPImagePlugin import WebPImageFile

from dsapi.prediction.formats.header import (
    MAX_PROFILE_BYTES,
    Header,
    Reader,
    decode_with,
    read_orientation,
)

# Two canvases of libwebp's animation decoder and one copy of the result; a little for the decoder.
_BYTES_PER_PIXEL = 12.3
_MAX_PIXELS = 25_000_000
# Measured, lossy, lossless and with alpha, at every quality.
_NS_PER_PIXEL, _NS_PER_BYTE = 24.0, 45.0


class _FirstFrame(WebPImageFile):
    """Lets go of libwebp's canvases once the first frame is copied out of them."""

    def _get_next(self) -> tuple[bytes, int, int]:
        frame: tuple[bytes, int, int] = super()._get_next()
        self._decoder = None
        return frame


def read_header(data: bytes) -> Header:
    """Read the first chunk and what comes beside the frames.

    Raises:
        UnreadableImage: malformed.
    """
    reader = Reader(data, "WEBP", byteorder="little")
    width, height = _read_size(reader)
    exif = _find_chunk(reader, b"EXIF")
    profile = _find_chunk(reader, b"ICCP")
    return Header(
        "WEBP",
        width,
        height,
        decode=lambda _, deadline: decode_with(_FirstFrame, data, deadline),
        coding="WebP",
        orientation=read_orientation(exif),
        profile=profile if len(profile) <= MAX_PROFILE_BYTES else b"",
        bytes_per_pixel=_BYTES_PER_PIXEL,
        fixed_bytes=2 * len(data),
        max_pixels=_MAX_PIXELS,
        ns_per_pixel=_NS_PER_PIXEL,
        ns_per_byte=_NS_PER_BYTE,
    )


def _read_size(reader: Reader) -> tuple[int, int]:
    kind = reader.bytes(12, 4)
    if kind == b"VP8X":
        return reader.number(24, 3) + 1, reader.number(27, 3) + 1
    if kind == b"VP8L":
        bits = reader.number(21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return reader.number(26, 2) & 0x3FFF, reader.number(28, 2) & 0x3FFF
    raise reader.unreadable("starts with no picture")


def _find_chunk(reader: Reader, wanted: bytes) -> bytes:
    """Find a chunk beside the frames; empty if there is none."""
    if reader.bytes(12, 4) != b"VP8X":
        return b""
    offset = 12
    while True:
        reader.count_part()
        if offset + 8 > len(reader.data):
            return b""
        length = reader.number(offset + 4, 4)
        if reader.bytes(offset, 4) == wanted:
            return reader.data[offset + 8 : offset + 8 + length]
        offset += 8 + length + length % 2
