"""Fit a classifier to photos: the new layer first, then the backbone too, until val gains no more.

Enters: a `Classifier`, a `Collection`, `ImageConfig`. Leaves: the classifier with the weights of
its best epoch, and figures of every epoch. Called by `dsapi.training.images.training`. Each
epoch's randomness depends on seed and epoch alone, so that a fit that was cut ends as it would
have.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from dsapi.errors import StartupError
from dsapi.photos.files import open_photo, read_upright
from dsapi.prediction.crops import cut_crop
from dsapi.prediction.points import Point
from dsapi.training.augmentation import augment
from dsapi.training.checkpoint import Checkpoint
from dsapi.training.epochs import EpochFigures, TrainingProgress, pack_history, unpack_history
from dsapi.training.images.config import CROP, Activation, ImageConfig
from dsapi.training.images.network import Classifier
from dsapi.training.photos import Collection, Photo

# What the loss has to fall by to count as a gain.
_GAIN = 1e-4


class Fit:
    """One fit of a classifier; `run` goes through all epochs that are left."""

    def __init__(
        self,
        classifier: Classifier,
        collection: Collection,
        config: ImageConfig,
        *,
        activation: Activation,
    ) -> None:
        """Read the held-out photos; prepare targets, weights of photos and two optimizers.

        Raises:
            PhotosError: a held-out photo cannot be read.
        """
        import keras
        import tensorflow as tf

        self._classifier = classifier
        self._photos = collection.train
        self._config = config
        self._activation = activation
        self._targets = _make_targets(collection.train, len(collection.labels))
        self._weights = _weigh_photos(self._targets, config)
        self._val = _stack_photos(collection.val, config, len(collection.labels))
        self._body_variables = list(classifier.backbone.trainable_variables)
        self._head_variables = list(classifier.head.trainable_variables)
        self._head = keras.optimizers.Adam(config.learning_rate)
        self._body = keras.optimizers.Adam(config.backbone_rate or 1.0)  # 0: it takes no step
        self._head.build(self._head_variables)
        self._body.build(self._body_variables)
        # Named shapes, as a last batch of fewer photos would be traced anew, which takes seconds.
        shapes = ((None, config.size, config.size, 3), (None, len(collection.labels)), (None,))
        batch = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
        self._step_of_head = tf.function(partial(self._step, whole=False), input_signature=batch)
        self._step_of_all = tf.function(partial(self._step, whole=True), input_signature=batch)

    def run(self, checkpoint: Checkpoint, *, console: Console) -> list[EpochFigures]:
        """Fit, from the checkpoint if there is one, and put the best epoch's weights back.

        Raises:
            StartupError: the checkpoint is damaged, or the loss grew beyond numbers.
            PhotosError: a photo cannot be read.
        """
        config = self._config
        variables = [*self._classifier.variables, *self._head.variables, *self._body.variables]
        history, best = self._restore(checkpoint, variables)
        done = len(history)
        if done:
            console.print(f"going on after epoch {done} of {config.epochs}")
        elif checkpoint.exists():
            console.print("the checkpoint is of other data, settings or weights: beginning anew")
        steps = -(-len(self._photos) // config.batch_size)
        with TrainingProgress(console, steps=config.epochs * steps, done=done * steps) as progress:
            while not is_over(history, config):
                epoch = len(history)
                history.append(self._run_epoch(epoch, progress))
                if not count_stale(history):
                    best = self._classifier.get_weights()
                weights = {f"best{index}": each for index, each in enumerate(best)}
                checkpoint.save(variables, history=pack_history(history), **weights)
                progress.close_epoch(
                    epoch + 1, of=config.epochs, figures=history[-1], new="held-out photos"
                )
        kept = len(history) - count_stale(history)
        console.print(f"epoch {kept} is kept, the best on held-out photos")
        self._classifier.set_weights(best)
        return history

    def _restore(
        self, checkpoint: Checkpoint, variables: Sequence[Any]
    ) -> tuple[list[EpochFigures], list[NDArray[np.float32]]]:
        """Figures of the epochs that are done, and the weights of the best of them."""
        weights = self._classifier.get_weights()
        saved = checkpoint.restore(variables)
        if saved is None:
            return [], weights
        best = [saved[f"best{index}"] for index in range(len(weights))]
        return unpack_history(saved["history"]), best

    def _run_epoch(self, epoch: int, progress: TrainingProgress) -> EpochFigures:
        config = self._config
        whole = epoch >= config.frozen_epochs and config.backbone_rate > 0
        step_of = self._step_of_all if whole else self._step_of_head
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self._photos))
        results: list[tuple[float, float]] = []
        counts: list[int] = []
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            pixels = np.stack([self._pixels(int(row), epoch) for row in rows])
            loss, right = step_of(pixels, self._targets[rows], self._weights[rows])
            results.append((float(loss), float(right)))
            counts.append(len(rows))
            progress.advance(*np.average(results[-50:], axis=0, weights=counts[-50:]))
        logits, targets = self.score_val()
        new_loss = float(np.mean(self._losses(targets, logits)))
        if not np.isfinite(new_loss):
            raise StartupError(
                f"the loss is {new_loss} after epoch {epoch + 1}; lower learning_rate "
                f"({config.learning_rate}) or backbone_rate ({config.backbone_rate})"
            )
        new_accuracy = float(np.mean(self._right(targets, logits)))
        loss, accuracy = np.average(results, axis=0, weights=counts).tolist()
        return EpochFigures(loss, accuracy, new_loss, new_accuracy)

    def score_val(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give logits and targets of the photos held out, ``float32 [n, labels]`` each."""
        pixels, targets = self._val
        batch = self._config.batch_size
        parts = [
            np.asarray(self._classifier(pixels[start : start + batch], training=False))
            for start in range(0, len(pixels), batch)
        ]
        return np.concatenate(parts), targets

    def _pixels(self, row: int, epoch: int) -> NDArray[np.float32]:
        config = self._config
        path = self._photos[row].path
        rng = np.random.default_rng((config.seed, epoch, row))
        if config.augmentation == "strong":
            return augment(read_upright(path), rng, side_px=config.size).astype(np.float32)
        return _cut_at_random_point(path, rng, config.size)

    def _losses(self, targets: Any, logits: Any) -> Any:
        import tensorflow as tf

        if self._activation == "softmax":
            return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses, axis=1)

    def _right(self, targets: Any, logits: Any) -> Any:
        """What is right of the answers, or with sigmoids of each label's decision."""
        import tensorflow as tf

        if self._activation == "softmax":
            right = tf.equal(tf.argmax(targets, 1), tf.argmax(logits, 1))
        else:
            right = tf.equal(targets > 0.5, logits > 0)
        return tf.cast(right, tf.float32)

    def _step(self, pixels: Any, targets: Any, weights: Any, *, whole: bool) -> tuple[Any, Any]:
        import tensorflow as tf

        smooth = self._config.label_smoothing
        middle = 1 / targets.shape[1] if self._activation == "softmax" else 0.5
        variables = self._head_variables + (self._body_variables if whole else [])
        with tf.GradientTape() as tape:
            logits = self._classifier(pixels, training=True)
            losses = self._losses(targets * (1 - smooth) + smooth * middle, logits)
            loss = tf.reduce_mean(losses * weights)
        gradients = tape.gradient(loss, variables)
        count = len(self._head_variables)
        self._head.apply(gradients[:count], self._head_variables)
        if whole:
            self._body.apply(gradients[count:], self._body_variables)
        return loss, tf.reduce_mean(self._right(targets, logits))


