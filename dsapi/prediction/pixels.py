"""Pixels of any kind in, plain ones out: 8 bits, no palette, no transparency, reduced.

Works through a picture in bands, so that a large one needs memory for its result only. Called by
`dsapi.prediction.picture`.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms

from dsapi.prediction.formats.header import Pixels
from dsapi.prediction.reduction import reduce_size

# What can be reduced and cut as it is: RGBX is RGB with a fourth, unused byte.
_PLAIN = {"L", "RGB", "RGBX", "CMYK", "LAB"}
_TRANSPARENT = {"LA", "La", "PA", "RGBA", "RGBa"}
_BAND_PIXELS = 1 << 18


def simplify(pixels: Pixels, factor: int) -> Image.Image:
    """Make an image of mode L, RGB, RGBX or CMYK at ``1 / factor`` of the size, rounded up.

    Transparency is composited on white. Gray levels of 16 bits and floating point are scaled to 8.
    """
    image = _reduce(pixels, factor)
    return _convert_lab(image) if image.mode == "LAB" else image


def _reduce(pixels: Pixels, factor: int) -> Image.Image:
    if isinstance(pixels, Image.Image) and _is_plain(pixels):
        return pixels.reduce(factor) if factor > 1 else pixels
    expand, mode = _expansion(pixels)
    result = Image.new(mode, reduce_size(pixels.size, factor))
    for top, band in _bands(pixels, factor):
        expanded = expand(band)
        reduced = expanded.reduce(factor) if factor > 1 else expanded
        result.paste(_flatten(reduced), (0, top // factor))
    return result


def _convert_lab(image: Image.Image) -> Image.Image:
    """Convert CIELAB, which takes 30 ns a pixel, so only what is left of them."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return image.convert("RGB") if converted is None else converted


def _bands(pixels: Pixels, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Copy one band after the other, each a multiple of `factor` rows, with its first row."""
    width, height = pixels.size
    rows = max(1, _BAND_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        yield top, pixels.crop((0, top, width, min(top + rows, height)))


def _is_plain(image: Image.Image) -> bool:
    return image.mode in _PLAIN and "transparency" not in image.info


def _expansion(pixels: Pixels) -> tuple[Callable[[Image.Image], Image.Image], str]:
    """Choose how to make each band of samples that can be averaged, and the mode of the result."""
    info = pixels.info if isinstance(pixels, Image.Image) else {}
    if pixels.mode.startswith("I;16"):
        return lambda band: _halve_bits(band, transparent=info.get("transparency")), "L"
    if pixels.mode in ("I", "F"):
        low, high = _gray_range(pixels)
        return lambda band: _scale_gray(band, low, high), "L"
    transparent = "transparency" in info or pixels.mode in _TRANSPARENT
    if pixels.mode in ("1", "L", "LA", "La"):
        return lambda band: _to_mode(band, "LA" if transparent else "L"), "L"
    return lambda band: _to_mode(band, "RGBA" if transparent else "RGB"), "RGB"


def _to_mode(band: Image.Image, mode: str) -> Image.Image:
    return band if band.mode == mode else band.convert(mode)


def _flatten(image: Image.Image) -> Image.Image:
    """Composite on white what is transparent."""
    if image.mode not in ("LA", "RGBA"):
        return image
    flat = Image.new(image.mode.removesuffix("A"), image.size, "white")
    flat.paste(image.convert(flat.mode), mask=image.getchannel("A"))
    return flat


def _halve_bits(band: Image.Image, *, transparent: object) -> Image.Image:
    """Keep the upper 8 of 16 bits; the value that stands for transparency is white."""
    values = np.asarray(band)
    gray = (values >> 8).astype(np.uint8)
    if isinstance(transparent, int):
        gray[values == transparent] = 255
    return Image.fromarray(gray)


def _gray_range(pixels: Pixels) -> tuple[float, float]:
    """Find which values are black and white.

    Floating point is 0 to 1, and 32 bits are as 16, unless a value lies outside: then the smallest
    is black and the largest white.
    """
    usual = 1.0 if pixels.mode == "F" else 65535.0
    low, high = math.inf, -math.inf
    for _, band in _bands(pixels, 1):
        values = np.asarray(band)
        ends = (float(values.min()), float(values.max()))
        if not all(map(math.isfinite, ends)):
            finite = values[np.isfinite(values)]
            ends = (float(finite.min()), float(finite.max())) if finite.size else (low, high)
        low, high = min(low, ends[0]), max(high, ends[1])
    return (low, high) if low < 0 or high > usual else (0.0, usual)


def _scale_gray(band: Image.Image, low: float, high: float) -> Image.Image:
    """Scale values to 0 to 255; NaN is black."""
    # Differences of the largest numbers overflow in single precision.
    precision = np.float32 if high - low < 1e38 else np.float64
    with np.errstate(invalid="ignore"):  # infinities, and NaN that signal
        scaled = np.subtract(np.asarray(band), low, dtype=precision)
        scaled *= 255 / max(high - low, 1e-30)
        # Unlike clip, these two take the number where the other is NaN.
        np.fmin(np.fmax(scaled, 0, out=scaled), 255, out=scaled)
    scaled += 0.5
    return Image.fromarray(scaled.astype(np.uint8))
