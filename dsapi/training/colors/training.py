"""Train the color network and write graph, labels and card: ``dsapi train colors``.

Enters: a `ColorTraining`, which names the file of the survey. Leaves: ``colorClassifier.pb``, its
card and the labels; in the working folder the training curves and, while it runs, a checkpoint.
Called by the command line.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from dsapi.cores import count_cores
from dsapi.engines import Session, load_graph
from dsapi.prediction.labels import format_labels
from dsapi.training.checkpoint import Checkpoint
from dsapi.training.colors.card import write_card
from dsapi.training.colors.figures import ColorFigures, measure_figures
from dsapi.training.colors.names import COLOR_LABELS, read_survey
from dsapi.training.colors.network import build_color_network, unroll_network
from dsapi.training.colors.palette import build_palette
from dsapi.training.colors.patches import CHUNK, PatchSet, generate_patches, join_patches
from dsapi.training.colors.science import FloatArray
from dsapi.training.colors.settings import ColorTraining
from dsapi.training.epochs import (
    EpochFigures,
    TrainingProgress,
    pack_history,
    plot_curves,
    track_steps,
    unpack_history,
)
from dsapi.training.freezing import FrozenGraph, freeze_network, write_atomically

_VALIDATION_SHARE = 16  # one patch in so many is kept for the curves and the calibration


@dataclass(frozen=True)
class ColorReport:
    """What came out."""

    graph: FrozenGraph
    figures: ColorFigures


def train_colors(training: ColorTraining, *, console: Console) -> ColorReport:
    """Generate patches, train, freeze, measure, write the card.

    Raises:
        SurveyError: the survey cannot be read or is not the expected file.
        OSError: a result cannot be written.
    """
    started = time.perf_counter()
    survey = read_survey(training.survey)
    palette = build_palette(survey)
    chunks = generate_patches(
        palette, count=training.patches, seed=training.seed, processes=count_cores()
    )
    total = -(-training.patches // CHUNK)
    patches = join_patches(track_steps(console, chunks, title="patches", total=total))
    held = training.patches // _VALIDATION_SHARE
    fresh = PatchSet(patches.patches[:held], patches.shares[:held])
    seen = PatchSet(patches.patches[held:], patches.shares[held:])
    checkpoint = Checkpoint(training.work / "checkpoint.npz", run=_describe_run(training))
    network, history = _fit_network(
        training, seen=seen, fresh=fresh, checkpoint=checkpoint, console=console
    )
    graph = freeze_network(
        unroll_network(network),
        training.models / "colorClassifier.pb",
        input_shape=(None, 9, 9, 3),
        input_name="patch",
    )
    write_atomically(training.labels / "colors.txt", format_labels(COLOR_LABELS))
    loaded = load_graph(graph.path, engine="tensorflow", input_tensor=None, output_tensor=None)
    with closing(loaded.open_session()) as session:
        figures = measure_figures(
            partial(_name_patches, session),
            survey,
            fresh=fresh,
            per_label=training.per_label,
            seed=training.seed + 1,
        )
    plot_curves(history, training.work / "curves.png", title="colors")
    write_card(
        training.models / "colorClassifier.md",
        graph=graph,
        figures=figures,
        settings=training,
        minutes=(time.perf_counter() - started) / 60,
    )
    checkpoint.remove()
    return ColorReport(graph, figures)


def _fit_network(
    training: ColorTraining,
    *,
    seen: PatchSet,
    fresh: PatchSet,
    checkpoint: Checkpoint,
    console: Console,
) -> tuple[Any, list[EpochFigures]]:
    """Train, epoch by epoch, from the checkpoint if there is one of the same training."""
    import keras

    keras.utils.set_random_seed(training.seed)
    network = build_color_network()
    steps = len(seen.patches) // training.batch
    schedule = keras.optimizers.schedules.CosineDecay(
        training.learning_rate, training.epochs * steps, alpha=0.01
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
    optimizer.build(network.trainable_variables)
    # Cross-entropy against shares, not against one right answer: the probabilities are to be
    # those of people's answers, which is what makes them calibrated.
    network.compile(optimizer, loss="categorical_crossentropy", metrics=["categorical_accuracy"])
    variables = [*network.variables, *network.optimizer.variables]
    saved = checkpoint.restore(variables)
    history = unpack_history(saved["history"]) if saved else []
    done = len(history)
    if done:
        console.print(f"going on after epoch {done} of {training.epochs}")
    with TrainingProgress(console, steps=training.epochs * steps, done=done * steps) as progress:
        for epoch in range(done, training.epochs):
            results = []
            for batch, shares in _shuffle_batches(training, seen, epoch=epoch):
                results.append(network.train_on_batch(batch, shares))
                progress.advance(*np.mean(results[-200:], axis=0))
            figures = _close_epoch(network, fresh, *np.mean(results, axis=0))
            history.append(figures)
            checkpoint.save(variables, history=pack_history(history))
            progress.close_epoch(epoch + 1, of=training.epochs, figures=figures, new="new patches")
    return network, history


def _close_epoch(network: Any, fresh: PatchSet, loss: float, accuracy: float) -> EpochFigures:
    new_loss, new_accuracy = network.evaluate(
        fresh.patches.astype(np.float32), fresh.shares, batch_size=1024, verbose=0
    )
    return EpochFigures(float(loss), float(accuracy), float(new_loss), float(new_accuracy))


def _shuffle_batches(
    training: ColorTraining, seen: PatchSet, *, epoch: int
) -> Iterator[tuple[Any, Any]]:
    """All patches in the order of this epoch, each batch mirrored or turned by chance.

    The order depends on seed and epoch alone, so that a resumed run sees what it would have.
    """
    rng = np.random.default_rng([training.seed, epoch])
    order = rng.permutation(len(seen.patches))
    for start in range(0, len(order) - training.batch + 1, training.batch):
        chosen = np.sort(order[start : start + training.batch])
        batch = seen.patches[chosen].astype(np.float32)
        if rng.random() < 0.5:
            batch = batch[:, ::-1]
        if rng.random() < 0.5:
            batch = batch[:, :, ::-1]
        if rng.random() < 0.5:
            batch = batch.swapaxes(1, 2)
        yield batch, seen.shares[chosen]


def _describe_run(training: ColorTraining) -> str:
    """What a checkpoint must agree on to be gone on with."""
    apart = ("survey", "models", "labels", "work", "per_label")
    settings = {name: value for name, value in asdict(training).items() if name not in apart}
    return json.dumps([hashlib.sha256(training.survey.read_bytes()).hexdigest(), settings])


def _name_patches(session: Session, patches: NDArray[np.generic]) -> FloatArray:
    """Probabilities from the frozen file itself, through the server's engine."""
    starts = range(0, len(patches), 2048)
    return np.concatenate(
        [session.run(np.asarray(patches[at : at + 2048], np.float32)) for at in starts]
    )
