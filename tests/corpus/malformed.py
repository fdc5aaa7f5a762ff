"""Malformed pictures and what is no picture, each with the code of the error it must get."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from tests.corpus.bombs import jpeg_strips, scan_bomb, share_values, tall_jpeg_strip
from tests.corpus.png import SIGNATURE, chunk, header, write_png
from tests.corpus.scene import HEIGHT, WIDTH, draw, rgb_array
from tests.corpus.tiff import rgb_tags, write_rgb_tiles, write_tiff
from tests.corpus.valid import valid_pictures
from tests.pictures import encode

UNREADABLE, UNSUPPORTED, TOO_LARGE = "unreadable_image", "unsupported_media_type", "too_large"
# One of each decoder and container.
SEEDS = (
    *("JPEG 4:2:0", "JPEG progressive", "JPEG CMYK, inverted by Adobe", "JPEG -arithmetic", "MPO"),
    *("PNG RGB", "PNG palette", "PNG interlaced", "PNG gray 16 bits", "APNG"),
    *("GIF", "GIF animated", "BMP RGB", "BMP palette", "BMP run-length encoded"),
    *("TIFF raw", "TIFF tiff_lzw", "TIFF jpeg", "TIFF lzma", "TIFF tiled", "TIFF big"),
    *("TIFF group4", "TIFF gray floating point", "TIFF CIELAB"),
    *("WebP lossy", "WebP lossless", "WebP animated", "AVIF 4:2:0", "AVIF with alpha"),
    *("HEIC", "HEIC with alpha", "HEIC in tiles"),
)
Malformed = tuple[bytes, str]


def malformed_pictures() -> dict[str, Malformed]:
    """Every malformed picture by name, with the code of its error."""
    return dict(
        (*_jpegs(), *_pngs(), *_gifs(), *_bmps(), *_tiffs(), *_riffs(), *_boxes(), *_others())
    )


def truncated_pictures() -> dict[str, bytes]:
    """Every seed, cut at each eighth."""
    pictures = valid_pictures()
    return {
        f"{name}, {eighth}/8": data[: len(data) * eighth // 8]
        for name in SEEDS
        for data in [pictures[name].make()]
        for eighth in range(1, 8)
    }


def _jpegs() -> Iterator[tuple[str, Malformed]]:
    jpeg = encode(draw(), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    scan = jpeg.index(b"\xff\xda")
    size = struct.pack(">HH", 65500, 65500)
    yield "JPEG, start only", (b"\xff\xd8\xff", UNREADABLE)
    yield "JPEG without a scan", (jpeg[:scan] + b"\xff\xd9", UNREADABLE)
    yield "JPEG without a frame", (jpeg[:frame] + jpeg[scan:], UNREADABLE)
    yield "JPEG of no height", (jpeg[: frame + 5] + b"\0\0" + jpeg[frame + 7 :], UNREADABLE)
    yield "JPEG of no width", (jpeg[: frame + 7] + b"\0\0" + jpeg[frame + 9 :], UNREADABLE)
    yield "JPEG of 4 gigapixels", (jpeg[: frame + 5] + size + jpeg[frame + 9 :], TOO_LARGE)
    yield "JPEG of 12 bits", (jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :], UNREADABLE)
    yield (
        "JPEG with a segment past its end",
        (jpeg[:20] + b"\xff\xe1\xff\xff" + b"x" * 9, UNREADABLE),
    )
    yield "JPEG with a segment of length 0", (b"\xff\xd8\xff\xe1\0\0" * 9, UNREADABLE)
    yield "JPEG of 100,000 comments", (jpeg[:2] + b"\xff\xfe\0\2" * 100_000 + jpeg[2:], UNREADABLE)
    yield (
        "JPEG with impossible sampling",
        (
            jpeg[: frame + 11] + b"\x00" + jpeg[frame + 12 :],
            UNREADABLE,
        ),
    )
    yield "JPEG of a thousand scans", (scan_bomb(2000), TOO_LARGE)
    # A marker that stands alone, what follows is not its length.
    yield "JPEG of a thousand hidden scans", (scan_bomb(2000, b"\xff\x01"), TOO_LARGE)
    yield "JPEG of a thousand scans behind starts", (scan_bomb(2000, b"\xff\xd0"), TOO_LARGE)
    yield "JPEG of one pixel and 50,000 scans", (scan_bomb(1, count=50_000), TOO_LARGE)


def _pngs() -> Iterator[tuple[str, Malformed]]:
    png = write_png(rgb_array())
    idat = png.index(b"IDAT") - 4
    yield "PNG, signature only", (SIGNATURE, UNREADABLE)
    yield "PNG of no width", (SIGNATURE + header(0, 9) + png[33:], UNREADABLE)
    yield "PNG of 10 gigapixels", (SIGNATURE + header(100_000, 100_000) + png[33:], TOO_LARGE)
    yield (
        "PNG whose header is short",
        (SIGNATURE + chunk(b"IHDR", b"\0" * 9) + png[33:], UNREADABLE),
    )
    yield "PNG of 3 bits", (SIGNATURE + header(64, 48, bits=3) + png[33:], UNREADABLE)
    yield "PNG without pixels", (png[:idat] + chunk(b"IEND"), UNREADABLE)
    yield (
        "PNG with a chunk past its end",
        (
            png[:idat] + b"\x7f\xff\xff\xff" + png[idat + 4 :],
            UNREADABLE,
        ),
    )
    yield "PNG with too few pixels", (SIGNATURE + header(640, 480) + png[33:], UNREADABLE)
    yield (
        "PNG of no zlib",
        (
            SIGNATURE + header(64, 48) + chunk(b"IDAT", b"x" * 999) + chunk(b"IEND"),
            UNREADABLE,
        ),
    )
    yield (
        "PNG palette without one",
        (
            SIGNATURE + header(64, 48, color=3) + chunk(b"IDAT", zlib.compress(b"\0" * 9)),
            UNREADABLE,
        ),
    )
    many = chunk(b"tEXt") * 100_000
    yield "PNG of 100,000 chunks", (png[:idat] + many + png[idat:], UNREADABLE)


def _gifs() -> Iterator[tuple[str, Malformed]]:
    gif = encode(draw().quantize(4), "GIF")
    yield "GIF, header only", (gif[:13], UNREADABLE)
    yield "GIF without a frame", (gif[:10] + b"\0\0\0;", UNREADABLE)
    yield "GIF of 4 gigapixels", (gif[:6] + b"\xff" * 4 + gif[10:], TOO_LARGE)
    frame = gif.index(b",", 13)
    yield "GIF with an empty frame", (gif[: frame + 5] + b"\0" * 4 + gif[frame + 9 :], UNREADABLE)
    huge = gif[: frame + 5] + b"\xff" * 4 + gif[frame + 9 :]
    yield "GIF with a frame of 4 gigapixels", (huge, TOO_LARGE)
    comments = b"!\xfe\x01x\0" * 100_000
    yield "GIF of 100,000 comments", (gif[:frame] + comments + gif[frame:], UNREADABLE)
    blocks = b"!\xfe" + b"\x01x" * 100_000 + b"\0"
    yield "GIF with a comment of 100,000 blocks", (gif[:frame] + blocks + gif[frame:], UNREADABLE)


def _bmps() -> Iterator[tuple[str, Malformed]]:
    bmp = encode(draw(), "BMP")
    yield "BMP, two letters", (b"BM", UNREADABLE)
    yield "BMP of no width", (bmp[:18] + bytes(4) + bmp[22:], UNREADABLE)
    yield "BMP of 4 gigapixels", (bmp[:18] + b"\0\0\1\0" * 2 + bmp[26:], TOO_LARGE)
    yield "BMP of negative width", (bmp[:18] + b"\xff" * 4 + bmp[22:], TOO_LARGE)
    yield "BMP of 7 bits", (bmp[:28] + b"\7\0" + bmp[30:], UNREADABLE)
    yield "BMP compressed as JPEG", (bmp[:30] + b"\4\0\0\0" + bmp[34:], UNREADABLE)
    rle = valid_pictures()["BMP run-length encoded"].make()
    yield "BMP of 2 MB in runs", (rle + b"\0\0" * 1_000_000, TOO_LARGE)
    large = rle[:18] + struct.pack("<ii", 5000, 5000) + rle[26:]
    yield "BMP of 25 megapixels in runs", (large, TOO_LARGE)
    # Within either limit alone.
    both = rle[:18] + struct.pack("<ii", 2600, 2600) + rle[26:] + b"\0\0" * 300_000
    yield "BMP of 7 megapixels in 300,000 runs", (both, TOO_LARGE)


def _cut_planes() -> bytes:
    """Write a TIFF of three planes, the last of which lacks its last rows."""
    planes = [np.ascontiguousarray(rgb_array()[..., band]).tobytes() for band in range(3)]
    tags = {**rgb_tags(WIDTH, HEIGHT), 278: [HEIGHT], 284: [2]}
    return write_tiff(tags, [*planes[:2], planes[2][: -4 * WIDTH]])


def _cut_tile() -> bytes:
    """Write a TIFF of tiles whose last one ends with the file, and a byte too early."""
    pixels, side = rgb_array(), 16
    data = write_rgb_tiles(pixels, side)
    count = (WIDTH // side) * (HEIGHT // side)
    places = [8 + index * side * side * 3 for index in range(count)]
    listed = struct.pack(f"<{count}H", *places)
    assert data.count(listed) == 1
    moved = data.replace(listed, struct.pack(f"<{count}H", *places[:-1], len(data)))
    return moved + pixels[-side:, -side:].tobytes()[:-1]


def _shared_strips() -> bytes:
    """Write a TIFF of 30 strips in the same 200 kB, whose bits are turned for each."""
    turned = b"\x4f\xff" + bytes(200_000)  # PackBits: the next byte 15 times
    tags = {**rgb_tags(5, 30), 259: [32773], 266: [2], 278: [1]}
    data = write_tiff(tags, [turned, *[b""] * 29])
    places = struct.pack("<30I", 8, *[8 + len(turned)] * 29)
    lengths = struct.pack("<30I", len(turned), *[0] * 29)
    assert data.count(places) == data.count(lengths) == 1
    shared = struct.pack("<30I", *[len(turned)] * 30)
    return data.replace(places, struct.pack("<30I", *[8] * 30)).replace(lengths, shared)


def _tiffs() -> Iterator[tuple[str, Malformed]]:
    tags = {**rgb_tags(WIDTH, HEIGHT), 278: [HEIGHT]}
    pixels = rgb_array().tobytes()
    yield "TIFF, header only", (b"II*\0\x08\0\0\0", UNREADABLE)
    yield "TIFF directory outside", (b"II*\0\xff\xff\xff\x7f" + b"x" * 99, UNREADABLE)
    yield "TIFF of no width", (write_tiff({**tags, 256: [0]}, [pixels]), UNREADABLE)
    yield (
        "TIFF without height",
        (
            write_tiff({tag: value for tag, value in tags.items() if tag != 257}, [pixels]),
            UNREADABLE,
        ),
    )
    yield (
        "TIFF of 4 gigapixels",
        (
            write_tiff({**tags, 256: [65535], 257: [65535]}, [pixels]),
            TOO_LARGE,
        ),
    )
    # As few bytes as the directory has that is written behind a file.
    yield "TIFF without its last byte", (encode(draw(), "TIFF")[:-1], UNREADABLE)
    yield "TIFF without its last row", (encode(draw(), "TIFF")[: -WIDTH * 3], UNREADABLE)
    yield "TIFF without its last plane", (_cut_planes(), UNREADABLE)
    yield "TIFF without its last tile's end", (_cut_tile(), UNREADABLE)
    yield "TIFF of unknown compression", (write_tiff({**tags, 259: [777]}, [pixels]), UNREADABLE)
    shared = {**tags, 258: [8] * 2000, 266: [1] * 2000, 532: [0] * 2000, 338: [0] * 2000}
    yield (
        "TIFF of tags as long as all of it",
        (share_values(write_tiff(shared, [b"abc"])), UNREADABLE),
    )
    yield "TIFF of 200 samples", (write_tiff({**tags, 277: [200]}, [pixels]), UNREADABLE)
    yield (
        "TIFF with too few pixels",
        (
            write_tiff({**tags, 256: [999], 257: [999], 278: [999]}, [pixels]),
            UNREADABLE,
        ),
    )
    tiled = {**rgb_tags(WIDTH, HEIGHT), 322: [65520], 323: [65520]}
    yield (
        "TIFF with a tile of 4 gigapixels",
        (
            write_tiff(tiled, [pixels], tiled=True),
            TOO_LARGE,
        ),
    )
    strips = {**rgb_tags(1, 20_000), 278: [1]}
    yield "TIFF of 20,000 strips", (write_tiff(strips, [b"abc"] * 20_000), TOO_LARGE)
    whole = write_tiff(tags, [pixels])
    offset = whole.rindex(struct.pack("<HHI", 273, 3, 1))
    yield (
        "TIFF with pixels outside",
        (
            whole[:offset] + struct.pack("<HHII", 273, 4, 1, 1 << 30) + whole[offset + 12 :],
            UNREADABLE,
        ),
    )
    yield "TIFF of JPEG strips of 120 scans", (jpeg_strips(110), TOO_LARGE)
    yield "TIFF of JPEG tiles of 120 scans", (jpeg_strips(110, tiled=True), TOO_LARGE)
    yield "TIFF of a JPEG strip taller than the picture", (tall_jpeg_strip(), TOO_LARGE)
    many = whole[:offset] + struct.pack("<HHII", 273, 4, 1 << 28, 8) + whole[offset + 12 :]
    yield "TIFF with a tag past its end", (many, UNREADABLE)
    # Pillow makes a number of Python of each.
    at = whole.rindex(struct.pack("<HHI", 279, 3, 1))
    lengths = struct.pack("<HHII", 279, 3, 20_000, len(whole))
    longer = whole[:at] + lengths + whole[at + 12 :] + b"\0\x24" * 20_000
    yield "TIFF of a strip of 20,000 lengths", (longer, TOO_LARGE)
    tall = write_tiff({**rgb_tags(8000, 1), 259: [8], 322: [16], 323: [80_000]}, [b""], tiled=True)
    yield "TIFF of 640 megapixels in tiles of which one row is seen", (tall, TOO_LARGE)
    yield "TIFF of strips that share their data", (_shared_strips(), UNREADABLE)
    yield "TIFF of 20,000 bits", (write_tiff({**tags, 258: [8] * 20_000}, [pixels]), TOO_LARGE)


def _riffs() -> Iterator[tuple[str, Malformed]]:
    webp = encode(draw(), "WEBP", lossless=True)
    yield "WebP, header only", (webp[:12], UNREADABLE)
    yield "WebP of an unknown kind", (webp[:12] + b"VP9 " + webp[16:], UNREADABLE)
    yield "WebP of zeros", (webp[:21] + bytes(len(webp) - 21), UNREADABLE)
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    yield (
        "WebP of 281 terapixels",
        (
            b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas,
            TOO_LARGE,
        ),
    )
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(10) + b"xxxx\0\0\0\0" * 100_000
    yield (
        "WebP of 100,000 chunks",
        (
            b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks,
            UNREADABLE,
        ),
    )


def _boxes() -> Iterator[tuple[str, Malformed]]:
    for name, brand in (("AVIF", b"avif"), ("HEIC", b"heic")):
        start = struct.pack(">I", 20) + b"ftyp" + brand + bytes(4) + brand
        pictures = valid_pictures()
        whole = pictures["AVIF 4:2:0" if name == "AVIF" else "HEIC"].make()
        at = whole.index(b"ispe") + 8
        huge = whole[:at] + struct.pack(">II", 60_000, 60_000) + whole[at + 8 :]
        yield f"{name}, brand only", (start, UNREADABLE)
        yield f"{name} with a box of length 1", (start + struct.pack(">I", 1) + b"free", UNREADABLE)
        yield f"{name} with a box of length 4", (start + struct.pack(">I", 4) + b"free", UNREADABLE)
        yield (
            f"{name} with a huge meta box",
            (start + b"\x7f\xff\xff\xffmeta" + bytes(99), UNREADABLE),
        )
        # libavif refuses it by itself, in words of its own.
        code = UNREADABLE if name == "AVIF" else TOO_LARGE
        yield f"{name} of 3.6 gigapixels", (huge, code)


def _others() -> Iterator[tuple[str, Malformed]]:
    yield "text", (b"This is no picture. " * 50, UNSUPPORTED)
    yield "text that starts with BM", (b"BMW is a maker of cars. " * 50, UNSUPPORTED)
    yield "one byte", (b"\xff", UNSUPPORTED)
    yield "zeros", (bytes(5000), UNSUPPORTED)
    noise = np.random.default_rng(3).integers(1, 255, 5000, dtype=np.uint8).tobytes()
    yield "noise", (noise, UNSUPPORTED)
    yield "PDF", (b"%PDF-1.7\n" + b"x" * 99, UNSUPPORTED)
    yield "PostScript", (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UNSUPPORTED)
    yield "SVG", (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UNSUPPORTED)
    yield "PSD", (b"8BPS\0\1" + bytes(99), UNSUPPORTED)
    yield "FITS", (b"SIMPLE  =                    T" + b" " * 99, UNSUPPORTED)
    yield "MP4", (struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp42" + bytes(99), UNSUPPORTED)
    yield "ZIP", (b"PK\3\4" + bytes(99), UNSUPPORTED)
    for format in ("ICO", "TGA", "PPM", "JPEG2000", "PCX", "SGI", "DDS", "XBM", "EPS", "PDF"):
        image = draw().convert("1") if format == "XBM" else draw()
        yield f"a valid {format}", (encode(image, format), UNSUPPORTED)
    yield "a picture within another format", (b"8BPS\0\1" + encode(draw(), "PNG"), UNSUPPORTED)
