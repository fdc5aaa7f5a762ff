"""What every valid picture of the corpus shows: four quadrants of different colors."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 64, 48
RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 160, 60), (40, 70, 190), (230, 200, 60)
WHITE = (255, 255, 255)
# Top left, top right, bottom left, bottom right.
Quadrants = tuple[
    tuple[int, int, int], tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]
]
QUADRANTS: Quadrants = (RED, GREEN, BLUE, YELLOW)


def draw(colors: Quadrants = QUADRANTS, *, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Draw the quadrants."""
    image = Image.new("RGB", (width, height), colors[3])
    image.paste(colors[0], (0, 0, width // 2, height // 2))
    image.paste(colors[1], (width // 2, 0, width, height // 2))
    image.paste(colors[2], (0, height // 2, width // 2, height))
    return image


def draw_with_hole() -> Image.Image:
    """Draw the quadrants, the last of them transparent."""
    image = draw().convert("RGBA")
    image.paste((0, 0, 0, 0), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    return image


def draw_gray() -> Image.Image:
    """Draw the quadrants in four shades of gray."""
    return draw(gray_quadrants()).convert("L")


def gray_quadrants() -> Quadrants:
    """The colors of `draw_gray`."""
    return ((40,) * 3, (110,) * 3, (170,) * 3, (230,) * 3)


def rgb_array() -> NDArray[np.uint8]:
    """The quadrants as ``uint8 [height, width, 3]``."""
    return np.asarray(draw())
