"""Tables of an evaluation, for the terminal and the report: figures in, formatted cells out.

Called by ``dsapi evaluate`` and `dsapi.evaluation.report`.
"""

from dataclasses import dataclass

from dsapi.evaluation.evaluation import Evaluation
from dsapi.evaluation.figures import AnyFigures, Figures, SingleLabelFigures


@dataclass(frozen=True)
class Table:
    """A table whose first column is text and whose others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def count_photos(evaluation: Evaluation) -> str:
    """Say how many photos were asked about, and how many got no answer."""
    return f"{evaluation.photo_count} photos, {evaluation.unreadable_count} of them unreadable"


def tabulate_overview(evaluation: Evaluation) -> Table:
    """One line a place: the figures that sum up all labels."""
    if evaluation.threshold is None:
        columns = ("top-1", "top-5", "balanced", "sure", "calibration error")
        title = "Overview"
    else:
        columns = ("mAP", "micro F1", "macro F1", "exact", "calibration error")
        title = f"Overview, several labels a photo, answered from {evaluation.threshold:g} on"
    rows = tuple(
        (each.place, str(each.count), *_sum_up(each), f"{each.calibration_error:.3f}")
        for each in evaluation.figures
    )
    return Table(title, ("place", "answers", *columns), rows)


def _sum_up(each: AnyFigures) -> tuple[str, ...]:
    if isinstance(each, SingleLabelFigures):
        shares = (each.top1, each.top5, each.balanced_top1, each.mean_probability)
    else:
        shares = (each.mean_average_precision, each.micro_f1, each.macro_f1, each.exact)
    return tuple(format_percent(share) for share in shares)


def tabulate_comparison(evaluation: Evaluation) -> Table:
    """One line a place: both models' shares of right answers, and how surely they differ."""
    other = f"{evaluation.other.name} {evaluation.other.version}" if evaluation.other else ""
    rows = tuple(
        (
            each.place,
            format_percent(each.accuracy),
            format_percent(each.other_accuracy),
            f"{100 * each.difference:+.1f}",
            _format_interval(each.interval),
            f"{each.only_first_right} : {each.only_other_right}",
            _format_p(each.p_value),
        )
        for each in evaluation.comparisons
    )
    return Table(
        f"Against {other}: gain in points, photos that only one of them gets right",
        (
            "place",
            "top-1" if evaluation.threshold is None else "exact",
            "other",
            "gain",
            "95 % interval",
            "first : other",
            "McNemar p",
        ),
        rows,
    )


def _format_interval(interval: tuple[float, float] | None) -> str:
    return f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}" if interval else "–"


def _format_p(p_value: float) -> str:
    # No difference has the probability 0.
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.4f}"


def tabulate_labels(figures: Figures) -> Table:
    """One line for each label that a photo shows, worst recall first."""
    counted = [each for each in figures.labels if each.count]
    rows = tuple(
        (
            each.label,
            str(each.count),
            format_percent(each.precision),
            format_percent(each.recall),
            format_percent(each.average_precision),
        )
        for each in sorted(counted, key=lambda each: each.recall or 0)
    )
    return Table(
        f"Labels at {figures.place}, worst recall first",
        ("label", "answers", "precision", "recall", "AP"),
        rows,
    )


def tabulate_confusions(figures: Figures, *, most: int) -> Table | None:
    """One line for each of the `most` worst confusions; ``None`` where nothing is confused."""
    if not isinstance(figures, SingleLabelFigures) or not figures.confusions:
        return None
    rows = tuple(
        (f"{each.truth} → {each.answer}", str(each.count), format_percent(each.share))
        for each in figures.confusions[:most]
    )
    return Table(
        f"Confusions at {figures.place}, worst first",
        ("right label → answer", "times", "share"),
        rows,
    )


def format_percent(share: float | None) -> str:
    """Write a share, 0 to 1, as people read it."""
    return "–" if share is None else f"{share:.1%}"
