"""Random fields on the canvas: gradients, soft blotches, edges, stripes, regions.

Enters: a random generator and a count. Leaves: float32 or int64 ``[n, 17, 17]``. Called by the
scenes of ``dsapi train colors``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsapi.training.colors.camera import CANVAS_PX, MARGIN_PX, PATCH_PX
from dsapi.training.colors.science import FloatArray

IntArray = NDArray[np.int64]
# Canvas places in units of half a patch, 0 at the patch's middle: -1 to 1 is the patch.
_PLACES = ((np.arange(CANVAS_PX) - CANVAS_PX // 2) / (PATCH_PX / 2)).astype(np.float32)
_BLOTCH_CELLS = (2, 3, 4, 6, 9, CANVAS_PX)


def draw_directions(rng: np.random.Generator, count: int) -> FloatArray:
    """Place along a random direction for every pixel, float32 [n, 17, 17], patch about -1 to 1."""
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    down, across = _PLACES[None, :, None], _PLACES[None, None, :]
    return np.asarray(np.cos(angle) * across + np.sin(angle) * down, np.float32)


def draw_blotches(rng: np.random.Generator, count: int) -> FloatArray:
    """Smooth noise of mean 0 and deviation 1, from one blotch a canvas to one a pixel."""
    field = np.empty((count, CANVAS_PX, CANVAS_PX), np.float32)
    cells = rng.choice(_BLOTCH_CELLS, count)
    for number in _BLOTCH_CELLS:
        chosen = np.flatnonzero(cells == number)
        spread = _build_interpolation(number)
        seeds = rng.normal(size=(len(chosen), number, number)).astype(np.float32)
        field[chosen] = spread @ seeds @ spread.T
    return normalize(field)


def _build_interpolation(cells: int) -> FloatArray:
    """Linear interpolation from `cells` points over the canvas, float32 [17, cells]."""
    places = np.linspace(0, cells - 1, CANVAS_PX)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    return np.asarray(weights, np.float32)


def normalize(field: FloatArray) -> FloatArray:
    """Each field of `field` [n, 17, 17] shifted and scaled to mean 0, deviation 1."""
    mean = field.mean(axis=(1, 2), keepdims=True)
    deviation = field.std(axis=(1, 2), keepdims=True)
    return np.asarray((field - mean) / np.maximum(deviation, 1e-4), np.float32)


def draw_two_parts(rng: np.random.Generator, count: int) -> FloatArray:
    """How far each pixel belongs to the second of two parts, 0-1: edges, lines, stripes, blots."""
    along = draw_directions(rng, count)
    kinds = rng.integers(0, 5, (count, 1, 1))
    shift = rng.uniform(-0.9, 0.9, (count, 1, 1))
    bent = along + rng.uniform(-0.5, 0.5, (count, 1, 1)) * draw_directions(rng, count) ** 2
    edge = bent - shift
    line = rng.uniform(0.15, 0.5, (count, 1, 1)) - np.abs(along - shift)
    period = rng.uniform(0.35, 1.6, (count, 1, 1))
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    wave = np.sin(2 * np.pi * along / period + phase)
    other = np.sin(2 * np.pi * draw_directions(rng, count) / period + phase)
    threshold = rng.uniform(-0.4, 0.4, (count, 1, 1))
    stripes = wave - threshold
    checks = wave * other - 0.3 * threshold
    blots = draw_blotches(rng, count) - threshold
    level = np.select(
        [kinds == 0, kinds == 1, kinds == 2, kinds == 3], [edge, line, stripes, checks], blots
    )
    sharpness = rng.choice((4.0, 10.0, 40.0), (count, 1, 1))
    return np.asarray(1 / (1 + np.exp(-np.clip(sharpness * level, -30, 30))), np.float32)


def draw_regions(rng: np.random.Generator, count: int, regions: int) -> IntArray:
    """Which of `regions` each pixel belongs to, int64 [n, 17, 17]: cells, stripes or confetti."""
    field = _draw_cells(rng, count, regions)
    kinds = rng.integers(0, 3, count)
    stripes = kinds == 1
    bands = draw_directions(rng, int(stripes.sum()))
    width = rng.uniform(1.2, 2.4, (len(bands), 1, 1)) / regions
    field[stripes] = np.floor(bands / width + rng.uniform(0, regions, width.shape)).astype(int)
    confetti = kinds == 2
    for size in (2, 3):
        chosen = np.flatnonzero(confetti & (rng.random(count) < (0.5 if size == 2 else 1.0)))
        confetti[chosen] = False
        number = -(-CANVAS_PX // size)
        pieces = rng.integers(0, regions, (len(chosen), number, number))
        field[chosen] = pieces.repeat(size, 1).repeat(size, 2)[:, :CANVAS_PX, :CANVAS_PX]
    return np.asarray(field % regions, np.int64)


def _draw_cells(rng: np.random.Generator, count: int, regions: int) -> IntArray:
    """Voronoi cells of twice as many seeds as regions, spread over the patch."""
    seeds = rng.uniform(-1.1, 1.1, (count, 2 * regions, 2, 1, 1))
    down = _PLACES[None, None, :, None] - seeds[:, :, 0]
    across = _PLACES[None, None, None, :] - seeds[:, :, 1]
    return np.asarray((down**2 + across**2).argmin(axis=1), np.int64)


def average_patch(field: FloatArray, *, centered: bool = False) -> FloatArray:
    """Mean of `field` [n, 17, 17, ...] over the patch, or weighted to its middle: [n, ...].

    The middle counts more where the question is which color was tapped: Gaussian, 2.5 pixels.
    """
    inner = slice(MARGIN_PX, MARGIN_PX + PATCH_PX)
    places = np.arange(PATCH_PX) - PATCH_PX // 2
    line = np.exp(-(places**2) / (2 * 2.5**2)) if centered else np.ones(PATCH_PX)
    weights = np.outer(line, line) / line.sum() ** 2
    return np.asarray(np.einsum("nij...,ij->n...", field[:, inner, inner], weights), np.float32)
