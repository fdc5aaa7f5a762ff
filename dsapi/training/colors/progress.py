"""The progress bar of a training: epoch, steps, loss, accuracy, time left.

Called by ``dsapi train colors``. On anything but a terminal it prints one line per epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress:
    """One bar over all steps that are left; use it as a context manager."""

    def __init__(self, console: Console, *, steps: int, done: int = 0) -> None:
        """A bar of `steps`, of which an earlier run has `done`."""
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.1%}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "training", total=steps, completed=done, loss=float("nan"), accuracy=0.0
        )

    def __enter__(self) -> TrainingProgress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *reason: Any) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def advance(self, loss: float, accuracy: float) -> None:
        """One step done, with the running means of the last steps."""
        self._bar.update(self._task, advance=1, loss=loss, accuracy=accuracy)

    def close_epoch(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text)


def track_steps(console: Console, steps: Iterable[Any], *, title: str, total: int) -> Iterator[Any]:
    """Yield `steps` under a plain bar, for what has no loss: generating, measuring."""
    with Progress(console=console, disable=not console.is_terminal) as bar:
        yield from bar.track(steps, total=total, description=title)
