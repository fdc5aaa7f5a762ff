"""Random changes to a training photo, so that a network cannot learn its source.

Enters: an upright RGB picture and a random generator. Leaves: uint8 [side, side, 3]. Called
while activations are cached and by the training of a user's own labels. Each change takes
away one thing by which a network could tell where a photo came from: studio white, blur of
tiny originals, gray, compression, framing, color cast.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

CROP_FRACTION = 0.8
"""Part of width and height that the server shows the network around the tapped point."""

FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
Box = tuple[float, float, float, float]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def random_point_box(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Give the server's box for a tap at a uniformly random point of a picture of ``size``.

    The box has 80 % of width and height, is centered on the point and shifted inside.
    """
    left, width = _span(size[0], rng)
    top, height = _span(size[1], rng)
    return left, top, left + width, top + height


def _span(length: int, rng: np.random.Generator) -> tuple[int, int]:
    part = max(1, round(length * CROP_FRACTION))
    start = int(rng.integers(length)) - part // 2
    return min(max(start, 0), length - part), part


def crop_at_random_point(
    image: Image.Image, rng: np.random.Generator, *, side_px: int
) -> NDArray[np.uint8]:
    """Cut the server's box for a random point and stretch it to ``[side_px, side_px, 3]``.

    The box is the server's, the pixels are nearly: Pillow leaves at least twice the pixels that
    are asked for before it filters, and rounds to whole levels; the server
    (`dsapi.prediction.picture.Picture.resize`) may average down to just those asked for, and does
    not round. For a doubtful picture probabilities differ by up to 0.04. The shipped graphs were
    trained so, and other pixels would give other graphs.
    """
    box = random_point_box(image.size, rng)
    return np.asarray(
        image.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    )


def augment(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    side_px: int,
    backgrounds: Sequence[Image.Image] = (),
) -> NDArray[np.uint8]:
    """Change ``image`` at random and give uint8 ``[side_px, side_px, 3]``.

    ``backgrounds`` are photos put behind subjects that stand on plain white or gray.
    """
    if backgrounds and rng.random() < 0.4:
        behind = backgrounds[int(rng.integers(len(backgrounds)))]
        image = replace_plain_background(image, behind)
    for probability, change in _BEFORE_CROP:
        if rng.random() < probability:
            image = change(image, rng)
    image = image.resize(
        (side_px, side_px),
        Image.Resampling.BICUBIC if rng.random() < 0.3 else Image.Resampling.BILINEAR,
        box=_crop_box(image.size, rng),
        reducing_gap=2.0,
    )
    for probability, change in _AFTER_CROP:
        if rng.random() < probability:
            image = change(image, rng)
    return np.asarray(image)


def _crop_box(size: tuple[int, int], rng: np.random.Generator) -> Box:
    if rng.random() < 0.5:
        return random_point_box(size, rng)
    area, aspect = rng.uniform(0.25, 1.0), np.exp(rng.uniform(-0.35, 0.35))
    width = size[0] * min(1.0, float(np.sqrt(area * aspect)))
    height = size[1] * min(1.0, float(np.sqrt(area / aspect)))
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return left, top, left + width, top + height


def replace_plain_background(image: Image.Image, behind: Image.Image) -> Image.Image:
    """Put ``behind`` where ``image`` shows the plain bright color of its border.

    A picture whose border is not plain comes back unchanged.
    """
    pixels = np.asarray(image, np.float32)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color = np.median(border, axis=0)
    plain = float(np.mean(np.abs(border - color).max(axis=1) < 14))
    if plain < 0.7 or color.min() < 150:
        return image
    distance = np.abs(pixels - color).max(axis=2)
    mask = Image.fromarray(np.uint8(np.clip((distance - 8) * 16, 0, 255)), "L")
    mask = mask.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(0.8))
    return Image.composite(image, behind.resize(image.size, Image.Resampling.BILINEAR), mask)


def _lower_resolution(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(40, 110) / min(image.size)
    if factor >= 1:
        return image
    size = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
    down, up = (FILTERS[int(rng.integers(4))], FILTERS[int(rng.integers(1, 4))])
    return image.resize(size, down).resize(image.size, up)


def _frame(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    level = 255 if rng.random() < 0.5 else int(rng.integers(0, 256))
    tint = rng.integers(-12, 13, 3) if level < 255 else np.zeros(3, np.int64)
    color = tuple(int(value) for value in np.clip(level + tint, 0, 255))
    scale = 1 + rng.uniform(0.05, 0.7, 2)
    canvas = Image.new("RGB", (int(image.width * scale[0]), int(image.height * scale[1])), color)
    left = int(rng.integers(0, canvas.width - image.width + 1))
    top = int(rng.integers(0, canvas.height - image.height + 1))
    canvas.paste(image, (left, top))
    return canvas


def _rotate(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    border = np.asarray(image.resize((3, 3), Image.Resampling.BOX))[0, 0]
    fill = (int(border[0]), int(border[1]), int(border[2]))
    angle = float(rng.uniform(-15, 15))
    return image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill)


def _mirror(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


def _compress(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(15, 90)))
    return Image.open(buffer).convert("RGB")


def _recolor(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change white balance, exposure (gain and gamma), contrast and saturation."""
    gain = np.exp(rng.normal(0, 0.10, 3) + rng.normal(0, 0.15))
    gamma = np.exp(rng.normal(0, 0.20))
    ramp = np.linspace(0, 1, 256)[None, :] ** gamma * gain[:, None]
    contrast = np.exp(rng.normal(0, 0.20))
    table = np.clip(((ramp - 0.5) * contrast + 0.5) * 255, 0, 255).astype(np.uint8)
    image = image.point(table.reshape(-1).tolist())
    return ImageEnhance.Color(image).enhance(float(np.exp(rng.normal(0, 0.35))))


def _gray(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def _blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 3.0))))


def _sharpen(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    percent = int(rng.integers(80, 250))
    return image.filter(ImageFilter.UnsharpMask(float(rng.uniform(1, 3)), percent, 0))


def _add_noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    noise = rng.normal(0, rng.uniform(3, 20), (*image.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _erase(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = image.copy()
    width, height = rng.uniform(0.1, 0.5, 2) * image.size
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    color = tuple(int(value) for value in rng.integers(0, 256, 3))
    ImageDraw.Draw(image).rectangle((left, top, left + width, top + height), fill=color)
    return image


_BEFORE_CROP: tuple[tuple[float, Change], ...] = (
    (0.45, _lower_resolution),
    (0.12, _frame),
    (0.2, _rotate),
    (0.3, _compress),
)
_AFTER_CROP: tuple[tuple[float, Change], ...] = (
    (0.5, _mirror),
    (0.8, _recolor),
    (0.12, _gray),
    (0.12, _blur),
    (0.15, _sharpen),
    (0.15, _add_noise),
    (0.2, _compress),
    (0.25, _erase),
)
