"""BMP: header and pixels by Pillow, whose decoder of compressed ones is written in Python."""

from io import BytesIO

from PIL.BmpImagePlugin import BmpImageFile

from dsapi.errors import TooLarge
from dsapi.prediction.formats.header import Header, Reader, decode_with

_RLE = {1, 2}
# 0.5 µs a run and 0.05 µs a pixel.
_MAX_RLE_BYTES = 1024 * 1024
_MAX_RLE_PIXELS = 8_000_000


def read_header(data: bytes) -> Header:
    """Read the header.

    Raises:
        UnreadableImage: it is malformed or of no known kind.
        TooLarge: it is run-length encoded and longer than can be decoded in a second.
    """
    reader = Reader(data, "BMP", byteorder="little")
    rle = reader.number(14, 4) >= 40 and reader.number(30, 4) in _RLE
    if rle and len(data) > _MAX_RLE_BYTES:
        raise TooLarge(
            f"the BMP picture is run-length encoded and has {len(data)} bytes, "
            f"the limit for these is {_MAX_RLE_BYTES}"
        )
    image = BmpImageFile(BytesIO(data))
    return Header(
        "BMP",
        *image.size,
        decode=lambda _, deadline: decode_with(BmpImageFile, data, deadline),
        coding="run-length encoded BMP" if rle else "BMP",
        bytes_per_pixel=1 if len(image.getbands()) == 1 else 4,
        max_pixels=_MAX_RLE_PIXELS if rle else 0,
    )
