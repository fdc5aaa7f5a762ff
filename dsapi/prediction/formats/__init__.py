"""Formats: the bytes of a picture in, a `Header` out that says what it is and decodes it.

One module a container, an explicit list of them. Called by `dsapi.prediction.picture`.
"""

from collections.abc import Callable

from dsapi.errors import RequestError, TooLarge, UnreadableImage, UnsupportedMediaType
from dsapi.prediction.formats import bmp, gif, heif, jpeg, png, tiff, webp
from dsapi.prediction.formats.header import Header

_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": jpeg.read_header,
    "PNG": png.read_header,
    "WEBP": webp.read_header,
    "GIF": gif.read_header,
    "BMP": bmp.read_header,
    "TIFF": tiff.read_header,
    "AVIF": heif.read_avif_header,
    "HEIC": heif.read_heic_header,
}
_BMP_HEADER_BYTES = {bytes((size, 0, 0, 0)) for size in (12, 40, 52, 56, 64, 108, 124)}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}


def read_header(data: bytes) -> Header:
    """Find out what a picture is and how to decode it, without decoding it.

    Raises:
        UnsupportedMediaType: the bytes are no picture in a permitted format.
        UnreadableImage: its headers are truncated or corrupt.
        TooLarge: its headers announce more than can be decoded in time, or memory is short.
    """
    name = recognize_format(data)
    try:
        return _READERS[name](data)
    except RequestError:
        raise
    except MemoryError as error:
        raise TooLarge(f"the {name} picture needs more memory than there is") from error
    except Exception as error:  # on corrupt data decoders raise almost anything
        raise UnreadableImage(f"the {name} picture has no readable header") from error


def recognize_format(data: bytes) -> str:
    """Name a picture's format by its first bytes; file names and media types do not count.

    Raises:
        UnsupportedMediaType: it is none of the permitted ones.
    """
    head = data[:32]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    # Two letters are no signature: the size of the header goes with them.
    if head.startswith(b"BM") and (len(head) < 18 or head[14:18] in _BMP_HEADER_BYTES):
        return "BMP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0\x08\0", b"MM\0+\0\x08")):
        return "TIFF"
    if head[4:8] == b"ftyp" and (name := _recognize_brand(data)):
        return name
    raise UnsupportedMediaType(
        "the bytes are no picture in a permitted format "
        "(JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC)"
    )


def _recognize_brand(data: bytes) -> str | None:
    """Name the codec of an ISO media file by its brands (ISO 14496-12, 4.3), the first that does.

    Containers of either codec (``mif1``) say it in the list of compatible brands.
    """
    length = min(int.from_bytes(data[:4], "big"), 512)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIC_BRANDS:
            return "HEIC"
    return None
