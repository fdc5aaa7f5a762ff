"""Train an image classifier on one's own labels, on any backbone.

Enters: a `Collection` of photos (one label each, or any number), `ImageConfig`, weights for the
backbone. Leaves: a frozen graph, its labels, its card and the section for ``dsapi.conf``. Called
by ``dsapi train image``. Runs on a GPU where TensorFlow finds one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError
from dsapi.training.augmentation import augment, crop_at_random_point
from dsapi.training.calibration import fit_temperature
from dsapi.training.freezing import FrozenGraph, freeze_network, write_atomically
from dsapi.training.images import card as cards
from dsapi.training.images.config import ImageConfig
from dsapi.training.images.network import Classifier, build_classifier
from dsapi.training.photos import Collection, Photo, read_upright
from dsapi.training.progress import Progress

Activation = Literal["softmax", "sigmoid"]
Advance = Callable[[int, float, float], None]


@dataclass(frozen=True)
class TrainedImages:
    """What a training wrote, and how well it does on the photos held out."""

    graph: FrozenGraph
    labels: Path
    card: Path
    section: str
    activation: Activation
    figures: cards.ImageFigures


def train_images(
    collection: Collection, config: ImageConfig, *, name: str, weights: str, output: Path
) -> TrainedImages:
    """Train and write ``models/NAME.pb``, ``models/NAME.md``, ``labels/NAME.txt``.

    Raises:
        StartupError: The settings do not suit the data, or the backbone cannot be had.
    """
    import keras

    keras.utils.set_random_seed(config.seed)
    activation = choose_activation(collection, config)
    classifier = build_classifier(config, weights=weights, labels=len(collection.labels))
    with Progress() as progress:
        epochs = _Fit(classifier, collection, config, activation=activation).run(progress)
    progress.plot(output / "models" / f"{name}-curves.png")
    val_pixels, val_targets = _stack(collection.val, config, len(collection.labels))
    logits = _predict(classifier.model, val_pixels, config.batch_size)
    temperature = 1.0
    if activation == "softmax":
        temperature = fit_temperature(logits, val_targets.argmax(axis=1))
    graph = freeze_network(
        _with_activation(classifier.model, activation, temperature),
        output / "models" / f"{name}.pb",
        input_shape=(None, config.size, config.size, 3),
        input_name="image",
    )
    figures = cards.measure(logits / np.float32(temperature), val_targets, activation)
    labels = output / "labels" / f"{name}.txt"
    write_atomically(labels, "".join(f"{label}\n" for label in collection.labels).encode())
    section = cards.write_section(name, activation)
    card = output / "models" / f"{name}.md"
    text = cards.write_card(
        name=name,
        graph=graph,
        collection=collection,
        config=config,
        weights=weights,
        epochs=epochs,
        figures=figures,
        section=section,
    )
    write_atomically(card, text.encode())
    return TrainedImages(graph, labels, card, section, activation, figures)


def choose_activation(collection: Collection, config: ImageConfig) -> Activation:
    """Choose sigmoids where a photo has other than one label, softmax elsewhere.

    Raises:
        StartupError: The settings say softmax and a photo has none or several labels.
    """
    photos = (*collection.train, *collection.val)
    odd = next((photo for photo in photos if len(photo.labels) != 1), None)
    if config.activation == "softmax" and odd is not None:
        raise StartupError(
            f"activation softmax needs one label a photo, {odd.path} has {len(odd.labels)}; "
            "set activation: sigmoid"
        )
    if config.activation == "auto":
        return "softmax" if odd is None else "sigmoid"
    return config.activation


class _Fit:
    """One fit: the new layer first, then the backbone too, until val gains no more."""

    def __init__(
        self,
        classifier: Classifier,
        collection: Collection,
        config: ImageConfig,
        *,
        activation: Activation,
    ) -> None:
        import keras
        import tensorflow as tf

        self.classifier = classifier
        self.collection = collection
        self.config = config
        self.activation = activation
        self.targets = _targets(collection.train, len(collection.labels))
        self.weights = _class_weights(self.targets, config)
        self.head = keras.optimizers.Adam(config.learning_rate)
        self.body = keras.optimizers.Adam(max(config.backbone_rate, 1e-12))
        body = list(classifier.backbone.trainable_variables)
        chosen = {id(variable) for variable in body}
        self.body_variables = body
        self.head_variables = [
            v for v in classifier.model.trainable_variables if id(v) not in chosen
        ]
        self.head.build(self.head_variables)
        self.body.build(self.body_variables)
        self.step_of_head = tf.function(lambda *batch: self._step(*batch, whole=False))
        self.step_of_all = tf.function(lambda *batch: self._step(*batch, whole=True))

    def run(self, progress: Progress) -> int:
        """Fit, put the best weights back, and give the number of epochs."""
        config = self.config
        photos = self.collection.train
        rng = np.random.default_rng(config.seed)
        steps = -(-len(photos) // config.batch_size)
        report = progress.start_steps("training", config.epochs * steps)
        val = _stack(self.collection.val, config, len(self.collection.labels))
        best, best_weights, stale = np.inf, self.classifier.model.get_weights(), 0
        for epoch in range(config.epochs):
            whole = epoch >= config.frozen_epochs and config.backbone_rate > 0
            step_of = self.step_of_all if whole else self.step_of_head
            order = rng.permutation(len(photos))
            for step in range(steps):
                rows = order[step * config.batch_size : (step + 1) * config.batch_size]
                pixels = np.stack([self._pixels(int(row), epoch) for row in rows])
                loss, hits = step_of(pixels, self.targets[rows], self.weights[rows])
                report(epoch * steps + step, float(loss), float(hits))
            loss = self._val_loss(*val)
            stale = 0 if loss < best - 1e-4 else stale + 1
            if not stale:
                best, best_weights = loss, self.classifier.model.get_weights()
            if stale >= config.patience and epoch >= config.frozen_epochs:
                break
        self.classifier.model.set_weights(best_weights)
        return epoch + 1

    def _pixels(self, row: int, epoch: int) -> NDArray[np.float32]:
        config = self.config
        image = read_upright(self.collection.train[row].path)
        rng = np.random.default_rng((config.seed, epoch, row))
        if config.augmentation == "strong":
            return augment(image, rng, side_px=config.size).astype(np.float32)
        return _crop(image, rng, config.size)

    def _val_loss(self, pixels: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
        logits = _predict(self.classifier.model, pixels, self.config.batch_size)
        return float(np.mean(self._losses(targets, logits)))

    def _losses(self, targets: Any, logits: Any) -> Any:
        import tensorflow as tf

        if self.activation == "softmax":
            return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses, axis=1)

    def _step(self, pixels: Any, targets: Any, weights: Any, *, whole: bool) -> tuple[Any, Any]:
        import tensorflow as tf

        smooth = self.config.label_smoothing
        middle = 1 / targets.shape[1] if self.activation == "softmax" else 0.5
        variables = self.head_variables + (self.body_variables if whole else [])
        with tf.GradientTape() as tape:
            logits = self.classifier.model(pixels, training=True)
            losses = self._losses(targets * (1 - smooth) + smooth * middle, logits)
            loss = tf.reduce_mean(losses * weights)
        gradients = tape.gradient(loss, variables)
        count = len(self.head_variables)
        self.head.apply(gradients[:count], self.head_variables)
        if whole:
            self.body.apply(gradients[count:], self.body_variables)
        if self.activation == "softmax":
            right = tf.equal(tf.argmax(targets, 1), tf.argmax(logits, 1))
        else:
            right = tf.equal(targets > 0.5, logits > 0)
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))


def _targets(photos: Sequence[Photo], labels: int) -> NDArray[np.float32]:
    targets = np.zeros((len(photos), labels), np.float32)
    for row, photo in enumerate(photos):
        targets[row, list(photo.labels)] = 1
    return targets


def _class_weights(targets: NDArray[np.float32], config: ImageConfig) -> NDArray[np.float32]:
    """Weigh each photo by how rare its labels are, on average 1."""
    if not config.class_weights:
        return np.ones(len(targets), np.float32)
    rarity = 1 / targets.sum(axis=0).clip(1)
    own = (targets * rarity).sum(axis=1) / targets.sum(axis=1).clip(1)
    own[own == 0] = own[own > 0].mean()
    return np.asarray(own / own.mean(), np.float32)


def _crop(image: Any, rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    return crop_at_random_point(image, rng, side_px=side_px).astype(np.float32)


def _stack(
    photos: Sequence[Photo], config: ImageConfig, labels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut every photo at a random point, the same each time: pixels and targets."""
    pixels = [
        _crop(read_upright(photo.path), np.random.default_rng((config.seed, row)), config.size)
        for row, photo in enumerate(photos)
    ]
    return np.stack(pixels), _targets(photos, labels)


def _predict(model: Any, pixels: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    parts = [
        np.asarray(model(pixels[start : start + batch], training=False))
        for start in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts)


def _with_activation(model: Any, activation: Activation, temperature: float) -> Any:
    import tensorflow as tf

    def network(pixels: Any) -> Any:
        logits = model(pixels, training=False)
        if activation == "sigmoid":
            return tf.nn.sigmoid(logits)
        return tf.nn.softmax(logits / temperature)

    return network
