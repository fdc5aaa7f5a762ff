"""BMP: header and pixels by Pillow, whose decoder of compressed ones is written in Python."""

from io import BytesIO

from PIL.BmpImagePlugin import BmpImageFile

from dsapi.prediction.formats.header import Header, Reader, decode_with

_RLE = {1, 2}
# Measured on a busy core: a byte for each pixel that a row lacks, two readings for each run.
_RLE_NS_PER_PIXEL, _RLE_NS_PER_BYTE = 120.0, 1000.0


def read_header(data: bytes) -> Header:
    """Read the header.

    Raises:
        UnreadableImage: it is malformed or of no known kind.
    """
    reader = Reader(data, "BMP", byteorder="little")
    rle = reader.number(14, 4) >= 40 and reader.number(30, 4) in _RLE
    image = BmpImageFile(BytesIO(data))
    return Header(
        "BMP",
        *image.size,
        decode=lambda _, deadline: decode_with(BmpImageFile, data, deadline),
        coding="run-length encoded BMP" if rle else "BMP",
        bytes_per_pixel=1 if len(image.getbands()) == 1 else 4,
        ns_per_pixel=_RLE_NS_PER_PIXEL if rle else 0.0,
        ns_per_byte=_RLE_NS_PER_BYTE if rle else 0.0,
    )
