"""How well a color graph does: the figures that its card shows.

Enters: a function from patches to probabilities (a frozen graph, opened) and the survey. Leaves:
`ColorFigures`. Called at the end of ``dsapi train colors``. Everything is measured on colors and
patches that training never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.figures import find_hits
from dsapi.training.calibration import expected_calibration_error
from dsapi.training.colors.camera import PATCH_PX
from dsapi.training.colors.names import COLOR_LABELS, ColorSurvey, mark_held_out
from dsapi.training.colors.patches import PatchSet
from dsapi.training.colors.science import FloatArray, encode_srgb, render_lab
from dsapi.training.colors.variant import generate_variant, save_as_jpeg

#: Patches, any numeric type [n, 9, 9, 3], 0-255, to probabilities float32 [n, 18].
Namer = Callable[[NDArray[np.generic]], FloatArray]

_DARKER = (0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class ColorFigures:
    """Shares are 0-1.

    Attributes:
        plain_top1: agreement with the majority name of held-out bins with a clear majority
            (half of the answers or more), weighted by that majority.
        plain_top5: the same, the majority's name being among the first five.
        plain_bins: number of those bins.
        recall: per label, on patches of the other generator.
        whitened: patches and plain colors that darkening turned into white.
        jpeg_kept: patches of the other generator that keep their top label at JPEG quality 60.
        calibration_error: expected calibration error on newly generated patches, 15 bins.
    """

    plain_top1: float
    plain_top5: float
    plain_bins: int
    recall: dict[str, float]
    whitened: int
    jpeg_kept: float
    calibration_error: float


def measure_figures(
    namer: Namer, survey: ColorSurvey, *, fresh: PatchSet, per_label: int, seed: int
) -> ColorFigures:
    """Measure everything; `fresh` are generated patches that training has not seen."""
    held_out = survey.select(mark_held_out(survey.lab))
    top1, top5, bins = measure_plain_agreement(namer, held_out)
    patches, labels = generate_variant(held_out, per_label=per_label, seed=seed)
    answers = namer(patches).argmax(axis=1)
    recall = {
        label: float((answers[labels == index] == index).mean())
        for index, label in enumerate(COLOR_LABELS)
    }
    compressed = np.stack([save_as_jpeg(patch, quality=60) for patch in patches])
    return ColorFigures(
        plain_top1=top1,
        plain_top5=top5,
        plain_bins=bins,
        recall=recall,
        whitened=count_whitened(namer, patches) + count_whitened(namer, draw_swatches(survey.lab)),
        jpeg_kept=float((namer(compressed).argmax(axis=1) == answers).mean()),
        calibration_error=measure_calibration_error(namer, fresh, seed=seed),
    )


def draw_swatches(lab: FloatArray) -> NDArray[np.uint8]:
    """Plain patches of CIELAB colors [n, 3]: uint8 [n, 9, 9, 3]."""
    pixels = np.rint(encode_srgb(render_lab(lab)) * 255).astype(np.uint8)
    return np.broadcast_to(pixels[:, None, None], (len(lab), PATCH_PX, PATCH_PX, 3))


def measure_plain_agreement(namer: Namer, survey: ColorSurvey) -> tuple[float, float, int]:
    """Top-1 and top-5 agreement with clear majorities, and how many bins have one."""
    majority = survey.shares.max(axis=1)
    clear = survey.select(majority >= 0.5)
    weights = majority[majority >= 0.5]
    wanted = clear.shares.argmax(axis=1)
    first, among_five = find_hits(namer(draw_swatches(clear.lab)), wanted)
    return (
        float(np.average(first, weights=weights)),
        float(np.average(among_five, weights=weights)),
        len(wanted),
    )


def count_whitened(namer: Namer, patches: NDArray[np.uint8]) -> int:
    """How many patches are not white, but are at some of eleven darker steps."""
    white = COLOR_LABELS.index("white")
    colored = patches[namer(patches).argmax(axis=1) != white]
    turned = np.zeros(len(colored), bool)
    for factor in _DARKER:
        turned |= namer(np.rint(colored * factor)).argmax(axis=1) == white
    return int(turned.sum())


def measure_calibration_error(namer: Namer, fresh: PatchSet, *, seed: int) -> float:
    """Expected calibration error of the top label against answers drawn from the shares."""
    rng = np.random.default_rng(seed)
    draws = rng.random((len(fresh.shares), 1))
    answers = (fresh.shares.cumsum(axis=1) < draws).sum(axis=1)
    return expected_calibration_error(namer(fresh.patches), answers)
