"""Scenes a camera may see in nine by nine pixels, and what people would call them.

Enters: a random generator and the name surface. Leaves: scenes, float32 [n, 17, 17, 3] in linear
light, with the shares of the 18 labels. Called by the patch generator of ``dsapi train colors``.
Kinds: plain and textured colors, edges between two, metals, black & white, multi-colored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsapi.training.colors.camera import CANVAS_PX
from dsapi.training.colors.fields import (
    average_patch,
    draw_blotches,
    draw_directions,
    draw_regions,
    draw_two_parts,
    normalize,
)
from dsapi.training.colors.names import COLOR_LABELS
from dsapi.training.colors.palette import Palette, draw_metals
from dsapi.training.colors.science import FloatArray, measure_lab

_BLACK_WHITE = COLOR_LABELS.index("black & white")
_BLACK = COLOR_LABELS.index("black")
_GRAY = COLOR_LABELS.index("gray")
_MULTI = COLOR_LABELS.index("multi-colored")
_WHITE = COLOR_LABELS.index("white")


@dataclass(frozen=True)
class Scenes:
    """Scenes and their names.

    `light` float32 [n, 17, 17, 3]; `shares` float32 [n, 18]; `observed` float32 [n]: how much of
    the name is to be taken from the photographed patch's mean color instead, 0-1.
    """

    light: FloatArray
    shares: FloatArray
    observed: FloatArray


def draw_plain(rng: np.random.Generator, palette: Palette, count: int) -> Scenes:
    """One color under uneven light, with texture: cloth, leaves, walls, skin, paint."""
    base = palette.draw(rng, count)
    slope = rng.exponential(0.12, (count, 1, 1)) * draw_directions(rng, count)
    # Texture in stops: from none (a wall) to strong (foliage, knitwear).
    depth = 0.7 * rng.random((count, 1, 1)) ** 3
    light = np.exp(slope + depth * draw_blotches(rng, count))[..., None] * base[:, None, None]
    light *= _draw_hue_drift(rng, count) * _draw_shadow(rng, count)
    light = _add_gloss(rng, light)
    shares = palette.names.find_shares(measure_lab(base))
    return Scenes(light=light, shares=shares, observed=np.full(count, 0.6, np.float32))


def _draw_hue_drift(rng: np.random.Generator, count: int) -> FloatArray:
    """Slight drift of hue within one surface, a factor per pixel and channel."""
    drift = np.stack([draw_blotches(rng, count) for _ in range(3)], axis=-1)
    amount = rng.exponential(0.02, (count, 1, 1, 1))
    return np.asarray(np.exp(amount * drift), np.float32)


def _draw_shadow(rng: np.random.Generator, count: int) -> FloatArray:
    """A shadow or a fold across one surface in seven, a factor per pixel, [n, 17, 17, 1]."""
    part = draw_two_parts(rng, count)
    depth = rng.uniform(0.2, 0.75, (count, 1, 1)) * (rng.random((count, 1, 1)) < 0.15)
    return np.asarray((1 - depth * part)[..., None], np.float32)


def _add_gloss(rng: np.random.Generator, light: FloatArray) -> FloatArray:
    """White highlights on one surface in eight: varnish, plastic, wet fruit."""
    count = len(light)
    glossy = rng.random((count, 1, 1, 1)) < 0.12
    peak = np.clip(draw_blotches(rng, count)[..., None] - rng.uniform(0.8, 2.0), 0, 1) ** 2
    return np.asarray(light + glossy * rng.uniform(0.1, 0.7, (count, 1, 1, 1)) * peak, np.float32)


def draw_edges(rng: np.random.Generator, palette: Palette, count: int) -> Scenes:
    """Two colors meet; the name goes by area around the middle, where the tap was."""
    first, second = palette.draw(rng, count), palette.draw(rng, count)
    part = draw_two_parts(rng, count)
    light = _mix(first, second, part) * _draw_shading(rng, count)
    area = average_patch(part, centered=True)[:, None]
    weight = area**2 / (area**2 + (1 - area) ** 2)
    names = (
        palette.names.find_shares(measure_lab(first)),
        palette.names.find_shares(measure_lab(second)),
    )
    shares: FloatArray = (1 - weight) * names[0] + weight * names[1]
    both = names[0][:, _BLACK] * names[1][:, _WHITE] + names[0][:, _WHITE] * names[1][:, _BLACK]
    shares = _share_with(shares, _BLACK_WHITE, both[:, None] * _measure_balance(area))
    shares = _share_with(shares, _MULTI, 0.12 * _measure_balance(area))
    return Scenes(light=light, shares=shares, observed=np.zeros(count, np.float32))


def draw_black_white(rng: np.random.Generator, palette: Palette, count: int) -> Scenes:
    """Black on white or white on black: print, stripes, checks, zebras, keys, tiles."""
    dark = 0.06 * rng.random((count, 1)) ** 1.5 + rng.normal(0, 0.002, (count, 3))
    bright = rng.uniform(0.55, 1.05, (count, 1)) * (1 + rng.normal(0, 0.02, (count, 3)))
    part = draw_two_parts(rng, count)
    light = _mix(np.maximum(dark, 0.001), bright, part) * _draw_shading(rng, count)
    area = average_patch(part)[:, None]
    one = np.zeros((count, len(COLOR_LABELS)), np.float32)
    one[:, _WHITE], one[:, _BLACK] = area[:, 0], 1 - area[:, 0]
    # Blurred together, black and white are gray; the spread tells what is left of them.
    kept = np.clip(4 * average_patch(part**2)[:, None] - 4 * area**2, 0, 1)
    blurred = np.zeros_like(one)
    blurred[:, _GRAY] = 1.0
    balance = _measure_balance(area)
    mixed = np.clip(kept / 0.4, 0, 1)
    shares = _share_with(one, _BLACK_WHITE, 0.95 * balance)
    lost = balance * (1 - mixed)
    return Scenes(
        light=light,
        shares=np.asarray((1 - lost) * shares + lost * blurred, np.float32),
        observed=np.zeros(count, np.float32),
    )


def draw_multi(rng: np.random.Generator, palette: Palette, count: int) -> Scenes:
    """Three to six clear colors of different names: beads, prints, flower beds, toys."""
    regions = int(rng.integers(3, 7))
    colors, labels = palette.draw_different(rng, count, regions)
    field = draw_regions(rng, count, regions)
    light = colors[np.arange(count)[:, None, None], field] * _draw_shading(rng, count)
    areas = average_patch((field[..., None] == np.arange(regions)).astype(np.float32))
    shares = np.zeros((count, len(COLOR_LABELS)), np.float32)
    np.add.at(shares, (np.arange(count)[:, None], labels), areas**2)
    shares /= shares.sum(axis=1, keepdims=True)
    seen = (areas > 0.08).sum(axis=1)
    multi = np.select([seen >= 4, seen == 3, seen == 2], [0.97, 0.9, 0.3], 0.03)[:, None]
    largest = areas.max(axis=1, keepdims=True)
    multi = multi * np.clip((0.9 - largest) / 0.2, 0, 1)
    return Scenes(
        light=np.asarray(light, np.float32),
        shares=_share_with(shares, _MULTI, multi),
        observed=np.zeros(count, np.float32),
    )


def draw_metal(rng: np.random.Generator, palette: Palette, count: int) -> Scenes:
    """Silver, gold, copper, rose gold: wide gradients, colored reflections, white highlights."""
    base, labels = draw_metals(rng, count)
    along = rng.uniform(0, 1.5, (count, 1, 1)) * draw_directions(rng, count)
    bands = np.sin(
        rng.uniform(0.8, 6.0, (count, 1, 1)) * draw_directions(rng, count)
        + rng.uniform(0, 6.3, (count, 1, 1))
    )
    bands *= rng.integers(0, 2, (count, 1, 1))
    brushed = rng.exponential(0.15, (count, 1, 1)) * _draw_streaks(rng, count)
    blotches = rng.uniform(0, 1, (count, 1, 1)) * draw_blotches(rng, count)
    level = normalize(along + bands + blotches + brushed + _draw_glint(rng, count))
    contrast = rng.uniform(0.04, 0.75, (count, 1, 1)) * rng.choice((1, 1, 1, 0.3), (count, 1, 1))
    lit = rng.normal(-0.15, 0.25, (count, 1, 1)) + contrast * level
    # Reflected light that meets metal twice is colored twice: shadows are more saturated.
    tint = 1 + 0.5 * np.clip(-lit, 0, 1.5)
    light = np.exp(lit)[..., None] * base[:, None, None] ** tint[..., None]
    edge = rng.uniform(0.6, 2.2, (count, 1, 1))
    shine = np.clip((level - edge) * rng.uniform(0.5, 2.0, (count, 1, 1)), 0, 1)[..., None]
    strength = rng.uniform(0.0, 1.0, (count, 1, 1, 1))
    light = light + strength * shine * (1.05 - np.minimum(light, 1.0))
    strong = np.clip(contrast[:, :, 0] / 0.22, 0, 1)
    shares = np.zeros((count, len(COLOR_LABELS)), np.float32)
    shares[np.arange(count), labels] = 1.0
    # Metal that mirrors nothing to be seen is called by its color.
    observed = np.asarray(0.75 - 0.7 * strong[:, 0], np.float32)
    return Scenes(light=np.asarray(light, np.float32), shares=shares, observed=observed)


def _draw_glint(rng: np.random.Generator, count: int) -> FloatArray:
    """A narrow band of light on two of five: rods, rims, edges, folds."""
    across = draw_directions(rng, count) - rng.uniform(-0.8, 0.8, (count, 1, 1))
    band = np.exp(-((across / rng.uniform(0.12, 0.6, (count, 1, 1))) ** 2))
    height = rng.uniform(1.0, 4.0, (count, 1, 1)) * (rng.random((count, 1, 1)) < 0.4)
    return np.asarray(height * band, np.float32)


def _draw_streaks(rng: np.random.Generator, count: int) -> FloatArray:
    """Brush marks: noise that changes across one axis only."""
    rng.random()  # for nothing; without it the same seed would give other patches
    marks = rng.normal(size=(count, CANVAS_PX, 1)).astype(np.float32)
    field = np.broadcast_to(marks, (count, CANVAS_PX, CANVAS_PX)).copy()
    turned = rng.random(count) < 0.5
    field[turned] = field[turned].swapaxes(1, 2)
    return field


def _draw_shading(rng: np.random.Generator, count: int) -> FloatArray:
    """Mild uneven light over a whole scene, a factor per pixel, [n, 17, 17, 1]."""
    slope = rng.exponential(0.07, (count, 1, 1)) * draw_directions(rng, count)
    texture = 0.25 * rng.random((count, 1, 1)) ** 3 * draw_blotches(rng, count)
    return np.asarray(np.exp(slope + texture)[..., None], np.float32)


def _mix(first: FloatArray, second: FloatArray, part: FloatArray) -> FloatArray:
    """Two colors [n, 3] mixed by `part` [n, 17, 17], 1 being all of the second."""
    share = part[..., None]
    return np.asarray((1 - share) * first[:, None, None] + share * second[:, None, None])


def _measure_balance(area: FloatArray) -> FloatArray:
    """1 where both of two parts are plain to see (a fifth each), 0 where one hardly is."""
    smaller = np.minimum(area, 1 - area)
    return np.asarray(np.clip((smaller - 0.06) / 0.14, 0, 1), np.float32)


def _share_with(shares: FloatArray, label: int, amount: FloatArray) -> FloatArray:
    """Give `amount` [n, 1] of all shares [n, 18] to one label."""
    result = shares * (1 - amount)
    result[:, label] += amount[:, 0]
    return np.asarray(result, np.float32)
