"""Pixels of any kind in, plain ones out: 8 bits, no palette, no transparency, reduced.

Works through a picture in bands, so that a large one needs memory for its result only. Called by
`dsapi.prediction.picture`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dsapi.prediction.formats.header import Pixels

# What crops can be cut from: RGBX is RGB with a fourth, unused byte.
_PLAIN = {"L", "RGB", "RGBX", "CMYK"}
_BAND_PIXELS = 1 << 20


def simplify(pixels: Pixels, factor: int) -> Image.Image:
    """Make an image of mode L, RGB, RGBX or CMYK at ``1 / factor`` of the size, rounded up.

    Transparency is composited on white. Gray levels of 16 bits and floating point are scaled to 8.
    """
    if isinstance(pixels, Image.Image) and _is_plain(pixels):
        return pixels.reduce(factor) if factor > 1 else pixels
    convert, mode = _conversion(pixels)
    width, height = pixels.size
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = max(1, _BAND_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        band = convert(pixels.crop((0, top, width, min(top + rows, height))))
        result.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return result


def _is_plain(image: Image.Image) -> bool:
    return image.mode in _PLAIN and "transparency" not in image.info


def _conversion(pixels: Pixels) -> tuple[Callable[[Image.Image], Image.Image], str]:
    """Choose how to convert each band, and to which mode."""
    if pixels.mode.startswith(("I", "F")) and isinstance(pixels, Image.Image):
        low, high = _gray_range(pixels)
        transparent = pixels.info.get("transparency")
        return lambda band: _scale_gray(band, low, high, transparent=transparent), "L"
    if pixels.mode == "LAB":
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        return lambda band: ImageCms.applyTransform(band, transform) or band.convert("RGB"), "RGB"
    if pixels.mode in ("L", "1", "LA", "La"):
        return lambda band: _flatten(band, "L"), "L"
    if pixels.mode in _PLAIN:
        return lambda band: _flatten(band, pixels.mode), pixels.mode
    return lambda band: _flatten(band, "RGB"), "RGB"


def _flatten(band: Image.Image, mode: str) -> Image.Image:
    """Composite on white what is transparent."""
    if not band.has_transparency_data:
        return band if band.mode == mode else band.convert(mode)
    visible = band.convert("RGBA")
    flat = Image.new("RGB", band.size, "white")
    flat.paste(visible, mask=visible)
    return flat if mode == "RGB" else flat.convert(mode)


def _gray_range(image: Image.Image) -> tuple[float, float]:
    """Find which values are black and white.

    16 bits are 0 to 65535. Floating point is 0 to 1, and 32 bits are as 16, unless a value lies
    outside: then the smallest is black and the largest white.
    """
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    usual = 1.0 if image.mode == "F" else 65535.0
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    if not finite.size or (finite.min() >= 0 and finite.max() <= usual):
        return 0.0, usual
    return float(finite.min()), float(finite.max())


def _scale_gray(band: Image.Image, low: float, high: float, *, transparent: object) -> Image.Image:
    """Scale values to 0 to 255; NaN is black, `transparent` white."""
    values: NDArray[np.float32] = np.asarray(band).astype(np.float32)
    scaled = (np.clip(values, low, high) - low) * np.float32(255 / max(high - low, 1e-30))
    gray = (np.nan_to_num(scaled) + 0.5).astype(np.uint8)
    if isinstance(transparent, int):
        gray = np.where(values == transparent, np.uint8(255), gray)
    return Image.fromarray(gray)
