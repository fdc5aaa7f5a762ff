"""The training patches: scenes of every kind, photographed, with the names people would give.

Enters: the folded survey and a seed. Leaves: uint8 [n, 9, 9, 3] and label shares float32
[n, 18]. Called by ``dsapi train colors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from dsapi.training.colors.camera import ByteArray, Camera
from dsapi.training.colors.names import COLOR_LABELS
from dsapi.training.colors.palette import METALS, Palette, measure_mean_lab
from dsapi.training.colors.scenes import (
    Scenes,
    draw_black_white,
    draw_edges,
    draw_metal,
    draw_multi,
    draw_plain,
)
from dsapi.training.colors.science import FloatArray, decode_srgb, measure_lab

# Kinds of scene and their share. Metals, black & white and multi-colored get about the share
# that one of the 18 labels has among the plain colors, so that no label is favored.
_KINDS: tuple[tuple[float, Callable[[np.random.Generator, Palette, int], Scenes]], ...] = (
    (0.58, draw_plain),
    (0.11, draw_edges),
    (0.05, draw_black_white),
    (0.06, draw_multi),
    (0.20, draw_metal),
)
CHUNK = 4096
"""Patches that are generated at a time; other sizes give other patches."""


@dataclass(frozen=True)
class PatchSet:
    """Patches uint8 [n, 9, 9, 3] and the shares of the labels, float32 [n, 18]."""

    patches: ByteArray
    shares: FloatArray


def generate_patches(
    palette: Palette, *, count: int, seed: int, processes: int
) -> Iterator[PatchSet]:
    """Generate `count` patches in chunks of `CHUNK`; the same seed gives the same patches.

    With more than one of `processes` the chunks are made by as many new Python processes.
    """
    generate = partial(_generate_chunk, palette, seed=seed)
    starts = range(0, count, CHUNK)
    counts = [min(CHUNK, count - start) for start in starts]
    if min(processes, len(starts)) == 1:
        yield from map(generate, starts, counts)
        return
    # Spawned, not forked: TensorFlow may be loaded already, and it does not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(generate, starts, counts)


def join_patches(chunks: Iterable[PatchSet]) -> PatchSet:
    """All chunks as one."""
    held = list(chunks)
    return PatchSet(
        patches=np.concatenate([chunk.patches for chunk in held]),
        shares=np.concatenate([chunk.shares for chunk in held]),
    )


def _generate_chunk(palette: Palette, start: int, count: int, *, seed: int) -> PatchSet:
    """One chunk with every kind of scene in it, in mixed order."""
    rng = np.random.default_rng([seed, start])
    numbers = rng.multinomial(count, [share for share, _ in _KINDS])
    scenes = [
        draw(rng, palette, int(number))
        for number, (_, draw) in zip(numbers, _KINDS, strict=True)
        if number
    ]
    patches = Camera().photograph(rng, np.concatenate([scene.light for scene in scenes]))
    seen = palette.names.find_shares(measure_mean_lab(patches))
    observed = np.concatenate([scene.observed for scene in scenes])[:, None]
    shares = np.concatenate([scene.shares for scene in scenes])
    shares = (1 - observed) * shares + observed * seen
    shares = _rename_faint(patches, shares=shares, seen=seen)
    order = rng.permutation(count)
    return PatchSet(patches=patches[order], shares=np.asarray(shares[order], np.float32))


def _rename_faint(patches: ByteArray, *, shares: FloatArray, seen: FloatArray) -> FloatArray:
    """What lens and exposure left nothing of is called by the color that is to be seen.

    Black & white needs a deviation in lightness of 10 to 20, metal one of 1 to 4: below the
    first number it is lost, above the second all of it is kept.
    """
    lightness = measure_lab(decode_srgb(patches.astype(np.float32) / 255))[..., 0]
    spread = lightness.std(axis=(1, 2))[:, None]
    lost = np.zeros_like(shares)
    for least, most, labels in ((10, 20, ("black & white",)), (1, 4, METALS)):
        columns = [COLOR_LABELS.index(label) for label in labels]
        lost[:, columns] = shares[:, columns] * (
            1 - np.clip((spread - least) / (most - least), 0, 1)
        )
    return np.asarray(shares - lost + lost.sum(axis=1, keepdims=True) * seen)
