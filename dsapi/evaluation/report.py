"""The report of an evaluation: one HTML page that needs no other file and no other host.

Enters: an `Evaluation`. Leaves: ``report.html``. Called by ``dsapi evaluate --report``.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsapi.errors import RequestError
from dsapi.evaluation.answers import Answers
from dsapi.evaluation.evaluation import Evaluation
from dsapi.evaluation.figures import Figures, count_confusions
from dsapi.evaluation.plots import plot_confusions, plot_labels, plot_reliability
from dsapi.prediction.crops import locate_crop
from dsapi.prediction.model import Model
from dsapi.prediction.picture import Limits, read_picture
from dsapi.prediction.points import Point

_THUMBNAIL_PX = 160
_MISTAKES = 40


@dataclass(frozen=True)
class Mistake:
    """A wrong answer with its picture: a thumbnail as a data URL, point and crop in percent."""

    file: str
    truth: str
    answer: str
    probability: float
    truth_probability: float
    thumbnail: str
    point: tuple[float, float]
    crop: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Section:
    """What the page shows about one place."""

    figures: Figures
    confusions: str
    reliability: str
    bars: str
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
    environment.filters["percent"] = lambda share: "–" if share is None else f"{share:.1%}"
    page = environment.get_template("report.html.jinja").render(
        evaluation=evaluation,
        model=evaluation.model,
        sections=[
            _build_section(evaluation, figures, limits=limits) for figures in evaluation.figures
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _build_section(evaluation: Evaluation, figures: Figures, *, limits: Limits) -> _Section:
    answers, labels = evaluation.answers[figures.place], evaluation.model.labels
    top = answers.probabilities.argmax(axis=1)
    return _Section(
        figures,
        confusions=plot_confusions(count_confusions(answers.truth, top, len(labels)), labels),
        reliability=plot_reliability(figures),
        bars=plot_labels(figures.labels),
        mistakes=_collect_mistakes(evaluation, answers, limits=limits),
    )


def _collect_mistakes(
    evaluation: Evaluation, answers: Answers, *, limits: Limits
) -> tuple[Mistake, ...]:
    """The wrong answers that were surest, one a photo."""
    top = answers.probabilities.argmax(axis=1)
    sure = answers.probabilities.max(axis=1)
    seen: set[int] = set()
    mistakes = []
    for row in np.argsort(-sure, kind="stable"):
        photo = int(answers.photo[row])
        if top[row] == answers.truth[row] or photo in seen:
            continue
        seen.add(photo)
        mistakes.append(_show_mistake(evaluation, answers, int(row), limits=limits))
        if len(mistakes) == _MISTAKES:
            break
    return tuple(mistakes)


def _show_mistake(evaluation: Evaluation, answers: Answers, row: int, *, limits: Limits) -> Mistake:
    model, labels = evaluation.model, evaluation.model.labels
    path = evaluation.photos[int(answers.photo[row])].path
    answer = int(answers.probabilities[row].argmax())
    truth = int(answers.truth[row])
    point = Point(*(int(each) for each in answers.points[row]))
    thumbnail, where, crop = _draw_thumbnail(path, point, model, limits=limits)
    return Mistake(
        file="/".join(path.parts[-2:]),
        truth=labels[truth],
        answer=labels[answer],
        probability=float(answers.probabilities[row, answer]),
        truth_probability=float(answers.probabilities[row, truth]),
        thumbnail=thumbnail,
        point=where,
        crop=crop,
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
