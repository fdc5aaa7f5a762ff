"""A second, separately written patch generator, only for measuring the first.

Enters: the held-out bins of the survey and a seed. Leaves: patches uint8 [n, 9, 9, 3] with the
one label each was made for. Called for the figures of ``dsapi train colors``, never for training.
It shares no scene, field or camera code with the training generator: metals mirror a horizon, a
window and a lamp, textures are woven or grained, print is glyphs, noise is per channel and
blotchy, the lens is a box, and the tone curve is that of film.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from dsapi.training.colors.names import COLOR_LABELS, ColorSurvey
from dsapi.training.colors.science import FloatArray, decode_srgb, encode_srgb, render_lab

_SIDE = 9
# Encoded sRGB samples as swatch books and product pages print them.
_METAL_SWATCHES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "silver": ((192, 192, 192), (170, 169, 173), (208, 208, 206), (196, 202, 206)),
    "gold": ((212, 175, 55), (207, 181, 59), (230, 190, 95), (218, 170, 60), (197, 160, 70)),
    "copper": ((184, 115, 51), (186, 110, 64), (200, 117, 80), (203, 109, 81)),
    "rose gold": ((183, 110, 121), (222, 165, 150), (224, 191, 184), (205, 150, 140)),
}


def generate_variant(
    survey: ColorSurvey, *, per_label: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`per_label` patches of every label, and the labels' indices [n].

    Plain labels take their colors from bins of `survey` that at least half of the people call
    so; black and white, of which the survey has few bins, from the corners of the color solid.
    """
    rng = np.random.default_rng(seed)
    patches, labels = [], []
    for index, label in enumerate(COLOR_LABELS):
        scenes = np.stack([_draw_scene(rng, survey, label) for _ in range(per_label)])
        patches.append(_shoot(rng, scenes))
        labels.append(np.full(per_label, index))
    return np.concatenate(patches), np.concatenate(labels)


def _draw_scene(rng: np.random.Generator, survey: ColorSurvey, label: str) -> FloatArray:
    """One scene in linear light, float32 [9, 9, 3]."""
    if label in _METAL_SWATCHES:
        return _mirror(rng, _METAL_SWATCHES[label])
    if label == "black & white":
        return _print_glyphs(rng)
    if label == "multi-colored":
        return _scatter(rng, survey)
    return _weave(rng, _pick_color(rng, survey, label))


def _pick_color(rng: np.random.Generator, survey: ColorSurvey, label: str) -> FloatArray:
    """A color that clearly has this name, linear light [3]."""
    if label == "white":
        return decode_srgb(rng.uniform(0.93, 1.0) - rng.uniform(0, 0.025, 3).astype(np.float32))
    if label == "black":
        return decode_srgb(rng.uniform(0.02, 0.15) + rng.uniform(0, 0.03, 3).astype(np.float32))
    clear = np.flatnonzero(survey.shares[:, COLOR_LABELS.index(label)] >= 0.5)
    lab = survey.lab[rng.choice(clear)]
    return np.clip(render_lab(lab), 0.0, 1.0)


def _weave(rng: np.random.Generator, color: FloatArray) -> FloatArray:
    """Woven or grained surface: two crossed waves, or uneven grain along one axis; or smooth."""
    down, across = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
    kind = rng.integers(0, 3)
    depth = rng.uniform(0.05, 0.35)
    if kind == 0:
        pattern = np.sin(down * rng.uniform(0.7, 3)) * np.sin(across * rng.uniform(0.7, 3))
    elif kind == 1:
        pattern = np.cumsum(rng.normal(0, 0.5, _SIDE))[None] + rng.normal(0, 0.2, (_SIDE, _SIDE))
        pattern = pattern - pattern.mean()
    else:
        pattern = (down * rng.uniform(-1, 1) + across * rng.uniform(-1, 1)) / _SIDE
    return np.asarray(color * (1 + depth * np.clip(pattern, -1, 1))[..., None], np.float32)


def _mirror(rng: np.random.Generator, swatches: tuple[tuple[int, int, int], ...]) -> FloatArray:
    """Curved metal: a floor, a horizon and a sky mirrored, a window or lamp shining in it."""
    swatch = np.array(swatches[rng.integers(len(swatches))], np.float32) / 255
    color = decode_srgb(np.clip(swatch * rng.uniform(0.92, 1.08), 0, 1).astype(np.float32))
    down, across = (np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32) - 4) / 4.5
    angle = rng.uniform(0, 2 * np.pi)
    height = np.cos(angle) * down + np.sin(angle) * across
    height = height + rng.uniform(-0.6, 0.6) * (down**2 + across**2)
    horizon = rng.uniform(-0.5, 0.5)
    width = rng.uniform(0.08, 0.5)
    step = 1 / (1 + np.exp(-(height - horizon) / width))
    floor, sky = rng.uniform(0.25, 0.6), rng.uniform(0.95, 1.35)
    level = floor + (sky - floor) * step
    glint = np.exp(-(((height - horizon - rng.uniform(0.1, 0.6)) / rng.uniform(0.1, 0.3)) ** 2))
    shine = (glint * rng.uniform(0.2, 0.9))[..., None]
    light = level[..., None] * color
    return np.asarray(light * (1 - shine) + shine * (0.6 + 0.4 * color), np.float32)


