"""Pictures: bytes in, a decoded upright RGB picture out.

Limits are checked on the header, before any pixel is decoded. Called by
`dsapi.prediction.predictor`.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from dsapi.errors import MissingImage, TooLarge, UnreadableImage, UnsupportedMediaType

_EXIF_ORIENTATION = 0x0112
# EXIF 2.32, tag 274: how to turn what is stored into what a person sees.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Limits:
    """What a picture may cost.

    Attributes:
        max_pixels: width × height by the header.
        working_side: longest side in pixels that a picture is worked on at; 0: any.
    """

    max_pixels: int
    working_side: int


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: upright, RGB, at ``1 / factor`` of the full size (rounded up).
        width: of the full upright picture, in pixels.
        height: likewise.
        factor: power of two by which `image` is reduced.
        format: JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF or HEIC.
        bytes: size of the encoded picture.
    """

    image: Image.Image
    width: int
    height: int
    factor: int
    format: str
    bytes: int


def read_picture(data: bytes, limits: Limits) -> Picture:
    """Decode a picture as a person sees it: upright, RGB, transparency on white.

    Raises:
        MissingImage: `data` is empty.
        UnsupportedMediaType: the bytes are no picture in a permitted format.
        TooLarge: more pixels than `limits` permit, by the header.
        UnreadableImage: truncated or corrupt.
    """
    if not data:
        raise MissingImage("the picture is empty: 0 bytes")
    name = recognize_format(data)
    with _opened(data, name) as image:
        width, height = image.size
        _check_pixels(width, height, limits.max_pixels)
        factor = reduction_factor(max(width, height), limits.working_side)
        try:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            pixels = _decode(image, factor)
        except Exception as error:  # on corrupt data Pillow's decoders raise almost anything
            raise UnreadableImage(f"the {name} picture is truncated or corrupt") from error
    if orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
        if orientation >= 5:
            width, height = height, width
    return Picture(pixels, width, height, factor=factor, format=name, bytes=len(data))


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
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[4:8] == b"ftyp":
        # ISO 14496-12: the major brand names the codec of the file.
        if head[8:12] in (b"avif", b"avis"):
            return "AVIF"
        if head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            return "HEIC"
    raise UnsupportedMediaType(
        "the bytes are no picture in a permitted format "
        "(JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC)"
    )


def reduction_factor(long_side: int, working_side: int) -> int:
    """Find the smallest power of two that brings a side within `working_side` (0: any size)."""
    factor = 1
    while working_side and long_side > working_side * factor:
        factor *= 2
    return factor


def _opened(data: bytes, name: str) -> Image.Image:
    """Read the header, with the decoder of this one format."""
    if name == "HEIC":
        raise UnsupportedMediaType("HEIC pictures cannot be decoded by this installation")
    try:
        return Image.open(BytesIO(data), formats=[name])
    except Exception as error:  # as above
        raise UnreadableImage(f"the {name} picture has no readable header") from error


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLarge(
            f"the picture has {width * height} pixels ({width} × {height}), "
            f"max_pixels is {max_pixels}"
        )


def _decode(image: Image.Image, factor: int) -> Image.Image:
    """Decode to RGB at ``1 / factor`` of the size, JPEGs directly in the decoder."""
    reduced = [-(-side // factor) for side in image.size]
    if factor > 1:
        # draft() picks the largest scale that stays at or above what is asked for; rounding
        # down keeps odd sizes from missing it by one pixel.
        image.draft("RGB", tuple(max(1, side // factor) for side in image.size))  # type: ignore[arg-type]
    pixels = _rgb(image)
    if list(pixels.size) != reduced:
        pixels = pixels.reduce(max(1, round(max(pixels.size) / max(reduced))))
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, with transparency composited on white."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")
