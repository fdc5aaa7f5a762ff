"""Train an image classifier on one's own labels, on any backbone.

Enters: a `Collection` of photos (one label each, or any number), `ImageConfig`, weights for the
backbone. Leaves: a frozen graph, its labels, its card and its curves. Called
by ``dsapi train image``. Runs on a GPU where TensorFlow finds one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from dsapi.errors import StartupError
from dsapi.photos.files import PhotosError
from dsapi.prediction.labels import format_labels
from dsapi.training.calibration import fit_temperature
from dsapi.training.checkpoint import Checkpoint
from dsapi.training.epochs import EpochFigures, plot_curves
from dsapi.training.freezing import (
    FrozenGraph,
    check_freezable,
    freeze_network,
    write_atomically,
)
from dsapi.training.images import card as cards
from dsapi.training.images.config import Activation, ImageConfig
from dsapi.training.images.fitting import Fit
from dsapi.training.images.network import Classifier, build_classifier
from dsapi.training.photos import Collection, describe_unreadable


@dataclass(frozen=True)
class TrainedImages:
    """What a training wrote, and how well it does on the photos held out."""

    graph: FrozenGraph
    card: Path
    activation: Activation
    figures: cards.ImageFigures


def train_images(
    collection: Collection,
    config: ImageConfig,
    *,
    name: str,
    weights: str,
    output: Path,
    work_dir: Path,
    console: Console,
) -> TrainedImages:
    """Train and write ``models/NAME.pb``, ``.md``, ``-curves.png``, and ``labels/NAME.txt``.

    ``work_dir`` keeps a checkpoint until all is written: a training that was interrupted goes on
    after its last epoch when it is started again with the same data, settings and weights.

    Raises:
        StartupError: The settings do not suit the data, or the backbone cannot be had.
        PhotosError: Photos cannot be read; the message names them.
        FreezingError: The network cannot be frozen.
    """
    import keras

    keras.utils.set_random_seed(config.seed)
    config = _settle(config, weights)
    activation = choose_activation(collection, config)
    classifier = build_classifier(config, weights=weights, labels=len(collection.labels))
    run = _describe_run(collection, config, weights)
    checkpoint = Checkpoint(work_dir / f"{name}.npz", run=run)
    shape = (None, config.size, config.size, 3)
    # Not every backbone can be frozen: better seen now than after hours.
    check_freezable(_with_activation(classifier, activation, 1.0), input_shape=shape)
    with _naming_unreadable(collection, console):
        fit = Fit(classifier, collection, config, activation=activation)
        history = fit.run(checkpoint, console=console)
    logits, targets = fit.score_val()
    temperature = fit_temperature(*cards.list_questions(logits, targets, activation))
    graph = freeze_network(
        _with_activation(classifier, activation, temperature),
        output / "models" / f"{name}.pb",
        input_shape=shape,
        input_name="image",
    )
    figures = cards.measure(
        logits / np.float32(temperature), targets, activation, labels=collection.labels
    )
    trained = TrainedImages(graph, output / "models" / f"{name}.md", activation, figures)
    _write_results(
        trained, history, name=name, collection=collection, config=config, weights=weights
    )
    checkpoint.remove()
    return trained


@contextmanager
def _naming_unreadable(collection: Collection, console: Console) -> Iterator[None]:
    """Name all photos that cannot be read: to learn of one a try may take an epoch each time."""
    try:
        yield
    except PhotosError as error:
        console.print("a photo cannot be read: looking for others")
        raise PhotosError(describe_unreadable(collection)) from error


def _settle(config: ImageConfig, weights: str) -> ImageConfig:
    if weights != "none":
        return config
    # Nothing is known that has to be kept.
    update = {"frozen_epochs": 0, "backbone_rate": config.learning_rate}
    return config.model_copy(update=update)


def _write_results(
    trained: TrainedImages,
    history: Sequence[EpochFigures],
    *,
    name: str,
    collection: Collection,
    config: ImageConfig,
    weights: str,
) -> None:
    """Write what stands beside the graph: card, curves and labels."""
    models = trained.card.parent
    text = cards.write_card(
        name=name,
        graph=trained.graph,
        collection=collection,
        config=config,
        weights=weights,
        epochs=len(history),
        activation=trained.activation,
        figures=trained.figures,
    )
    write_atomically(trained.card, text.encode())
    plot_curves(history, models / f"{name}-curves.png", title=name)
    write_atomically(models.parent / "labels" / f"{name}.txt", format_labels(collection.labels))


def _describe_run(collection: Collection, config: ImageConfig, weights: str) -> str:
    """Write down what a checkpoint must agree on to be gone on with."""
    file = Path(weights)
    start = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else weights
    return json.dumps([start, collection.labels, collection.identity, config.model_dump()])


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


def _with_activation(classifier: Classifier, activation: Activation, temperature: float) -> Any:
    import tensorflow as tf

    def network(pixels: Any) -> Any:
        logits = classifier(pixels) / temperature
        return tf.nn.sigmoid(logits) if activation == "sigmoid" else tf.nn.softmax(logits)

    return network
