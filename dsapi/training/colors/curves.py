"""The training curves: loss and accuracy per epoch, as a picture.

Enters: figures per epoch. Leaves: a PNG. Called at the end of a training.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsapi.training.freezing import write_atomically


@dataclass(frozen=True)
class EpochFigures:
    """One epoch: loss and accuracy (0-1) on what it was trained on, and on what it was not."""

    loss: float
    accuracy: float
    new_loss: float
    new_accuracy: float


def plot_curves(history: Sequence[EpochFigures], path: Path, *, title: str) -> None:
    """Draw loss and accuracy over epochs side by side into a PNG at `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    left.plot(epochs, [epoch.loss for epoch in history], label="training")
    left.plot(epochs, [epoch.new_loss for epoch in history], label="new data")
    right.plot(epochs, [epoch.accuracy for epoch in history], label="training")
    right.plot(epochs, [epoch.new_accuracy for epoch in history], label="new data")
    for axes, name in ((left, "loss"), (right, "accuracy")):
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    write_atomically(path, stream.getvalue())
