"""Plots of an evaluation, as SVG text to stand inside an HTML page.

Called by `dsapi.evaluation.report`. Colors are matplotlib's own; numbers are also in the page's
tables, so nothing is told by color alone.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.evaluation.figures import BINS, Figures, LabelFigures

#: More labels than these are too small to be read, or too large to be looked at.
MOST_LABELS = 60
_MOST_INCHES = 14.0
_NAME_LENGTH = 30


@dataclass(frozen=True)
class Plot:
    """A plot with what it shows."""

    title: str
    svg: str


def plot_confusions(matrix: NDArray[np.int64], labels: Sequence[str]) -> Plot:
    """Confusion matrix in shares of the right label: rows are right, columns the answer.

    Of many labels those are shown that are most often taken for another, or another for them.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    title = "Confusion matrix"
    if len(labels) > MOST_LABELS:
        wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
        chosen = np.sort(np.argsort(-wrong, kind="stable")[:MOST_LABELS])
        title += f" of the {MOST_LABELS} most confused labels of {len(labels)}"
        shares, labels = shares[np.ix_(chosen, chosen)], [labels[each] for each in chosen]
    side = min(max(4.5, 0.24 * len(labels) + 2.2), _MOST_INCHES)
    figure, axes = _start(side, side)
    # By itself matplotlib would enlarge the picture to the size of the figure, in floats.
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none")
    names = [_plain(label) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(labels)), names, fontsize=7)
    axes.set_xlabel("answer")
    axes.set_ylabel("right label")
    figure.colorbar(shown, ax=axes, shrink=0.5, label="share of the right label")
    return Plot(title, _finish(figure))


def plot_reliability(figures: Figures) -> Plot:
    """Accuracy over mean probability per bin, with the number of answers below."""
    figure, axes = _start(4.6, 4.6, rows=2, ratios=(3, 1))
    upper, lower = axes
    means = [each.probability for each in figures.bins]
    upper.plot([0, 1], [0, 1], linestyle="--", color="gray", label="as sure as right")
    upper.plot(means, [each.accuracy for each in figures.bins], marker="o", label="this model")
    upper.set_ylabel("accuracy")
    upper.legend(loc="upper left")
    lower.bar(
        [each.lowest for each in figures.bins],
        [each.count for each in figures.bins],
        width=1 / BINS,
        align="edge",
        edgecolor="white",
    )
    lower.set_ylabel("answers")
    lower.set_xlabel("probability")
    for each in axes:
        each.set_xlim(0, 1)
        each.grid(alpha=0.3)
    upper.set_ylim(0, 1)
    return Plot("Reliability", _finish(figure))


def plot_labels(labels: Sequence[LabelFigures]) -> Plot:
    """Precision and recall per label as bars, worst recall on top; of many labels the worst."""
    counted = sorted((each for each in labels if each.count), key=lambda each: -(each.recall or 0))
    title = "Per label"
    if len(counted) > MOST_LABELS:
        title += f", the {MOST_LABELS} of the worst recall of {len(counted)}"
        counted = counted[-MOST_LABELS:]
    figure, axes = _start(6.4, 0.26 * len(counted) + 1.2)
    places = np.arange(len(counted))
    axes.barh(places + 0.2, [each.recall or 0 for each in counted], height=0.38, label="recall")
    axes.barh(
        places - 0.2, [each.precision or 0 for each in counted], height=0.38, label="precision"
    )
    names = [f"{_plain(each.label)} ({each.count})" for each in counted]
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(counted) - 0.4)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return Plot(title, _finish(figure))


def _plain(label: str) -> str:
    """Cut a long label, which would leave no room for the plot, and set no formula between dollars.

    The tables have it whole.
    """
    short = label if len(label) <= _NAME_LENGTH else f"{label[: _NAME_LENGTH - 1]}…"
    return short.replace("$", r"\$")


def _start(
    width: float, height: float, *, rows: int = 1, ratios: tuple[int, ...] = (1,)
) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    # Not pyplot: it keeps every figure in a global list.
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, 1, height_ratios=ratios, sharex=rows > 1)


def _finish(figure: Any) -> str:
    """SVG without the XML head, and without date and random ids, so reports can be compared."""
    import matplotlib

    stream = io.StringIO()
    style = {"svg.hashsalt": "dsapi", "svg.fonttype": "none"}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Letters stay letters: the browser has the fonts for those that matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
