"""Crops: which part of a picture a model looks at, and that part as an array.

A model's crop is configured as text: ``80%`` of width and height, or ``9px`` on a side. It is
centered on the point and shifted to stay inside the picture.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsapi.prediction.picture import OpenPicture, Picture
from dsapi.prediction.points import Point
from dsapi.prediction.reduction import find_spare_factor

Resize = Literal["stretch", "center-crop", "letterbox"]
Box = tuple[int, int, int, int]
_FloatBox = tuple[float, float, float, float]
# A picture is decoded at a fraction of its size as long as a crop keeps twice the model's input on
# both sides. Measured with the shipped themes graph: docs/pictures.md, "Speed".
_DETAIL = 2


@dataclass(frozen=True)
class Crop:
    """How much of the picture a model sees around the point.

    Attributes:
        amount: percent of width and height, or pixels on a side.
        unit: which of the two. Pixels are counted at the picture's working size.
    """

    amount: float
    unit: Literal["%", "px"]

    def __str__(self) -> str:
        """Write it as it is configured."""
        return f"{self.amount:g}{self.unit}"


#: What a model sees, with height and width of its input.
View = tuple[Crop, tuple[int, int]]


def parse_crop(text: str) -> Crop:
    """Read ``80%`` or ``9px``.

    Raises:
        ValueError: it is neither, or out of range (over 0 to 100 %; whole pixels from 1).
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|px)\s*", text)
    if match is None:
        raise ValueError(f"a crop is a share such as '80%' or a size such as '9px', not {text!r}")
    amount = float(match[1])
    if match[2] == "%":
        if not 0 < amount <= 100:
            raise ValueError(f"a crop's share is over 0% and at most 100%, not {text!r}")
        return Crop(amount, "%")
    if amount < 1 or not amount.is_integer():
        raise ValueError(f"a crop's size is a whole number of pixels from 1px, not {text!r}")
    return Crop(amount, "px")


def find_coarsest_factor(views: Sequence[View], picture: tuple[int, int]) -> int:
    """Find by which power of two a picture may be reduced before any model sees less in it.

    For a crop in pixels it is 1: each pixel counts. A share may be reduced as long as twice the
    model's input is left on both sides.

    Args:
        views: what the models see.
        picture: width and height of the full upright picture.
    """
    return min(
        1 if crop.unit == "px" else find_spare_factor(_share(side, crop.amount), _DETAIL * asked)
        for crop, size in views
        for side, asked in zip(picture, reversed(size), strict=True)
    )


def locate_crop(crop: Crop, point: Point, picture: OpenPicture | Picture) -> Box:
    """Find the box that a model sees, in pixels of the full upright picture.

    A share is taken of the full picture (halves of a pixel round up). Pixels are counted at the
    working size: in a picture reduced by a factor of 2, ``9px`` covers 18 pixels of the full one.
    """
    if crop.unit == "%":
        left, right = _span(point.x, picture.width, _share(picture.width, crop.amount))
        top, bottom = _span(point.y, picture.height, _share(picture.height, crop.amount))
        return left, top, right, bottom
    left, top, right, bottom = (edge * picture.factor for edge in _patch(crop, point, picture))
    return left, top, min(right, picture.width), min(bottom, picture.height)


