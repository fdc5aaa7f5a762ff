"""Valid pictures: every one shows the quadrants of `scene`, as a person would see them."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pillow_heif
from PIL import Image

from tests.corpus.cjpeg import jpegs_by_cjpeg
from tests.corpus.heif import encode_heic, encode_tile, write_tiles
from tests.corpus.png import chunk, write_png
from tests.corpus.scene import (
    BLUE,
    GREEN,
    HEIGHT,
    QUADRANTS,
    RED,
    WHITE,
    WIDTH,
    Quadrants,
    draw,
    draw_gray,
    draw_with_hole,
    gray_quadrants,
    rgb_array,
)
from tests.corpus.tiff import rgb_tags, write_rgb_planes, write_rgb_tiles, write_tiff
from tests.pictures import encode

HOLED: Quadrants = (RED, GREEN, BLUE, WHITE)
# How `scene.draw` is stored so that EXIF turns it upright.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Valid:
    """A picture and what it shows."""

    format: str
    make: Callable[[], bytes]
    quadrants: Quadrants = QUADRANTS


def valid_pictures() -> dict[str, Valid]:
    """Every valid picture of the corpus by name."""
    return dict(
        (
            *_jpegs(),
            *_pngs(),
            *_gifs(),
            *_bmps(),
            *_tiffs(),
            *_webps(),
            *_avifs(),
            *_heics(),
            *_oriented(),
        )
    )


Named = Iterator[tuple[str, Valid]]


def _jpegs() -> Named:
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        yield f"JPEG {subsampling}", _valid("JPEG", draw(), subsampling=subsampling, quality=95)
    yield "JPEG progressive", _valid("JPEG", draw(), progressive=True, quality=95)
    yield "JPEG RGB", _valid("JPEG", draw(), keep_rgb=True)
    yield "JPEG gray", Valid("JPEG", partial(encode, draw_gray(), "JPEG"), gray_quadrants())
    yield "JPEG CMYK, inverted by Adobe", _valid("JPEG", draw().convert("CMYK"), quality=95)
    yield "JPEG CMYK progressive", _valid("JPEG", draw().convert("CMYK"), progressive=True)
    yield "JPEG with comment", _valid("JPEG", draw(), comment=b"hello " * 99, quality=95)
    jpeg = encode(draw(), "JPEG", quality=95, subsampling=0)
    yield "JPEG with trailing garbage", Valid("JPEG", lambda: jpeg + b"\xff\xd8\xff garbage" * 99)
    yield "JPEG with a second one behind it", Valid("JPEG", lambda: jpeg * 2)
    yield "JPEG with fill bytes", Valid("JPEG", lambda: jpeg[:2] + b"\xff" * 9 + jpeg[2:])
    yield "JPEG without end marker", Valid("JPEG", lambda: jpeg[:-2])
    for options, data in jpegs_by_cjpeg().items():
        yield f"JPEG {options}", Valid("JPEG", partial(bytes, data))
    yield "MPO", Valid("JPEG", _mpo)


def _mpo() -> bytes:
    other = Image.new("RGB", (WIDTH, HEIGHT), "black")
    return encode(draw(), "MPO", save_all=True, append_images=[other], quality=95)


def _pngs() -> Named:
    rgb = rgb_array()
    deep = rgb.astype(np.uint16) * 257
    hole = np.asarray(draw_with_hole())
    gray = np.asarray(draw_gray())[..., None]
    yield "PNG RGB", _valid("PNG", draw())
    yield "PNG gray", Valid("PNG", partial(encode, draw_gray(), "PNG"), gray_quadrants())
    yield (
        "PNG gray 16 bits",
        Valid("PNG", lambda: write_png(gray * np.uint16(257)), gray_quadrants()),
    )
    yield "PNG RGB 16 bits", Valid("PNG", lambda: write_png(deep))
    yield "PNG RGBA 16 bits", Valid("PNG", lambda: write_png(hole.astype(np.uint16) * 257), HOLED)
    yield "PNG interlaced", Valid("PNG", lambda: write_png(rgb, interlaced=True))
    yield (
        "PNG interlaced RGBA 16 bits",
        Valid("PNG", lambda: write_png(hole.astype(np.uint16) * 257, interlaced=True), HOLED),
    )
    yield "PNG RGBA", _valid("PNG", draw_with_hole(), quadrants=HOLED)
    yield (
        "PNG gray and alpha",
        Valid("PNG", lambda: encode(_gray_with_hole(), "PNG"), (*gray_quadrants()[:3], WHITE)),
    )
    palette = draw().quantize(4)
    yield "PNG palette", _valid("PNG", palette)
    yield (
        "PNG palette, one color transparent",
        _valid("PNG", palette, transparency=palette.getpixel((50, 40)), quadrants=HOLED),
    )
    alphas = bytearray(b"\xff" * 4)
    alphas[int(palette.getpixel((50, 40)))] = 0  # type: ignore[arg-type]
    yield (
        "PNG palette, alpha of each color",
        _valid("PNG", palette, transparency=bytes(alphas), quadrants=HOLED),
    )
    last = np.asarray(draw())[-1, -1]
    key = chunk(b"tRNS", struct.pack(">3H", *last))
    yield "PNG RGB, one color transparent", Valid("PNG", lambda: write_png(rgb, extra=key), HOLED)
    deep_key = chunk(b"tRNS", struct.pack(">3H", *(int(band) * 257 for band in last)))
    yield (
        "PNG RGB 16 bits, one color transparent",
        Valid("PNG", lambda: write_png(deep, extra=deep_key), HOLED),
    )
    gray_key = chunk(b"tRNS", struct.pack(">H", 230 * 257))
    yield (
        "PNG gray 16 bits, one shade transparent",
        Valid(
            "PNG",
            lambda: write_png(gray * np.uint16(257), extra=gray_key),
            (*gray_quadrants()[:3], WHITE),
        ),
    )
    yield "PNG 1 bit", Valid("PNG", lambda: encode(_black_and_white(), "PNG"), BITS)
    yield "APNG", _valid("PNG", draw(), save_all=True, append_images=[Image.new("RGB", (64, 48))])
    text = chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000)
    yield "PNG with 2 MB of text", Valid("PNG", lambda: write_png(rgb, extra=text))
    yield "PNG with text behind the pixels", Valid("PNG", lambda: write_png(rgb, after=text))
    yield "PNG with trailing garbage", Valid("PNG", lambda: write_png(rgb) + b"garbage" * 99)


BITS: Quadrants = ((0,) * 3, WHITE, WHITE, (0,) * 3)


def _black_and_white() -> Image.Image:
    return draw(BITS).convert("1")


def _gray_with_hole() -> Image.Image:
    image = draw_gray().convert("LA")
    image.paste((0, 0), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    return image


def _gifs() -> Named:
    palette = draw().quantize(4)
    yield "GIF", _valid("GIF", palette)
    yield "GIF not interlaced", _valid("GIF", palette, interlace=0)
    yield (
        "GIF transparent",
        _valid("GIF", palette, transparency=palette.getpixel((50, 40)), quadrants=HOLED),
    )
    others = [Image.new("P", (64, 48), shade) for shade in range(9)]
    yield "GIF animated", _valid("GIF", palette, save_all=True, append_images=others)
    yield "GIF with comment", _valid("GIF", palette, comment=b"x" * 5000)
    yield "GIF gray", Valid("GIF", partial(encode, draw_gray(), "GIF"), gray_quadrants())


def _bmps() -> Named:
    yield "BMP RGB", _valid("BMP", draw())
    yield "BMP palette", _valid("BMP", draw().quantize(4))
    yield "BMP gray", Valid("BMP", partial(encode, draw_gray(), "BMP"), gray_quadrants())
    yield "BMP 1 bit", Valid("BMP", lambda: encode(_black_and_white(), "BMP"), BITS)
    yield "BMP run-length encoded", Valid("BMP", _rle_bmp)
    yield "BMP top down", Valid("BMP", _top_down_bmp)


def _rle_bmp() -> bytes:
    half = bytes((WIDTH // 2,))
    rows = [half + bytes((left,)) + half + bytes((left + 1,)) + b"\0\0" for left in (2, 0)]
    pixels = rows[0] * (HEIGHT // 2) + rows[1] * (HEIGHT // 2) + b"\0\1"
    palette = b"".join(bytes((*color[::-1], 0)) for color in QUADRANTS)
    return _bmp(pixels, bits=8, compression=1, palette=palette)


def _top_down_bmp() -> bytes:
    return _bmp(rgb_array()[:, :, ::-1].tobytes(), height=-HEIGHT)


def _bmp(
    pixels: bytes,
    *,
    height: int = HEIGHT,
    bits: int = 24,
    compression: int = 0,
    palette: bytes = b"",
) -> bytes:
    start = 54 + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII",
        40,
        WIDTH,
        height,
        1,
        bits,
        compression,
        len(pixels),
        0,
        0,
        len(palette) // 4,
        0,
    )
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return head + info + palette + pixels


def _tiffs() -> Named:
    for compression in (
        *("raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "jpeg"),
        *("zstd", "lzma"),
    ):
        options = {"quality": 95} if compression == "jpeg" else {}
        yield f"TIFF {compression}", _valid("TIFF", draw(), compression=compression, **options)
    for compression in ("group3", "group4"):
        make = partial(encode, _black_and_white(), "TIFF", compression=compression)
        yield f"TIFF {compression}", Valid("TIFF", make, BITS)
    yield "TIFF RGBA", _valid("TIFF", draw_with_hole(), quadrants=HOLED)
    yield "TIFF palette", _valid("TIFF", draw().quantize(4))
    yield "TIFF gray", Valid("TIFF", partial(encode, draw_gray(), "TIFF"), gray_quadrants())
    yield "TIFF CMYK", _valid("TIFF", draw().convert("CMYK"))
    yield "TIFF big", _valid("TIFF", draw(), big_tiff=True)
    other = Image.new("RGB", (9, 9))
    yield "TIFF of two pages", _valid("TIFF", draw(), save_all=True, append_images=[other])
    yield "TIFF tiled", Valid("TIFF", lambda: write_rgb_tiles(rgb_array(), 16))
    yield "TIFF in planes", Valid("TIFF", lambda: write_rgb_planes(rgb_array()))
    yield "TIFF with two values where one belongs", Valid("TIFF", _two_values)
    yield "TIFF RGB 16 bits", Valid("TIFF", _deep_tiff)
    gray = np.asarray(draw_gray())
    for name, values in {
        "16 bits": gray.astype(np.uint16) * 257,
        "32 bits": gray.astype(np.int32) * 257,
        "floating point": (gray / 255).astype(np.float32),
        "floating point outside 0 to 1": _spread(gray),
    }.items():
        make = partial(encode, Image.fromarray(values), "TIFF")
        shades = _stretched() if "outside" in name else gray_quadrants()
        yield f"TIFF gray {name}", Valid("TIFF", make, shades)
    yield "TIFF CIELAB", Valid("TIFF", _lab_tiff)


def _spread(gray: np.ndarray) -> np.ndarray:
    return gray.astype(np.float32) * 8 - 500


def _stretched() -> Quadrants:
    first, *_, last = (shade[0] for shade in gray_quadrants())
    shades = [round((shade[0] - first) * 255 / (last - first)) for shade in gray_quadrants()]
    return tuple((shade,) * 3 for shade in shades)  # type: ignore[return-value]


def _two_values() -> bytes:
    doubled = {259: [1, 5], 278: [HEIGHT, 1], 284: [1] * 99}
    return write_tiff({**rgb_tags(WIDTH, HEIGHT), **doubled}, [rgb_array().tobytes()])


def _deep_tiff() -> bytes:
    tags = {**rgb_tags(WIDTH, HEIGHT), 258: [16, 16, 16], 278: [HEIGHT]}
    return write_tiff(tags, [(rgb_array().astype("<u2") * 257).tobytes()])


def _lab_tiff() -> bytes:
    from PIL import ImageCms

    lab = ImageCms.profileToProfile(
        draw(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    return encode(lab, "TIFF")


def _webps() -> Named:
    yield "WebP lossy", _valid("WEBP", draw(), quality=95)
    yield "WebP lossless", _valid("WEBP", draw(), lossless=True)
    yield "WebP with alpha", _valid("WEBP", draw_with_hole(), lossless=True, quadrants=HOLED)
    yield "WebP lossy with alpha", _valid("WEBP", draw_with_hole(), quality=95, quadrants=HOLED)
    others = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in range(9)]
    yield (
        "WebP animated",
        _valid("WEBP", draw(), save_all=True, append_images=others, lossless=True),
    )


def _avifs() -> Named:
    for subsampling in ("4:4:4", "4:2:0"):
        yield f"AVIF {subsampling}", _valid("AVIF", draw(), quality=95, subsampling=subsampling)
    yield "AVIF with alpha", _valid("AVIF", draw_with_hole(), quality=95, quadrants=HOLED)
    yield "AVIF gray", Valid("AVIF", partial(encode, draw_gray(), "AVIF"), gray_quadrants())
    others = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in range(3)]
    yield "AVIF animated", _valid("AVIF", draw(), quality=95, save_all=True, append_images=others)
    yield "AVIF with corrupt EXIF", Valid("AVIF", _avif_with_corrupt_exif)
    yield "AVIF in tiles", Valid("AVIF", partial(_tiled, b"av01"))


def _avif_with_corrupt_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    data = encode(draw(), "AVIF", quality=95, exif=exif.tobytes())
    return data.replace(block, block[:8] + b"\xff" * (len(block) - 8))


def _tiled(kind: bytes) -> bytes:
    """One tile a quadrant."""
    tiles = [encode_tile(Image.new("RGB", (128, 96), color), kind) for color in QUADRANTS]
    return write_tiles(tiles, kind=kind, size=(256, 192), tile_size=(128, 96), grid=(2, 2))


def _heics() -> Named:
    yield "HEIC", Valid("HEIC", lambda: _heic(draw()))
    yield "HEIC with alpha", Valid("HEIC", lambda: _heic(draw_with_hole()), HOLED)
    yield "HEIC gray", Valid("HEIC", lambda: _heic(draw_gray()), gray_quadrants())
    yield "HEIC in tiles", Valid("HEIC", lambda: _heic(draw(width=256, height=192), tile_size=64))
    yield "HEIC in tiles by hand", Valid("HEIC", partial(_tiled, b"hvc1"))
    yield "HEIC in tiles, turned", Valid("HEIC", _turned_tiles)
    yield "HEIC 10 bits", Valid("HEIC", _deep_heic)
    yield "HEIC of two pictures", Valid("HEIC", _two_heics)


def _heic(image: Image.Image, **options: object) -> bytes:
    return encode_heic(image, quality=95, chroma=444, **options)


def _turned_tiles() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = draw(width=256, height=192).transpose(Image.Transpose.ROTATE_90)
    return _heic(stored, exif=exif.tobytes(), tile_size=64)


def _deep_heic() -> bytes:
    deep = rgb_array().astype(np.uint16) * 257
    heif = pillow_heif.from_bytes("RGB;16", (WIDTH, HEIGHT), deep.tobytes())
    return encode_heic(heif, quality=95, chroma=444)


def _two_heics() -> bytes:
    heif = pillow_heif.from_pillow(draw())
    heif.add_from_pillow(Image.new("RGB", (64, 48)))
    return encode_heic(heif, quality=95, chroma=444, primary_index=0)


def _oriented() -> Named:
    for orientation in _STORED:
        for name in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIC"):
            make = partial(oriented_picture, orientation, name)
            yield f"{name} orientation {orientation}", Valid(name, make)


def oriented_picture(orientation: int, format: str, image: Image.Image | None = None) -> bytes:
    """Encode a picture that EXIF, or the container, turns upright."""
    image, turn = image or draw(), _STORED[orientation]
    stored = image if turn is None else image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if format == "HEIC":
        return _heic(stored, exif=exif.tobytes())
    if format == "TIFF":
        return encode(stored, "TIFF", tiffinfo={274: orientation})
    options = {} if format == "PNG" else {"quality": 95}
    return encode(stored, format, exif=exif.tobytes(), **options)


def _valid(
    format: str, image: Image.Image, *, quadrants: Quadrants = QUADRANTS, **options: object
) -> Valid:
    return Valid(format, partial(encode, image, format, **options), quadrants)