def _print_glyphs(rng: np.random.Generator) -> FloatArray:
    """Black on white or the reverse: a random glyph of strokes, or a grid of random squares."""
    ink = np.zeros((_SIDE, _SIDE), np.float32)
    while not 0.2 <= ink.mean() <= 0.8:
        if rng.random() < 0.5:
            ink[:] = 0
            for _ in range(rng.integers(1, 4)):
                start, width = rng.integers(0, 7), rng.integers(2, 5)
                stroke = (slice(start, start + width), slice(None))
                ink[stroke if rng.random() < 0.5 else stroke[::-1]] = 1
        else:
            size = int(rng.integers(2, 6))
            squares = rng.integers(0, 2, (5, 5)).repeat(size, 0).repeat(size, 1)
            ink[:] = squares[:_SIDE, :_SIDE]
    ink = ink if rng.random() < 0.5 else 1 - ink
    dark, bright = rng.uniform(0.003, 0.05), rng.uniform(0.65, 1.0)
    return np.repeat((bright + (dark - bright) * ink)[..., None], 3, axis=2).astype(np.float32)


def _scatter(rng: np.random.Generator, survey: ColorSurvey) -> FloatArray:
    """Discs of three to five clearly different hues on a ground of another."""
    hues = ("blue", "green", "orange", "pink", "purple", "red", "yellow")
    chosen = rng.permutation(hues)[: rng.integers(3, 6)]
    colors = np.stack([_pick_vivid(rng, survey, str(label)) for label in chosen])
    field = np.zeros((_SIDE, _SIDE), np.int64)
    down, across = np.mgrid[0:_SIDE, 0:_SIDE]
    while min((field == each).sum() for each in range(len(colors))) < 9:
        field[:] = 0
        for each in range(1, 3 * len(colors)):
            place, radius = rng.uniform(0, _SIDE, 2), rng.uniform(1.5, 3.5)
            disc = (down - place[0]) ** 2 + (across - place[1]) ** 2 < radius**2
            field[disc] = each % len(colors)
    return np.asarray(colors[field], np.float32)


def _pick_vivid(rng: np.random.Generator, survey: ColorSurvey, label: str) -> FloatArray:
    chroma = np.hypot(survey.lab[:, 1], survey.lab[:, 2])
    clear = (survey.shares[:, COLOR_LABELS.index(label)] >= 0.5) & (chroma > 35)
    return np.clip(render_lab(survey.lab[rng.choice(np.flatnonzero(clear))]), 0.0, 1.0)


def _shoot(rng: np.random.Generator, scenes: FloatArray) -> NDArray[np.uint8]:
    """Another camera: box blur, blotchy noise per channel, a film curve, half of them JPEG."""
    count = len(scenes)
    gains = 1 + rng.uniform(-0.05, 0.05, (count, 1, 1, 3))
    light = scenes * gains * 2 ** rng.uniform(-0.15, 0.15, (count, 1, 1, 1))
    pixels = encode_srgb(light.astype(np.float32))
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    box = sum(padded[:, i : i + _SIDE, j : j + _SIDE] for i in range(3) for j in range(3)) / 9
    softness = rng.uniform(0, 0.6, (count, 1, 1, 1))
    pixels = (1 - softness) * pixels + softness * box
    blotches = rng.normal(0, 1, (count, 5, 5, 3)).repeat(2, 1).repeat(2, 2)[:, :_SIDE, :_SIDE]
    grain = rng.normal(0, 1, pixels.shape)
    pixels = pixels + rng.uniform(0, 0.025, (count, 1, 1, 1)) * (blotches + grain)
    curve = rng.uniform(-0.08, 0.08, (count, 1, 1, 1))
    pixels = pixels + curve * np.sin(2 * np.pi * np.clip(pixels, 0, 1)) / np.pi
    patches = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    for place in np.flatnonzero(rng.random(count) < 0.5):
        patches[place] = save_as_jpeg(patches[place], quality=int(rng.integers(50, 96)))
    return np.asarray(patches)


def save_as_jpeg(patch: NDArray[np.uint8], *, quality: int) -> NDArray[np.uint8]:
    """One patch, uint8 [h, w, 3], as a JPEG file of its own (4:2:0) and read back."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(patch).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))
