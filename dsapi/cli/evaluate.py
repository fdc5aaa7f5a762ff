"""``dsapi evaluate``: how right a model is on labeled photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsapi.cli.folders import naming_folder, require_folder
from dsapi.cli.options import Config, choose_configured
from dsapi.errors import StartupError
from dsapi.operation.downloads import fetch_graphs
from dsapi.prediction.labels import read_labels
from dsapi.prediction.model import Model, load_model
from dsapi.prediction.spec import ModelSpec
from dsapi.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dsapi.evaluation.answers import Questions
    from dsapi.evaluation.evaluation import Evaluation
    from dsapi.evaluation.figures import Figures
    from dsapi.evaluation.photos import LabeledPhoto

_WORST = 10


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a configured model, such as themes.")],
    data: Annotated[
        Path, typer.Option(help="Photos: a folder per label, or a CSV of file,label[,x,y].")
    ],
    against: Annotated[
        Path | None, typer.Option(help="Another graph of the same labels, to compare with.")
    ] = None,
    points: Annotated[
        int, typer.Option(min=0, max=64, help="Random points per photo, beside the center.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the random points.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder that gets report.html, a page with plots.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="0: as many as cores.")] = 0,
    config: Config = None,
) -> None:
    """Measure a model on labeled photos, at their center and at random points.

    Example: dsapi evaluate themes --data photos/val --report report
    """
    from rich.console import Console

    from dsapi.evaluation.answers import Questions
    from dsapi.evaluation.photos import read_photos

    settings = load_settings(config)
    specs = choose_configured([model], settings)
    _check_extras(against=against is not None, report=report is not None)
    if report is not None:
        require_folder(report, option="--report")
    photos = read_photos(data, read_labels(specs[model].labels))
    fetch_graphs(specs)
    first = _load(settings, model, specs[model])
    other = _load_other(settings, model, against)
    console = Console(stderr=True, markup=False)
    evaluation = _ask(
        first,
        photos,
        Questions(random_points=points, seed=seed),
        against=other,
        settings=settings,
        threads=threads or os.cpu_count() or 1,
        console=console,
    )
    _show(evaluation, as_json=as_json)
    if report is not None:
        from dsapi.evaluation.report import write_report

        with naming_folder(report, option="--report"):
            page = write_report(evaluation, report, limits=settings.limits)
            console.print(f"report: {page}", soft_wrap=True)


def _show(evaluation: Evaluation, *, as_json: bool) -> None:
    from rich.console import Console

    if as_json:
        typer.echo(_format_json(evaluation))
    else:
        _print_tables(evaluation, Console(markup=False))


def _ask(
    model: Model,
    photos: Sequence[LabeledPhoto],
    questions: Questions,
    *,
    against: Model | None,
    settings: Settings,
    threads: int,
    console: Console,
) -> Evaluation:
    """Evaluate with a progress bar.

    Raises:
        StartupError: Not one photo could be read.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from dsapi.evaluation.evaluation import evaluate_model

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(model.name, total=len(photos) * (2 if against else 1))
        evaluation = evaluate_model(
            model,
            photos,
            questions,
            limits=settings.limits,
            threads=threads,
            against=against,
            on_photo=lambda: progress.advance(task),
        )
    if not evaluation.figures:
        raise StartupError(
            f"none of the {len(photos)} photos could be read; the first: "
            f"{evaluation.unreadable[0].reason}"
        )
    return evaluation


def _check_extras(*, against: bool, report: bool) -> None:
    """Say what to install before minutes of work, not after."""
    from importlib.util import find_spec

    needed = (["scipy"] if against else []) + (["matplotlib"] if report else [])
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise StartupError(f"this needs {' and '.join(missing)}: pip install -e '.[evaluate]'")


def _load_other(settings: Settings, name: str, graph: Path | None) -> Model | None:
    """The same configuration with another graph file."""
    if graph is None:
        return None
    if not graph.is_file():
        raise StartupError(f"--against {graph}: there is no such file")
    spec = settings.models[name].model_copy(
        update={"graph": graph.absolute(), "sha256": None, "url": None}
    )
    return _load(settings, name, spec)


def _load(settings: Settings, name: str, spec: ModelSpec) -> Model:
    return load_model(name, spec, engine=settings.engine, options=settings.engine_options)


def _format_json(evaluation: Evaluation) -> str:
    from dsapi.evaluation.summary import summarize

    return summarize(evaluation).model_dump_json(indent=2)


def _print_tables(evaluation: Evaluation, console: Console) -> None:
    model = evaluation.model
    asked = len(evaluation.photos) - len(evaluation.unreadable)
    console.print(f"{model.name} {model.version}, {asked} photos")
    console.print(_overview_table(evaluation))
    if evaluation.comparisons:
        console.print(_comparison_table(evaluation))
    for figures in evaluation.figures:
        console.print(_label_table(figures))
        if figures.confusions:
            console.print(_confusion_table(figures))
    if evaluation.unreadable:
        console.print(f"{len(evaluation.unreadable)} more photos count nowhere:")
        for each in evaluation.unreadable[:_WORST]:
            path = evaluation.photos[each.photo].path
            console.print(f"  {path}: {each.reason}", soft_wrap=True)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _numbers(title: str, first: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _overview_table(evaluation: Evaluation) -> Table:
    table = _numbers(
        "Overview", "place", "answers", "top-1", "top-5", "balanced", "sure", "calibration error"
    )
    for each in evaluation.figures:
        table.add_row(
            each.place,
            str(each.count),
            _percent(each.top1),
            _percent(each.top5),
            _percent(each.balanced_top1),
            _percent(each.mean_probability),
            f"{each.calibration_error:.3f}",
        )
    return table


def _comparison_table(evaluation: Evaluation) -> Table:
    other = evaluation.other.version if evaluation.other else ""
    table = _numbers(
        f"Against {other}: gain in points, photos that only one of them gets right",
        "place",
        "top-1",
        "other",
        "gain",
        "95 % interval",
        "first : other",
        "McNemar p",
    )
    for each in evaluation.comparisons:
        low, high = each.interval
        table.add_row(
            each.place,
            _percent(each.top1),
            _percent(each.other_top1),
            f"{100 * each.difference:+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            f"{each.only_first_right} : {each.only_other_right}",
            f"{each.p_value:.4f}",
        )
    return table


def _label_table(figures: Figures) -> Table:
    table = _numbers(
        f"Labels at {figures.place}, worst recall first", "label", "answers", "precision", "recall"
    )
    counted = [each for each in figures.labels if each.count]
    for each in sorted(counted, key=lambda each: each.recall or 0):
        table.add_row(each.label, str(each.count), _percent(each.precision), _percent(each.recall))
    return table


def _confusion_table(figures: Figures) -> Table:
    table = _numbers(
        f"Confusions at {figures.place}, worst first", "right label → answer", "times", "share"
    )
    for each in figures.confusions[:_WORST]:
        table.add_row(f"{each.truth} → {each.answer}", str(each.count), _percent(each.share))
    return table
