"""Progress of the themes training: a bar for each fit with loss, accuracy and time left; a plot.

Enters: what a fit reports step by step. Leaves: bars on the terminal, a PNG. Called by the
themes training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich import progress as bars


@dataclass
class Curve:
    """Loss and accuracy of one fit, by step."""

    name: str
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


class Progress:
    """Shows bars while it is open, and remembers the curves."""

    def __init__(self) -> None:
        self.curves: list[Curve] = []
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[figures]}"),
            refresh_per_second=1,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._bars.stop()

    def start(self, name: str, total: int) -> Callable[[int], None]:
        """Show a bar of ``total`` units; call the result with the units done since."""
        task = self._bars.add_task(name, total=total, figures="")
        return lambda done: self._bars.advance(task, done)

    def start_steps(self, name: str, total: int) -> Callable[[int, float, float], None]:
        """Show a bar of steps; call the result with step number, loss and accuracy."""
        task = self._bars.add_task(name, total=total, figures="")
        curve = Curve(name)
        self.curves.append(curve)

        def report(step: int, loss: float, accuracy: float) -> None:
            figures = f"loss {loss:.3f}  accuracy {accuracy:.1%}"
            self._bars.update(task, completed=step + 1, figures=figures)
            if step % 10 == 0 or step + 1 == total:
                curve.steps.append(step + 1)
                curve.losses.append(loss)
                curve.accuracies.append(accuracy)

        return report

    def plot(self, path: Path) -> None:
        """Write the curves as a PNG; without curves there is none."""
        if not self.curves:
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for curve in self.curves:
            left.plot(curve.steps, curve.losses, label=curve.name)
            right.plot(curve.steps, curve.accuracies, label=curve.name)
        for axes, name in ((left, "training loss"), (right, "training accuracy")):
            axes.set_xlabel("step")
            axes.set_title(name)
            axes.grid(alpha=0.3)
        left.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
