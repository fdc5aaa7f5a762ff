"""A training that goes by epochs: its bar while it runs, its curves at the end.

Enters: loss and accuracy, step by step and epoch by epoch. Leaves: a bar on the terminal, or one
line an epoch on anything else, and a PNG. Called by ``dsapi train colors`` and ``train image``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dsapi.training.freezing import write_atomically


@dataclass(frozen=True)
class EpochFigures:
    """One epoch: loss and accuracy (0-1) on what it was trained on, and on what it was not."""

    loss: float
    accuracy: float
    new_loss: float
    new_accuracy: float


def pack_history(history: Sequence[EpochFigures]) -> NDArray[np.float64]:
    """Put figures into an array for a checkpoint, ``float64 [epochs, 4]``."""
    return np.array([astuple(epoch) for epoch in history], np.float64)


def unpack_history(rows: NDArray[np.float64]) -> list[EpochFigures]:
    """Take figures out of a checkpoint's array."""
    return [EpochFigures(*map(float, row)) for row in rows]


class TrainingProgress:
    """One bar over all steps that are left; use it as a context manager."""

    def __init__(self, console: Console, *, steps: int, done: int) -> None:
        """A bar of `steps`, of which an earlier run has `done`."""
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=steps, completed=done, figures="")

    def __enter__(self) -> TrainingProgress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *reason: Any) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def advance(self, loss: float, accuracy: float) -> None:
        """One step done, with the running means of the last steps."""
        figures = f"loss {loss:.4f}  accuracy {accuracy:.1%}"
        self._bar.update(self._task, advance=1, figures=figures)

    def close_epoch(self, number: int, *, of: int, figures: EpochFigures, new: str) -> None:
        """Print a line that stays; `new` names what was not trained on."""
        self._console.print(
            f"epoch {number} of {of}: loss {figures.loss:.4f}, accuracy {figures.accuracy:.1%}; "
            f"on {new} {figures.new_loss:.4f}, {figures.new_accuracy:.1%}"
        )


def track_steps(console: Console, steps: Iterable[Any], *, title: str, total: int) -> Iterator[Any]:
    """Yield `steps` under a plain bar, for what has no loss: generating, measuring."""
    with Progress(console=console, disable=not console.is_terminal) as bar:
        yield from bar.track(steps, total=total, description=title)


def plot_curves(history: Sequence[EpochFigures], path: Path, *, title: str) -> None:
    """Draw loss and accuracy over epochs side by side into a PNG at `path`."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    # A single epoch is a point, of which a line shows nothing.
    for axes, name, seen, new in (
        (left, "loss", [e.loss for e in history], [e.new_loss for e in history]),
        (right, "accuracy", [e.accuracy for e in history], [e.new_accuracy for e in history]),
    ):
        axes.plot(epochs, seen, marker="o", label="training")
        axes.plot(epochs, new, marker="o", label="new data")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_atomically(path, stream.getvalue())
