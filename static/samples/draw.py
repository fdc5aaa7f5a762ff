"""Draws the sample pictures of the tester's page: ``python static/samples/draw.py``.

Every run draws the same. The harbor is stored on its side with an EXIF orientation, as phones
store upright photos, so that the page always has one such picture to be tried with.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 960, 720
# Drawn at twice the size and reduced, for smooth edges.
SCALE = 2
_EXIF_ORIENTATION, _STORED_ON_ITS_SIDE = 0x0112, 6
Color = tuple[int, int, int]


def _gradient(size: tuple[int, int], stops: list[tuple[float, Color]]) -> Image.Image:
    """Blend colors from top (0) to bottom (1)."""
    width, height = size
    rows = np.linspace(0, 1, height)
    where = [stop for stop, _ in stops]
    channels = [np.interp(rows, where, [color[c] for _, color in stops]) for c in range(3)]
    column = np.stack(channels, axis=-1).astype(np.uint8)[:, None]
    return Image.fromarray(np.repeat(column, width, axis=1))


def _ball(canvas: Image.Image, *, center: tuple[float, float], radius: float, color: Color) -> None:
    """Paint a shaded ball with a soft highlight at the upper left."""
    side = int(2 * radius)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    depth = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    light = np.clip(0.25 + 0.85 * (-0.45 * x - 0.55 * y + 0.7 * depth), 0.12, 1.05)
    shine = np.clip(-0.5 * x - 0.6 * y + 0.62 * depth, 0, 1) ** 24
    pixels = np.clip(np.array(color) * light[..., None] + 190 * shine[..., None], 0, 255)
    inside = Image.fromarray(((x * x + y * y) < 1).astype(np.uint8) * 255)
    corner = int(center[0] - radius), int(center[1] - radius)
    canvas.paste(Image.fromarray(pixels.astype(np.uint8)), corner, inside)


def _grain(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Add the fine unevenness that every photo has."""
    pixels = np.asarray(image).astype(np.float32)
    pixels += rng.normal(0, strength, (*pixels.shape[:2], 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw_garden(rng: np.random.Generator) -> Image.Image:
    """A flower bed before a lawn, trees and a summer sky."""
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    canvas = _gradient(
        (width, height), [(0, (96, 160, 226)), (0.45, (205, 228, 244)), (1, (230, 240, 245))]
    )
    draw = ImageDraw.Draw(canvas)
    for _ in range(7):
        x, y = rng.uniform(0, width), rng.uniform(40, 0.24 * height)
        for _ in range(9):
            dx, dy, r = rng.uniform(-130, 130), rng.uniform(-22, 22), rng.uniform(30, 66)
            draw.ellipse((x + dx - r, y + dy - r * 0.6, x + dx + r, y + dy + r * 0.6), "#f4f8fc")
    canvas = canvas.filter(ImageFilter.GaussianBlur(7))
    draw = ImageDraw.Draw(canvas)
    for x in range(-40, width + 60, 74):
        r = rng.uniform(60, 120)
        shade = int(rng.uniform(-18, 18))
        y = 0.44 * height - r * 0.3
        draw.ellipse((x - r, y - r, x + r, y + r), (52 + shade, 108 + shade, 52 + shade))
    lawn = _gradient(
        (width, height), [(0.42, (112, 168, 66)), (0.75, (72, 136, 44)), (1, (44, 92, 32))]
    )
    canvas.paste(lawn.crop((0, int(0.46 * height), width, height)), (0, int(0.46 * height)))
    draw = ImageDraw.Draw(canvas)
    path = [(0.50, 0.46), (0.53, 0.46), (0.60, 0.66), (0.98, 1.0), (0.52, 1.0), (0.47, 0.66)]
    draw.polygon([(x * width, y * height) for x, y in path], "#cdbb98")
    petals: list[Color] = [
        (226, 38, 54),
        (245, 130, 32),
        (250, 214, 46),
        (238, 96, 160),
        (150, 70, 190),
        (252, 250, 244),
    ]
    for index in range(330):
        depth = (index / 330) ** 0.8
        y = (0.58 + 0.40 * depth) * height
        x = rng.uniform(-0.02, 0.40 + 0.04 * depth) * width
        if rng.uniform() < 0.3:
            x = width - rng.uniform(-0.02, 0.30 - 0.28 * depth) * width
        r = 7 + 24 * depth
        draw.line((x, y, x + rng.uniform(-6, 6), y + 3.2 * r), (40, 100, 34), int(2 + 5 * depth))
        color = petals[int(rng.integers(len(petals)))]
        for angle in np.arange(6) * np.pi / 3 + rng.uniform(0, 1):
            px, py = x + r * 0.72 * np.cos(angle), y + r * 0.6 * np.sin(angle)
            draw.ellipse((px - r * 0.55, py - r * 0.48, px + r * 0.55, py + r * 0.48), color)
        heart = (110, 66, 20) if color[1] > 200 else (250, 206, 60)
        draw.ellipse((x - r * 0.36, y - r * 0.32, x + r * 0.36, y + r * 0.32), heart)
    return canvas


def draw_harbor(rng: np.random.Generator) -> Image.Image:
    """Sailing boats before a lit skyline at dusk, upright."""
    width, height = HEIGHT * SCALE, WIDTH * SCALE
    canvas = _gradient(
        (width, height),
        [
            (0, (34, 32, 92)),
            (0.25, (116, 62, 130)),
            (0.42, (236, 120, 92)),
            (0.53, (254, 204, 120)),
        ],
    )
    draw = ImageDraw.Draw(canvas)
    horizon, sun = int(0.54 * height), 0.68 * width
    draw.ellipse((sun - 105, horizon - 190, sun + 105, horizon + 20), (255, 236, 180))
    x = -20.0
    while x < width:
        side, tall = rng.uniform(56, 124), rng.uniform(70, 330)
        draw.rectangle((x, horizon - tall, x + side, horizon), (38, 30, 62))
        for wy in np.arange(horizon - tall + 16, horizon - 14, 24):
            for wx in np.arange(x + 10, x + side - 12, 20):
                if rng.uniform() < 0.42:
                    draw.rectangle((wx, wy, wx + 9, wy + 12), (255, 214, 120))
        x += side + rng.uniform(0, 16)
    mirror = canvas.crop((0, 2 * horizon - height, width, horizon)).transpose(
        Image.Transpose.FLIP_TOP_BOTTOM
    )
    water = np.asarray(mirror).astype(np.float32)
    rows = np.arange(water.shape[0])
    waves = (9 + rows * 0.03) * np.sin(rows * 40 / (6 + rows * 0.06)) + rng.normal(0, 4, len(rows))
    for row in rows:
        water[row] = np.roll(water[row], int(waves[row]), axis=0)
    water = water * 0.62 + np.array([14, 22, 58])
    canvas.paste(Image.fromarray(water.astype(np.uint8)), (0, horizon))
    draw = ImageDraw.Draw(canvas)
    for x, y, size in ((0.24, 0.70, 1.5), (0.72, 0.80, 2.3), (0.46, 0.615, 0.8)):
        _boat(draw, x=x * width, y=y * height, size=110 * size)
    return canvas


def _boat(draw: ImageDraw.ImageDraw, *, x: float, y: float, size: float) -> None:
    sails = [(0.04, -0.18, 0.04, -1.9, 0.85, -0.18), (-0.04, -0.18, -0.04, -1.65, -0.55, -0.18)]
    for (ax, ay, bx, by, cx, cy), color in zip(sails, ("#fbf3e4", "#f0ddc6"), strict=True):
        triangle = [(x + px * size, y + py * size) for px, py in ((ax, ay), (bx, by), (cx, cy))]
        draw.polygon(triangle, color)
    draw.line((x, y, x, y - 2 * size), "#2a2230", max(2, int(size / 34)))
    hull = [(-0.8, -0.1), (0.95, -0.1), (0.66, 0.2), (-0.6, 0.2)]
    draw.polygon([(x + px * size, y + py * size) for px, py in hull], "#b3242e")
    draw.line(
        (x - 0.78 * size, y - 0.07 * size, x + 0.93 * size, y - 0.07 * size),
        "#f8f1e6",
        max(2, int(size / 22)),
    )


def draw_fruit(rng: np.random.Generator) -> Image.Image:
    """Apples, oranges, limes and grapes in a blue bowl on a wooden table."""
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    canvas = _gradient(
        (width, height), [(0, (196, 188, 176)), (0.6, (232, 226, 216)), (1, (232, 226, 216))]
    )
    table = int(0.60 * height)
    y, x = np.mgrid[0 : height - table, 0:width]
    rings = np.sin((y * 0.11 + 14 * np.sin(x / 230) + 5 * np.sin(x / 71)) / 3)
    wood = np.array([150, 98, 54]) + 16 * rings[..., None] + rng.normal(0, 5, (*y.shape, 1))
    wood *= np.where(y % 210 < 5, 0.72, 1.0)[..., None]
    canvas.paste(Image.fromarray(np.clip(wood, 0, 255).astype(np.uint8)), (0, table))
    cx, cy = 0.5 * width, 0.60 * height
    shadow = Image.new("L", canvas.size)
    ImageDraw.Draw(shadow).ellipse((cx - 520, cy + 250, cx + 620, cy + 420), 150)
    canvas.paste((52, 30, 16), (0, 0), shadow.filter(ImageFilter.GaussianBlur(36)))
    pile: list[tuple[float, float, float, Color]] = [
        (-270, -150, 150, (240, 140, 24)),
        (280, -140, 150, (244, 150, 30)),
        (-40, -250, 165, (206, 34, 40)),
        (190, -290, 120, (150, 190, 40)),
        (-230, -330, 118, (196, 30, 46)),
        (60, -120, 160, (226, 196, 40)),
        (-400, -60, 120, (132, 180, 44)),
        (410, -40, 120, (200, 36, 44)),
        (-130, -60, 140, (214, 60, 40)),
        (250, -10, 140, (242, 140, 26)),
    ]
    for dx, dy, radius, color in pile:
        _ball(canvas, center=(cx + dx, cy + dy), radius=radius, color=color)
    for index in range(26):
        row = index // 6
        gx = cx - 520 + (index % 6) * 58 + row * 24 + rng.uniform(-8, 8)
        _ball(canvas, center=(gx - 150, cy + 262 + row * 44), radius=44, color=(98, 46, 120))
    _bowl(canvas, cx=cx, cy=cy)
    return canvas


def _bowl(canvas: Image.Image, *, cx: float, cy: float) -> None:
    mask = Image.new("L", canvas.size)
    draw = ImageDraw.Draw(mask)
    draw.chord((cx - 560, cy - 410, cx + 560, cy + 380), 0, 180, 255)
    width, height = canvas.size
    columns = np.linspace(-1, 1, width) * width / 2 / 560
    light = np.clip(0.95 - 0.55 * np.abs(columns + 0.35), 0.35, 1)
    glaze = np.array([58, 110, 176])[None, :] * light[:, None] + 26
    rows = np.repeat(glaze[None].astype(np.uint8), height, axis=0)
    canvas.paste(Image.fromarray(rows), (0, 0), mask)
    ImageDraw.Draw(canvas).line((cx - 558, cy - 14, cx + 558, cy - 14), (190, 214, 238), 14)


def draw_colors(rng: np.random.Generator) -> Image.Image:
    """One tile for each of the 18 color labels, metals with their shine."""
    canvas = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "#ece8e1")
    tiles: list[Callable[[int], NDArray[np.uint8]]] = [
        *(
            _plain_tile(color)
            for color in (
                (18, 18, 20),
                (240, 240, 238),
                (134, 134, 134),
                (214, 200, 174),
                (206, 28, 42),
                (244, 128, 26),
                (246, 218, 36),
                (40, 150, 62),
                (34, 92, 206),
                (120, 60, 170),
                (244, 130, 178),
                (112, 66, 34),
            )
        ),
        *(
            _metal_tile(color)
            for color in ((172, 178, 186), (206, 164, 56), (184, 104, 62), (202, 142, 138))
        ),
        _check_tile,
        _stripe_tile,
    ]
    side, gap = 272, 38
    for index, tile in enumerate(tiles):
        row, column = divmod(index, 6)
        corner = (44 + column * (side + gap), 100 + row * (side + 170))
        canvas.paste(Image.fromarray(tile(side)), corner)
    return canvas


def _plain_tile(color: Color) -> Callable[[int], NDArray[np.uint8]]:
    return lambda side: np.full((side, side, 3), color, np.uint8)


def _metal_tile(color: Color) -> Callable[[int], NDArray[np.uint8]]:
    def paint(side: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[0:side, 0:side] / side
        light = 0.72 + 0.30 * np.sin(9 * (x + 0.6 * y)) + 0.5 * np.exp(-(((x - y) / 0.09) ** 2))
        return np.clip(np.array(color) * light[..., None], 0, 255).astype(np.uint8)

    return paint


def _check_tile(side: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:side, 0:side] // 7
    return np.repeat((((x + y) % 2) * 228 + 14).astype(np.uint8)[..., None], 3, axis=2)


def _stripe_tile(side: int) -> NDArray[np.uint8]:
    palette = np.array(
        [(226, 40, 50), (246, 180, 30), (50, 168, 80), (40, 110, 220), (150, 60, 180)], np.uint8
    )
    return palette[np.add.outer(np.arange(side), np.arange(side)) // 6 % 5]


_PICTURES = {
    "garden": draw_garden,
    "harbor": draw_harbor,
    "fruit": draw_fruit,
    "colors": draw_colors,
}


def draw(name: str) -> Image.Image:
    """Draw one of the pictures as it is stored, without its EXIF orientation."""
    rng = np.random.default_rng(len(name))
    large = _PICTURES[name](rng)
    picture = large.resize((large.width // SCALE, large.height // SCALE), Image.Resampling.LANCZOS)
    picture = _grain(picture, 2.0, rng)
    # Turning it clockwise by a quarter, which orientation 6 asks for, makes it upright again.
    return picture.transpose(Image.Transpose.ROTATE_90) if name == "harbor" else picture


def main() -> None:
    """Draw all pictures beside this file, and a small one of each to click on."""
    folder = Path(__file__).parent
    for name in _PICTURES:
        picture = draw(name)
        exif = Image.Exif()
        if name == "harbor":
            exif[_EXIF_ORIENTATION] = _STORED_ON_ITS_SIDE
        picture.save(folder / f"{name}.jpg", quality=80, exif=exif, optimize=True)
        upright = picture.transpose(Image.Transpose.ROTATE_270) if exif else picture
        upright.thumbnail((160, 160))
        upright.save(folder / f"{name}-small.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
