"""Figures, card and configuration section of a classifier on one's own labels.

Enters: logits on held-out photos and what the training used. Leaves: figures, Markdown, a
section for ``dsapi.conf``. Called by `dsapi.training.images.training`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.figures import LabelFigures, measure_labels
from dsapi.prediction.ranking import activate
from dsapi.training.calibration import expected_calibration_error, label_calibration_error
from dsapi.training.freezing import FrozenGraph
from dsapi.training.images.config import CROP, Activation, ImageConfig
from dsapi.training.photos import Collection


@dataclass(frozen=True)
class ImageFigures:
    """Shares on held-out photos, 0..1.

    ``accuracy`` is top-1, or with sigmoids the share of label decisions that are right at 0.5.
    """

    accuracy: float
    calibration_error: float
    labels: tuple[LabelFigures, ...]


def measure(
    logits: NDArray[np.float32],
    targets: NDArray[np.float32],
    activation: Activation,
    *,
    labels: Sequence[str],
) -> ImageFigures:
    """Measure logits ``[n, labels]`` against targets of 0 and 1 of the same shape."""
    wanted, probabilities = targets > 0.5, activate(logits, activation)
    if activation == "softmax":
        said = np.eye(len(labels), dtype=bool)[logits.argmax(axis=1)]
        accuracy = (said & wanted).any(axis=1).mean()
        error = expected_calibration_error(probabilities, wanted.argmax(axis=1))
    else:
        said = logits > 0
        accuracy = (said == wanted).mean()
        error = label_calibration_error(probabilities, wanted)
    by_label = measure_labels(said, wanted, probabilities=probabilities, labels=labels)
    return ImageFigures(float(accuracy), error, by_label)


def list_questions(
    logits: NDArray[np.float32], targets: NDArray[np.float32], activation: Activation
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """List what a network was asked, to fit its temperature.

    With softmax that is one question a photo, with sigmoids one a photo and label, of two answers:
    a sigmoid of z is a softmax of 0 and z.

    Returns:
        Logits ``float32 [questions, answers]``, and the right answers ``int64 [questions]``.
    """
    if activation == "softmax":
        return logits, targets.argmax(axis=1)
    flat = logits.reshape(-1)
    pairs = np.stack([np.zeros_like(flat), flat], axis=1)
    return pairs, (targets.reshape(-1) > 0.5).astype(np.int64)


def write_section(name: str, *, folder: Path | None = None) -> str:
    """Write the section of ``dsapi.conf`` that serves the graph, which ends in its activation.

    ``folder`` holds models/ and labels/, if that is not the folder of ``dsapi.conf``.
    """
    beside = "" if folder is None else f"{folder.as_posix()}/"
    lines = [
        f"[models.{name}]",
        f"graph = {_quote(f'{beside}models/{name}.pb')}",
        f"labels = {_quote(f'{beside}labels/{name}.txt')}",
        f'crop = "{CROP}"',
    ]
    return "\n".join(lines) + "\n"


def find_named_folder(output: Path, config: Path) -> Path | None:
    """Give the folder that a section has to name, none if the configuration file lies in it.

    Paths in ``dsapi.conf`` are relative to it, wherever the training was started.
    """
    folder = output.resolve()
    return None if config.resolve().parent == folder else folder


def _quote(path: str) -> str:
    """Write a path as a literal of Python, of which JSON's text is one."""
    return json.dumps(path, ensure_ascii=False)


def write_card(
    *,
    name: str,
    graph: FrozenGraph,
    collection: Collection,
    config: ImageConfig,
    weights: str,
    epochs: int,
    activation: Activation,
    figures: ImageFigures,
) -> str:
    """Write the card as Markdown."""
    rows = "\n".join(
        f"| {_cell(each.label)} | {_percent(each.recall, 'no photo')} "
        f"| {_percent(each.precision, 'never answered')} |"
        for each in figures.labels
    )
    settings = "\n".join(f"    {key}: {value}" for key, value in config.model_dump().items())
    return _CARD.format(
        name=name,
        graph=graph,
        size_mb=graph.size_bytes / 1e6,
        labels=len(collection.labels),
        config=config,
        weights=weights,
        activation=activation,
        train=len(collection.train),
        held_out=len(collection.val),
        epochs=epochs,
        settings=settings,
        accuracy=describe_accuracy(figures, activation),
        figures=figures,
        rows=rows,
        section=indent(write_section(name), "    ").rstrip(),
    )


_CARD = """\
# {graph.path.name}

Tells {labels} labels apart. Version `{graph.version}`, {size_mb:.1f} MB, float32.

- Input `image`: float32 `[n, {config.size}, {config.size}, 3]`, RGB 0-255; scaling is inside.
- Output `probabilities`: float32 `[n, {labels}]`, order of `labels/{name}.txt`.
- Network: {config.backbone}, starting weights: {weights}; ends in {activation}.

## Data and command

{train} photos to learn from, {held_out} held out; {epochs} epochs.

    dsapi train image {name} --data DATA --weights {weights} --config FILE.yaml

with

{settings}

## Figures

On {held_out} held-out photos, 80 % crop at a random point: {accuracy}, \
expected calibration error {figures.calibration_error:.3f}.

| label | recall | precision |
|---|---|---|
{rows}

The held-out photos chose the epoch and the temperature too, and come from the same sources as the
others: expect less on photos from elsewhere, and measure it with `dsapi evaluate {name}`.

## Serving

{section}
"""


def describe_accuracy(figures: ImageFigures, activation: Activation) -> str:
    """Say in words which accuracy it is: with sigmoids, "no" to a rare label is right too."""
    if activation == "softmax":
        return f"accuracy {figures.accuracy:.1%}"
    return f"{figures.accuracy:.1%} of all decisions (a label, yes or no) are right"


def _cell(label: str) -> str:
    """Write a label into a table of Markdown, where a bar would end its cell."""
    return label.replace("|", r"\|")


def _percent(share: float | None, otherwise: str) -> str:
    return otherwise if share is None else f"{share:.0%}"