def find_seen(views: Sequence[View], points: Sequence[Point], picture: OpenPicture) -> Box:
    """Find the box outside of which `cut_crop` looks at no pixel; it may reach over the edges.

    Args:
        views: what the models see.
        points: pixels of the full upright picture.
        picture: it may be reduced further than this says, if all crops are shares.
    """
    boxes = [
        _with_blocks(locate_crop(crop, point, picture), size)
        for crop, size in views
        for point in points
    ]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def cut_crop(
    crop: Crop, point: Point, picture: Picture, *, size: tuple[int, int], resize: Resize
) -> NDArray[np.float32]:
    """Cut what a model sees out of a picture, at the model's input size.

    Args:
        crop: how much to cut.
        point: pixel of the full upright picture.
        picture: the decoded picture.
        size: height and width of the result.
        resize: ``stretch`` ignores the crop's proportions, ``center-crop`` cuts its middle to the
            proportions of `size`, ``letterbox`` fits it in and leaves the rest black.

    Returns:
        ``float32 [height, width, 3]``, RGB, 0 to 255.
    """
    if crop.unit == "px":
        pixels = _cut_patch(crop, point, picture)
        if pixels.shape[:2] == size:
            return pixels.astype(np.float32)
        height, width, _ = pixels.shape
        patch = Picture(Image.fromarray(pixels), width, height, factor=1, format="", bytes=0)
        return _fit(patch, (0, 0, width, height), size=size, resize=resize)
    left, top, right, bottom = (edge / picture.factor for edge in locate_crop(crop, point, picture))
    return _fit(picture, (left, top, right, bottom), size=size, resize=resize)


def _with_blocks(box: Box, size: tuple[int, int]) -> Box:
    """Enlarge a box by what becomes a pixel: the blocks that are averaged may reach over its edges.

    A letterbox, rounded, may have blocks of up to half as many pixels again.
    """
    left, top, right, bottom = box
    block = math.ceil(2 * max((right - left) / size[1], (bottom - top) / size[0]))
    return left - block, top - block, right + block, bottom + block


def _cut_patch(crop: Crop, point: Point, picture: Picture) -> NDArray[np.uint8]:
    """Cut the pixels around a point as they are.

    A picture smaller than the crop is enlarged by repeating its edge pixels.
    """
    pixels = np.asarray(picture.cut(_patch(crop, point, picture)))
    missing = [int(crop.amount) - side for side in pixels.shape[:2]]
    if not any(missing):
        return pixels
    margins = [(side // 2, side - side // 2) for side in missing]
    return np.pad(pixels, [*margins, (0, 0)], mode="edge")


def _fit(
    picture: Picture, box: _FloatBox, *, size: tuple[int, int], resize: Resize
) -> NDArray[np.float32]:
    """Resize a box of the reduced picture to `size`."""
    height, width = size
    if resize == "stretch":
        return picture.resize(box, (width, height))
    if resize == "center-crop":
        return picture.resize(_middle(box, width / height), (width, height))
    left, top, right, bottom = box
    scale = min(width / (right - left), height / (bottom - top))
    inner_width = max(1, round((right - left) * scale))
    inner_height = max(1, round((bottom - top) * scale))
    x, y = (width - inner_width) // 2, (height - inner_height) // 2
    canvas = np.zeros((height, width, 3), np.float32)
    canvas[y : y + inner_height, x : x + inner_width] = picture.resize(
        box, (inner_width, inner_height)
    )
    return canvas


def _patch(crop: Crop, point: Point, picture: OpenPicture | Picture) -> Box:
    """Find the box of a crop in pixels, in the frame of the reduced upright picture."""
    side = int(crop.amount)
    width, height = picture.reduced_size
    left, right = _span(point.x // picture.factor, width, side)
    top, bottom = _span(point.y // picture.factor, height, side)
    return left, top, right, bottom


def _share(side: int, percent: float) -> int:
    return max(1, int(side * percent / 100 + 0.5))


def _span(center: int, side: int, length: int) -> tuple[int, int]:
    """Place `length` pixels around `center` inside ``0 … side``."""
    length = min(length, side)
    start = min(max(center - length // 2, 0), side - length)
    return start, start + length


def _middle(box: _FloatBox, proportions: float) -> _FloatBox:
    """Shrink a box around its center to ``width / height = proportions``."""
    left, top, right, bottom = box
    width = min(right - left, (bottom - top) * proportions)
    # Rounded, it may be larger than the box by a hair, and begin outside of the picture.
    height = min(bottom - top, width / proportions)
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
