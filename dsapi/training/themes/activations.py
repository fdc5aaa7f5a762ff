"""What the frozen lower blocks give for every photo, kept on disk.

Enters: photos and a weights file's folded weights. Leaves: arrays on disk, float16, read back
memory-mapped. Called by the themes training: the lower blocks cost most of a training step and
never change, so each of a few differently augmented variants of a photo goes through them once.

A variant is written whole or not at all, so an interrupted training goes on with the next one.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.cores import count_cores
from dsapi.photos.files import read_upright
from dsapi.training import augmentation
from dsapi.training.photos import Photo
from dsapi.training.themes import efficientnet

BATCH = 32
BACKGROUNDS = 200
"""Photos kept in memory to stand behind cut-out subjects."""


@dataclass(frozen=True)
class Activations:
    """One variant of every photo: ``blocks`` float16 ``[n, h, w, c]``.

    Only the first plain variant of the training photos has ``class_scores``, the float16
    ``[n, 1000]`` logits of ImageNet's classes: what the network sees there is the teacher.
    """

    blocks: NDArray[np.float16]
    class_scores: NDArray[np.float16] | None


@dataclass(frozen=True)
class Variants:
    """Cached activations of the training photos, plain and changed at random."""

    plain: tuple[Activations, ...]
    changed: tuple[Activations, ...]

    def take(self, plain: int, changed: int) -> list[NDArray[np.float16]]:
        """Give the activations of the first so many of both."""
        return [variant.blocks for variant in (*self.plain[:plain], *self.changed[:changed])]


Advance = Callable[[int], None]
"""Called with the number of photos done since the last call."""


class Cache:
    """A folder of activations of one network's lower blocks."""

    def __init__(
        self,
        folder: Path,
        folded: efficientnet.Folded,
        *,
        first_block: int,
        side_px: int,
        inner_px: int,
    ) -> None:
        """Keep the output of the blocks below ``first_block`` in ``folder``.

        Photos are cropped to ``side_px`` and shrunk to ``inner_px`` before the first block, as
        the finished graph does.
        """
        self.folder = folder
        self.folded = folded
        self.first_block = first_block
        self.side_px = side_px
        self.inner_px = inner_px
        self._networks: tuple[Any, Any] | None = None

    def measured(
        self,
        name: str,
        photos: Sequence[Photo],
        *,
        seed: int,
        advance: Advance,
        scored: bool = False,
    ) -> Activations:
        """Give activations of the photos, each cropped at one random point, else unchanged."""

        def crop(index: int) -> NDArray[np.uint8]:
            rng = _generator(photos[index], seed)
            image = read_upright(photos[index].path)
            return augmentation.crop_at_random_point(image, rng, side_px=self.side_px)

        return self._get(name, len(photos), crop, advance, scored=scored)

    def augmented(
        self, name: str, photos: Sequence[Photo], *, seed: int, advance: Advance
    ) -> Activations:
        """Give activations of photos changed at random."""
        chosen = np.random.default_rng(seed).permutation(len(photos))[:BACKGROUNDS]
        backgrounds = [read_upright(photos[int(index)].path) for index in chosen]

        def change(index: int) -> NDArray[np.uint8]:
            return augmentation.augment(
                read_upright(photos[index].path),
                _generator(photos[index], seed),
                side_px=self.side_px,
                backgrounds=backgrounds,
            )

        return self._get(name, len(photos), change, advance, scored=False)

    def _get(
        self,
        name: str,
        count: int,
        make: Callable[[int], NDArray[np.uint8]],
        advance: Advance,
        *,
        scored: bool,
    ) -> Activations:
        blocks, scores = (self.folder / f"{name}-{kind}.npy" for kind in ("blocks", "classes"))
        if blocks.is_file():
            advance(count)
        else:
            self._compute(count, make, advance, blocks=blocks, scores=scores if scored else None)
        return Activations(np.load(blocks, mmap_mode="r"), np.load(scores) if scored else None)

    def _compute(
        self,
        count: int,
        make: Callable[[int], NDArray[np.uint8]],
        advance: Advance,
        *,
        blocks: Path,
        scores: Path | None,
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lower, upper = self._build()
        partial = blocks.with_suffix(".partial.npy")
        shape = (count, *lower.output.shape[1:])
        written = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        rows = np.empty((count, efficientnet.CLASSES), np.float16)
        forward = self._forward(lower, upper, scored=scores is not None)
        with ThreadPoolExecutor(count_cores()) as threads:
            for start, pixels in _batches(threads, count, make):
                stop = start + len(pixels)
                activations, classes = forward(pixels)
                written[start:stop], rows[start:stop] = activations.numpy(), classes.numpy()
                advance(stop - start)
        written.flush()
        if scores is not None:
            np.save(scores, rows)
        os.replace(partial, blocks)

    def _build(self) -> tuple[Any, Any]:
        if self._networks is None:
            lower = efficientnet.build_blocks(0, self.first_block - 1, side_px=self.inner_px)
            upper = efficientnet.build_blocks(
                self.first_block, efficientnet.LAST_BLOCK, side_px=self.inner_px
            )
            for part in (lower, upper):
                efficientnet.set_weights(part, self.folded)
            self._networks = lower, upper
        return self._networks

    def _forward(self, lower: Any, upper: Any, *, scored: bool) -> Any:
        import tensorflow as tf

        kernel, bias = (tf.constant(value) for value in self.folded["predictions"])

        def forward(pixels: Any) -> tuple[Any, Any]:
            activations = lower(efficientnet.scale_pixels(pixels, self.inner_px))
            if not scored:
                return tf.cast(activations, tf.float16), tf.zeros(())
            features = tf.reduce_mean(upper(activations), [1, 2])
            return tf.cast(activations, tf.float16), tf.matmul(features, kernel) + bias

        return tf.function(forward)


def _batches(
    threads: ThreadPoolExecutor, count: int, make: Callable[[int], NDArray[np.uint8]]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Make each batch while the one before it goes through the network."""
    waiting: list[Future[NDArray[np.uint8]]] = []
    for start in range(0, count + BATCH, BATCH):
        ready = waiting
        waiting = [threads.submit(make, i) for i in range(start, min(start + BATCH, count))]
        if ready:
            yield start - BATCH, np.stack([future.result() for future in ready])


def _generator(photo: Photo, seed: int) -> np.random.Generator:
    """Give a photo the same random changes whatever other photos there are."""
    return np.random.default_rng((seed, zlib.crc32(os.fsencode(photo.path.name))))
