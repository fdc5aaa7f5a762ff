"""Where base colors come from: the survey, the dull colors of photos, and metals.

Enters: the folded survey. Leaves: linear-light colors, float32 [n, 3]. Called by the scenes of
``dsapi train colors``. No color is drawn from a held-out region; only clipping to what sRGB holds
may move one into it.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.training.colors.fields import IntArray
from dsapi.training.colors.names import COLOR_LABELS, ColorSurvey, NameSurface, mark_held_out
from dsapi.training.colors.science import (
    FloatArray,
    decode_srgb,
    measure_lab,
    render_lab,
)

# Labels that can be a part of something multi-colored.
_HUES = ("blue", "green", "orange", "pink", "purple", "red", "yellow")

# Encoded hue (degrees), saturation and value ranges of metals in daylight photos. Copper and rose
# gold share hues; saturation parts them. Pure metals reflect linear sRGB (1.00, 0.71, 0.29) for
# gold, (0.95, 0.64, 0.54) for copper, (0.97, 0.96, 0.91) for silver; jewelry and paint are the
# darker and stronger ones. Rose gold is three parts gold to one of copper.
_METALS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "gold": ((37.0, 51.0), (0.38, 0.82), (0.60, 1.0)),
    "copper": ((12.0, 28.0), (0.46, 0.78), (0.58, 1.0)),
    "rose gold": ((-14.0, 24.0), (0.18, 0.42), (0.68, 1.0)),
    "silver": ((0.0, 360.0), (0.0, 0.07), (0.58, 0.97)),
}
METALS = tuple(_METALS)


@dataclass(frozen=True)
class Palette:
    """Colors to draw from: `survey` holds only bins that may be seen, `names` their names."""

    survey: ColorSurvey
    names: NameSurface

    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Colors of all sorts, linear light [n, 3]: 45 % by label, 30 % evenly, rest dull."""
        source = rng.random(count)
        by_label = _draw_bins(rng, self.survey, count)
        evenly = rng.integers(0, len(self.survey.lab), count)
        lab = self.survey.lab[np.where(source < 0.45, by_label, evenly)]
        lab = lab + rng.uniform(-2.5, 2.5, lab.shape)
        lab = np.where((source < 0.75)[:, None], lab, _draw_dull(rng, count))
        # What was drawn from a held-out region is replaced by plain survey bins.
        replaced = mark_held_out(np.asarray(lab, np.float32))[:, None]
        return _fit_gamut(np.where(replaced, self.survey.lab[by_label], lab))

    def draw_different(
        self, rng: np.random.Generator, count: int, colors: int
    ) -> tuple[FloatArray, IntArray]:
        """Clear colors, no two of one name: linear light [n, colors, 3], labels [n, colors]."""
        shares = self.survey.shares
        hues = np.array([COLOR_LABELS.index(label) for label in _HUES])
        order = rng.permuted(np.tile(hues, (count, 1)), axis=1)[:, :colors]
        chroma = np.hypot(self.survey.lab[:, 1], self.survey.lab[:, 2])
        result = np.empty((count, colors, 3), np.float32)
        for label in hues:
            clear = np.flatnonzero((shares[:, label] >= 0.6) & (chroma >= 30))
            places = np.nonzero(order == label)
            result[places] = self.survey.lab[rng.choice(clear, len(places[0]))]
        return _fit_gamut(result), order


def _draw_bins(rng: np.random.Generator, survey: ColorSurvey, count: int) -> IntArray:
    """Bins such that every label the survey knows is drawn equally often."""
    shares = survey.shares**2
    known = np.flatnonzero(shares.sum(axis=0) > 0)
    label = rng.choice(known, count)
    result = np.empty(count, np.int64)
    for each in known:
        chosen = label == each
        weights = shares[:, each] / shares[:, each].sum()
        result[chosen] = rng.choice(len(weights), int(chosen.sum()), p=weights)
    return result


def _draw_dull(rng: np.random.Generator, count: int) -> FloatArray:
    """CIELAB colors as photos are full of: any lightness, little chroma, more warm than cool.

    A third are near white or near black, which the survey hardly has.
    """
    lightness = rng.uniform(3, 99, count)
    ends = rng.random(count)
    lightness = np.where(ends < 0.18, rng.uniform(86, 100, count), lightness)
    lightness = np.where(ends > 0.85, rng.uniform(0, 24, count), lightness)
    chroma = rng.exponential(7.0, count)
    # Around the yellow axis for wood, stone, skin and lamp light; every third anywhere.
    hue = np.where(
        rng.random(count) < 0.67, rng.normal(1.25, 0.5, count), rng.uniform(0, 2 * np.pi, count)
    )
    return np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1).astype(np.float32)


def _fit_gamut(lab: FloatArray) -> FloatArray:
    """Linear light of CIELAB colors, clipped to what sRGB holds."""
    return np.clip(render_lab(np.asarray(lab, np.float32)), 0.0, 1.0)


def draw_metals(rng: np.random.Generator, count: int) -> tuple[FloatArray, IntArray]:
    """Colors of the four metals: linear light [n, 3] and label indices [n]."""
    colors = np.empty((count, 3), np.float32)
    labels = np.empty(count, np.int64)
    open_places = np.arange(count)
    # Held-out regions are drawn anew: with metals but no plain colors there, the network would
    # learn that everything in them is metal.
    while len(open_places):
        drawn, kinds = _draw_any_metals(rng, len(open_places))
        allowed = ~mark_held_out(measure_lab(drawn))
        colors[open_places[allowed]] = drawn[allowed]
        labels[open_places[allowed]] = kinds[allowed]
        open_places = open_places[~allowed]
    return colors, labels


def _draw_any_metals(rng: np.random.Generator, count: int) -> tuple[FloatArray, IntArray]:
    # More silver: gray things it has to stand out from are commoner than any other color.
    kinds = rng.choice(len(METALS), count, p=(0.22, 0.22, 0.22, 0.34))
    ranges = np.array([_METALS[name] for name in METALS])[kinds]
    hue, saturation, value = rng.uniform(ranges[..., 0], ranges[..., 1]).T
    rgb = np.array(
        [
            colorsys.hsv_to_rgb(h % 360 / 360, s, v)
            for h, s, v in zip(hue, saturation, value, strict=True)
        ],
        np.float32,
    )
    return decode_srgb(rgb), np.array([COLOR_LABELS.index(name) for name in METALS])[kinds]


def build_palette(survey: ColorSurvey) -> Palette:
    """A palette of the bins outside the held-out regions."""
    seen = survey.select(~mark_held_out(survey.lab))
    return Palette(survey=seen, names=NameSurface(seen))


def measure_mean_lab(patches: NDArray[np.uint8]) -> FloatArray:
    """CIELAB of the mean light of patches [n, 9, 9, 3], 0-255: float32 [n, 3]."""
    return measure_lab(decode_srgb(np.asarray(patches, np.float32) / 255).mean(axis=(1, 2)))