def is_over(history: Sequence[EpochFigures], config: ImageConfig) -> bool:
    """Tell whether all epochs are done, or too many of the whole network brought nothing."""
    # What the new layer alone gained, or not, says nothing about the backbone.
    stale = count_stale(history[config.frozen_epochs :])
    return len(history) >= config.epochs or stale >= config.patience


def count_stale(history: Sequence[EpochFigures]) -> int:
    """Count the epochs since the last that lowered the loss on held-out photos; 0: it did."""
    best, stale = np.inf, 0
    for epoch in history:
        gained = epoch.new_loss < best - _GAIN
        best, stale = (epoch.new_loss, 0) if gained else (best, stale + 1)
    return stale


def _make_targets(photos: Sequence[Photo], labels: int) -> NDArray[np.float32]:
    """Give 1 for each label of a photo and 0 for the others, ``float32 [n, labels]``."""
    targets = np.zeros((len(photos), labels), np.float32)
    for row, photo in enumerate(photos):
        targets[row, list(photo.labels)] = 1
    return targets


def _stack_photos(
    photos: Sequence[Photo], config: ImageConfig, labels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut every photo at a random point, the same each time: pixels and targets."""
    # Filled row by row: a list of them beside it would take as much memory again.
    pixels = np.empty((len(photos), config.size, config.size, 3), np.float32)
    for row, photo in enumerate(photos):
        rng = np.random.default_rng((config.seed, row))
        pixels[row] = _cut_at_random_point(photo.path, rng, config.size)
    return pixels, _make_targets(photos, labels)


def _weigh_photos(targets: NDArray[np.float32], config: ImageConfig) -> NDArray[np.float32]:
    """Weigh each photo by how rare its labels are, on average 1."""
    if not config.class_weights:
        return np.ones(len(targets), np.float32)
    rarity = 1 / targets.sum(axis=0).clip(1)
    own = (targets * rarity).sum(axis=1) / targets.sum(axis=1).clip(1)
    own[own == 0] = own[own > 0].mean()
    return np.asarray(own / own.mean(), np.float32)


def _cut_at_random_point(path: Path, rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    """Cut what the server would show the network for a tap, to the bit."""
    picture = open_photo(path)
    point = Point(int(rng.integers(picture.width)), int(rng.integers(picture.height)))
    return cut_crop(CROP, point, picture, size=(side_px, side_px), resize="stretch")
