"""The worst accepted pictures: milliseconds and memory to decode each, in a process of its own.

Every picture has the first of a list of falling sizes that the limits accept. Shows processor
time, as the decoders that cannot be stopped at the deadline are bounded by these limits alone, and
the growth of the process's peak memory.

    python -m benchmarks.worst_pictures [--only png]
    python -m benchmarks.worst_pictures --folder DIR --make    # takes minutes
    python -m benchmarks.worst_pictures --folder DIR --rounds 3
"""

import argparse
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from dsapi.errors import MissingImage, TooLarge
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, open_picture
from tests.corpus.heif import box, encode_heic, encode_tile, write_tiles
from tests.corpus.png import SIGNATURE, chunk, header, write_png
from tests.pictures import encode

_LIMITS = Limits()
_MAX_BYTES = 20 * 1024 * 1024
_MEGAPIXELS = (49.9, 47, 44, 40, 36, 32, 28, 24.9, 22, 20, 18, 17, 16, 15, 14, 12.2, 8, 4)


def main() -> None:
    """Print one line for each kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of the name")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where pictures are kept for the next time")
    parser.add_argument("--make", action="store_true", help="make them only")
    parser.add_argument("--rounds", type=int, default=1, help="the slowest of them is shown")
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(arguments.measure.read_bytes()))
        return
    with TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not arguments.make:
            print("kind                        megapixels     MB     ms   MiB  (limit 207 MiB)")
        for name, make in kinds().items():
            if arguments.only.lower() not in name.lower():
                continue
            file = _find_largest(folder / name.replace(" ", "-").replace(":", ""), make)
            if not arguments.make:
                print(f"{name:26s}  {_run(file, arguments.rounds)}", flush=True)


def measure(data: bytes) -> str:
    """Decode once; processor milliseconds and MiB of growth."""
    before = _peak_mib("VmRSS")
    started = time.process_time()
    opened = open_picture(data, _LIMITS)
    picture = opened.decode(1, Deadline.within(600))
    taken_ms = (time.process_time() - started) * 1000
    grown = _peak_mib("VmHWM") - before + len(data) / 2**20
    megapixels = picture.width * picture.height / 1e6
    return f"{megapixels:10.1f} {len(data) / 1e6:6.1f} {taken_ms:6.0f} {grown:5.0f}"


def _peak_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if field in line)


def _find_largest(file: Path, make: Callable[[int, int], bytes]) -> Path:
    """Write the largest picture of a kind that is accepted, unless one is there that is."""
    if file.exists() and _is_accepted(file.read_bytes()):
        return file
    for megapixels in _MEGAPIXELS:
        side = int((megapixels * 1e6) ** 0.5)
        data = make(side, side)
        if _is_accepted(data):
            file.write_bytes(data)
            return file
    raise SystemExit(f"no {file.name} is accepted")


def _is_accepted(data: bytes) -> bool:
    try:
        open_picture(data, _LIMITS)
    except (TooLarge, MissingImage):
        return False
    return len(data) <= _MAX_BYTES


def _run(file: Path, rounds: int) -> str:
    command = [sys.executable, "-m", "benchmarks.worst_pictures", "--measure", str(file)]
    lines = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip()
        for _ in range(rounds)
    ]
    return max(lines, key=lambda line: float(line.split()[2]))


def kinds() -> dict[str, Callable[[int, int], bytes]]:
    """Every kind of picture that decodes slowly or takes memory, by name."""
    return {
        "JPEG 4:4:4": _pillow("JPEG", quality=60, subsampling=0),
        "JPEG progressive 4:4:4": _pillow("JPEG", quality=60, subsampling=0, progressive=True),
        "JPEG CMYK": _pillow("JPEG", "CMYK", quality=50),
        "PNG RGB": _pillow("PNG", compress_level=1, smooth=True),
        "PNG RGBA": _pillow("PNG", "RGBA", compress_level=1, smooth=True),
        "PNG RGBA interlaced": _interlaced_png,
        "PNG RGBA Paeth": _paeth_png,
        "PNG gray, alpha": _pillow("PNG", "LA", compress_level=1, smooth=True),
        "PNG palette": _pillow("PNG", "P", compress_level=1, smooth=True),
        "PNG gray 16 bits": _deep_gray_png,
        "PNG RGBA 16 bits": _deep_png,
        "GIF": _pillow("GIF", "P", smooth=True),
        "WebP lossy": _pillow("WEBP", method=0, quality=80, smooth=True),
        "WebP lossless": _pillow("WEBP", method=0, lossless=True, quality=0, smooth=True),
        "WebP alpha": _pillow("WEBP", "RGBA", method=0, quality=80, smooth=True),
        "TIFF LZW": _pillow("TIFF", compression="tiff_lzw", smooth=True),
        "TIFF deflate": _pillow("TIFF", compression="tiff_adobe_deflate", smooth=True),
        "TIFF LZMA": _pillow("TIFF", compression="lzma", smooth=True),
        "TIFF JPEG": _pillow("TIFF", compression="jpeg", quality=60),
        "TIFF floating point": _float_tiff,
        "TIFF CIELAB": _pillow("TIFF", "LAB", compression="tiff_adobe_deflate", smooth=True),
        "BMP 1 bit": _pillow("BMP", "1"),
        "AVIF 4:4:4": _pillow("AVIF", most=16, speed=10, quality=90, subsampling="4:4:4"),
        "AVIF alpha": _pillow("AVIF", "RGBA", most=16, speed=10, quality=80),
        "AVIF slow tools": _tiled(b"av01", 1024, speed=4, quality=60),
        "AVIF slow tools 4:4:4": _tiled(b"av01", 1024, speed=4, quality=60, subsampling="4:4:4"),
        "AVIF low quality": _tiled(b"av01", 1024, smooth=True, speed=4, quality=10),
        "AVIF high quality": _tiled(b"av01", 1024, speed=6, quality=95),
        "HEIC": _tiled(b"hvc1", 512, at_once=True, quality=40),
        "HEIC low quality": _tiled(b"hvc1", 512, at_once=True, smooth=True, quality=5),
        "HEIC high quality": _tiled(b"hvc1", 512, at_once=True, quality=90),
        "HEIC 4:4:4": _tiled(b"hvc1", 512, at_once=True, quality=50, chroma=444),
        "HEIC one tile, flat": _flat_heic,
        "HEIC tile by tile": _tiled(b"hvc1", 512, quality=40),
        "HEIC tile by tile high quality": _tiled(b"hvc1", 512, quality=90),
        "HEIC tile by tile 4:4:4": _tiled(b"hvc1", 512, quality=50, chroma=444),
    }


def _pillow(
    format: str, mode: str = "RGB", *, smooth: bool = False, most: int = 50, **options: object
) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        if width * height > most * 1e6:
            return b""
        image = _draw(width, height, smooth=smooth)
        if mode == "LAB":
            image = Image.merge("LAB", image.split())
        elif mode != "RGB":
            image = image.convert(mode)
        return encode(image, format, **options)

    return make


def _draw(width: int, height: int, *, smooth: bool) -> Image.Image:
    """A tile of waves, with noise unless `smooth`, repeated: quick to make in any size."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:256, 0:256]
    waves = [128 + 80 * np.sin(x / (9 + 4 * c)) * np.cos(y / (7 + 3 * c)) for c in range(3)]
    tile = np.stack(waves, axis=-1) + (0 if smooth else rng.normal(0, 12, (256, 256, 3)))
    repeats = (-(-height // 256), -(-width // 256), 1)
    pixels = np.tile(np.clip(tile, 0, 255).astype(np.uint8), repeats)[:height, :width]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _deep_gray_png(width: int, height: int) -> bytes:
    gray = np.asarray(_draw(width, height, smooth=True).convert("L")).astype(np.uint16) << 8
    return encode(Image.fromarray(gray), "PNG", compress_level=1)


def _deep_png(width: int, height: int) -> bytes:
    row = np.asarray(_draw(width, 16, smooth=True).convert("RGBA")).astype(np.uint16) << 8
    return write_png(np.tile(row, (-(-height // 16), 1, 1))[:height], interlaced=True)


def _interlaced_png(width: int, height: int) -> bytes:
    return write_png(np.asarray(_draw(width, height, smooth=True).convert("RGBA")), interlaced=True)


def _paeth_png(width: int, height: int) -> bytes:
    """Each row holds the differences that the slowest filter undoes (PNG, 9.4)."""
    rng = np.random.default_rng(7)
    rows = rng.integers(0, 3, (16, 4 * width), dtype=np.uint8)
    block = b"".join(b"\4" + row.tobytes() for row in rows)
    coded = zlib.compress(block * (-(-height // 16)), 1)
    start = header(width, height, color=6)
    return b"".join((SIGNATURE, start, chunk(b"IDAT", coded), chunk(b"IEND")))


def _float_tiff(width: int, height: int) -> bytes:
    gray = np.asarray(_draw(width, height, smooth=True).convert("L")).astype(np.float32) * 8
    return encode(Image.fromarray(gray), "TIFF", compression="tiff_adobe_deflate")


def _tiled(
    kind: bytes, side: int, *, smooth: bool = False, at_once: bool = False, **options: object
) -> Callable[[int, int], bytes]:
    """The same tile again and again: large pictures take the encoders minutes.

    A picture that is cut to its own size is decoded at once.
    """

    @cache
    def tile() -> tuple[bytes, bytes]:
        return encode_tile(_draw(side, side, smooth=smooth), kind, **options)

    def make(width: int, height: int) -> bytes:
        columns, rows = max(1, width // side), max(1, height // side)
        return write_tiles(
            [tile()] * (columns * rows),
            kind=kind,
            size=(columns * side, rows * side),
            tile_size=(side, side),
            grid=(columns, rows),
            properties=[_cut(columns * side, rows * side)] if at_once else [],
        )

    return make


def _cut(width: int, height: int) -> bytes:
    """Write a box that cuts a picture: width, height, offsets of the middle, as fractions."""
    return box(b"clap", struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1))


def _flat_heic(width: int, height: int) -> bytes:
    if width * height > 25_000_000:
        return b""
    return encode_heic(Image.new("RGB", (width, height), "teal"), quality=40)


if __name__ == "__main__":
    main()
