"""The report of an evaluation: one HTML page that needs no other file and no other host.

Enters: an `Evaluation`. Leaves: ``report.html``. Called by ``dsapi evaluate --report``.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import RequestError
from dsapi.evaluation.answers import Answers
from dsapi.evaluation.evaluation import Evaluation
from dsapi.evaluation.figures import AnyFigures, count_confusions
from dsapi.evaluation.plots import Plot, plot_confusions, plot_labels, plot_reliability
from dsapi.evaluation.tables import (
    Table,
    count_photos,
    format_percent,
    tabulate_comparison,
    tabulate_confusions,
    tabulate_labels,
    tabulate_overview,
)
from dsapi.prediction.crops import locate_crop
from dsapi.prediction.model import Model
from dsapi.prediction.picture import Limits, read_picture
from dsapi.prediction.points import Point

_THUMBNAIL_PX = 160
_MISTAKES = 40
_CONFUSIONS = 20


@dataclass(frozen=True)
class Mistake:
    """A wrong answer with its picture: a thumbnail as a data URL, "" where the file is gone.

    The point (x, y) and the crop (left, top, width, height) are in percent of the picture. Labels
    stand with their probabilities.
    """

    file: str
    said: str
    truth: str
    thumbnail: str
    point: tuple[float, float]
    crop: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Section:
    """What the page shows about one place."""

    place: str
    plots: tuple[Plot, ...]
    tables: tuple[Table, ...]
    mistakes: tuple[Mistake, ...]


def write_report(evaluation: Evaluation, folder: Path, *, limits: Limits) -> Path:
    """Write ``report.html`` into `folder` (made if missing) and return its path.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dsapi.evaluation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html.jinja").render(
        evaluation=evaluation,
        model=evaluation.model,
        counts=count_photos(evaluation),
        overview=tabulate_overview(evaluation),
        comparison=tabulate_comparison(evaluation) if evaluation.comparisons else None,
        sections=[
            _build_section(evaluation, figures, limits=limits) for figures in evaluation.figures
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _build_section(evaluation: Evaluation, figures: AnyFigures, *, limits: Limits) -> _Section:
    answers = evaluation.answers[figures.place]
    plots = [plot_reliability(figures), plot_labels(figures.labels)]
    if evaluation.threshold is None:
        plots.insert(0, plot_confusions(count_confusions(answers), evaluation.model.labels))
    confusions = tabulate_confusions(figures, most=_CONFUSIONS)
    return _Section(
        figures.place,
        tuple(plots),
        tables=(*([confusions] if confusions else []), tabulate_labels(figures)),
        mistakes=_collect_mistakes(evaluation, answers, limits=limits),
    )


def _collect_mistakes(
    evaluation: Evaluation, answers: Answers, *, limits: Limits
) -> tuple[Mistake, ...]:
    """The wrong answers that were surest, one a photo."""
    sure = _find_sureness(answers, one_label=evaluation.threshold is None)
    seen: set[int] = set()
    mistakes = []
    for row in np.argsort(-sure, kind="stable"):
        photo = int(answers.photo[row])
        if answers.right[row] or photo in seen:
            continue
        seen.add(photo)
        mistakes.append(_show_mistake(evaluation, answers, int(row), limits=limits))
        if len(mistakes) == _MISTAKES:
            break
    return tuple(mistakes)


def _show_mistake(evaluation: Evaluation, answers: Answers, row: int, *, limits: Limits) -> Mistake:
    model = evaluation.model
    path = evaluation.photos[int(answers.entry[row])].path
    point = Point(*(int(each) for each in answers.points[row]))
    thumbnail, where, crop = _draw_thumbnail(path, point, model, limits=limits)
    return Mistake(
        file="/".join(path.parts[-2:]),
        said=_list_labels(answers.said[row], answers.probabilities[row], model.labels),
        truth=_list_labels(answers.truth[row], answers.probabilities[row], model.labels),
        thumbnail=thumbnail,
        point=where,
        crop=crop,
    )


def _find_sureness(answers: Answers, *, one_label: bool) -> NDArray[np.float32]:
    """How sure the model was of the label it said or, of several, of its surest wrong yes or no."""
    if one_label:
        return np.asarray(answers.probabilities.max(axis=1))
    sure = np.where(answers.said, answers.probabilities, 1 - answers.probabilities)
    return np.asarray(np.where(answers.said != answers.truth, sure, 0).max(axis=1))


def _list_labels(
    chosen: NDArray[np.bool_], probabilities: NDArray[np.float32], labels: Sequence[str]
) -> str:
    """Name the chosen labels, the likeliest first."""
    found = sorted(np.flatnonzero(chosen).tolist(), key=lambda label: -probabilities[label])
    return (
        ", ".join(f"{labels[label]} {format_percent(probabilities[label])}" for label in found)
        or "–"
    )


def _draw_thumbnail(
    path: Path, point: Point, model: Model, *, limits: Limits
) -> tuple[str, tuple[float, float], tuple[float, float, float, float]]:
    """The photo as a small JPEG in a data URL; point and crop in percent of its sides."""
    try:
        picture = read_picture(path.read_bytes(), limits)
    except (RequestError, OSError):  # gone or changed since it was asked about
        return "", (0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    left, top, right, bottom = locate_crop(model.spec.crop, point, picture)
    small = picture.cut((0, 0, *picture.reduced_size))
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    url = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
    across, down = 100 / picture.width, 100 / picture.height
    box = (left * across, top * down, (right - left) * across, (bottom - top) * down)
    return url, ((point.x + 0.5) * across, (point.y + 0.5) * down), box
