"""Points: where the user tapped. A caller's pair of numbers in, a pixel of the picture out."""

import math
from dataclasses import dataclass
from typing import Literal

from dsapi.errors import BadPoint

Unit = Literal["px", "percent"]


@dataclass(frozen=True)
class Point:
    """A pixel of the full upright picture; ``(0, 0)`` is the top left one."""

    x: int
    y: int


def locate_point(
    asked: tuple[float, float] | None, *, unit: Unit, width: int, height: int, where: str = ""
) -> Point:
    """Find the pixel that a caller means.

    Args:
        asked: x and y in `unit`; ``None``: the center of the picture.
        unit: ``px`` (fractions are floored, 0 ≤ x < width) or ``percent`` of width and height
            (0 to 100, both ends included).
        width: of the full upright picture, in pixels.
        height: likewise.
        where: what an error says before ``x`` or ``y``: where among others the point stands.

    Raises:
        BadPoint: outside the picture, or not a finite number.
    """
    if asked is None:
        return Point(width // 2, height // 2)
    x, y = asked
    if unit == "percent":
        return Point(_percent(f"{where}x", x, width), _percent(f"{where}y", y, height))
    return Point(_pixel(f"{where}x", x, width), _pixel(f"{where}y", y, height))


def _pixel(name: str, value: float, side: int) -> int:
    if not 0 <= value < side:  # NaN compares false with everything
        raise BadPoint(f"{name} must be between 0 and {side - 1}, got {_show(value)}")
    return math.floor(value)


def _percent(name: str, value: float, side: int) -> int:
    if not 0 <= value <= 100:
        raise BadPoint(f"{name} must be between 0 and 100 percent, got {_show(value)}")
    return min(math.floor(value * side / 100), side - 1)


def _show(value: float) -> str:
    """Write all digits, or what is a little outside looks inside; a whole number as it came."""
    return repr(float(value)).removesuffix(".0")
