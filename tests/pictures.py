"""Pictures for tests, made by code."""

from io import BytesIO

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (220, 20, 30), (20, 200, 40), (10, 30, 210)


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """Encode a picture in memory."""
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def plain(color: tuple[int, int, int], width: int = 64, height: int = 48) -> Image.Image:
    """One color all over."""
    return Image.new("RGB", (width, height), color)


def halves(width: int = 64, height: int = 48) -> Image.Image:
    """Left half red, right half blue."""
    image = plain(RED, width, height)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def photo(width: int = 1600, height: int = 1200) -> Image.Image:
    """Smooth structure with fine noise, which costs a JPEG decoder about what a photo does."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 80 * np.sin(x / (90 + 40 * c)) * np.cos(y / (70 + 30 * c)) for c in range(3)]
    pixels = np.stack(waves, axis=-1) + rng.normal(0, 9, (height, width, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
