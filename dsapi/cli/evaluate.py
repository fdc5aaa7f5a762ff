"""``dsapi evaluate``: how right a model is on labeled photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsapi.cli.folders import naming_folder, require_folder
from dsapi.cli.options import Config, choose_configured, tell_skipped, warn
from dsapi.cores import count_cores
from dsapi.errors import StartupError
from dsapi.operation.downloads import fetch_graphs
from dsapi.photos.files import count_skipped
from dsapi.photos.tables import Split
from dsapi.prediction.labels import read_labels
from dsapi.prediction.model import Model, load_model
from dsapi.prediction.picture import Limits
from dsapi.prediction.spec import ModelSpec
from dsapi.settings import Settings, load_settings

if TYPE_CHECKING:
    import rich.table

    from dsapi.evaluation.answers import Questions
    from dsapi.evaluation.evaluation import Evaluation
    from dsapi.evaluation.photos import LabeledPhoto
    from dsapi.evaluation.tables import Table

_WORST = 10


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a configured model, such as themes.")],
    data: Annotated[
        Path, typer.Option(help="Photos: a folder per label, or a CSV of file,labels[,x,y].")
    ],
    against: Annotated[
        str | None,
        typer.Option(help="Another configured model, or graph file, of the same labels."),
    ] = None,
    points: Annotated[
        int, typer.Option(min=0, max=64, help="Random points per photo, beside the center.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the random points.")] = 1,
    split: Annotated[
        Split | None,
        typer.Option(
            help="Rows of a CSV file with a column split; without it val and test together."
        ),
    ] = None,
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
    from dsapi.evaluation.answers import Questions

    settings = load_settings(config)
    specs = choose_configured([model], settings)
    _check_extras(against=against is not None, report=report is not None)
    if report is not None:
        require_folder(report, option="--report")
    photos = _read_photos(data, specs[model], split=split)
    evaluation = _ask(
        *_load_models(model, against, settings=settings),
        photos=photos,
        questions=Questions(random_points=points, seed=seed),
        limits=settings.limits,
        threads=threads or count_cores(),
    )
    _show(evaluation, as_json=as_json)
    if report is not None:
        _write_report(evaluation, report, limits=settings.limits)


def _read_photos(data: Path, spec: ModelSpec, *, split: Split | None) -> tuple[LabeledPhoto, ...]:
    from dsapi.evaluation.photos import read_photos

    photos = read_photos(data, read_labels(spec.labels), split=split)
    tell_skipped(count_skipped(data))
    if odd := next((photo for photo in photos if len(photo.labels) != 1), None):
        labels = "several labels" if odd.labels else "no label"
        warn(f"{odd.path} has {labels}: all photos are measured as multi-label")
    return photos


def _write_report(evaluation: Evaluation, folder: Path, *, limits: Limits) -> None:
    from dsapi.evaluation.report import write_report

    with naming_folder(folder, option="--report"):
        page = write_report(evaluation, folder, limits=limits)
    typer.echo(f"report: {page}", err=True)


def _show(evaluation: Evaluation, *, as_json: bool) -> None:
    from dsapi.evaluation.summary import summarize

    if as_json:
        typer.echo(summarize(evaluation).model_dump_json(indent=2))
    else:
        _print_tables(evaluation)


def _ask(
    model: Model,
    against: Model | None,
    *,
    photos: Sequence[LabeledPhoto],
    questions: Questions,
    limits: Limits,
    threads: int,
) -> Evaluation:
    """Evaluate with a progress bar.

    Raises:
        StartupError: Not one photo could be read.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from dsapi.evaluation.evaluation import evaluate_model

    console = Console(stderr=True, markup=False)
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
            limits=limits,
            threads=threads,
            against=against,
            on_photo=lambda: progress.advance(task),
        )
    if not evaluation.figures:
        first = evaluation.unreadable[0]
        raise StartupError(
            f"none of the {evaluation.photo_count} photos could be read; the first, "
            f"{evaluation.photos[first.entry].path}: {first.reason}"
        )
    return evaluation


def _check_extras(*, against: bool, report: bool) -> None:
    """Say what to install before minutes of work, not after."""
    from importlib.util import find_spec

    needed = (["scipy"] if against else []) + (["matplotlib"] if report else [])
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise StartupError(f"this needs {' and '.join(missing)}: pip install -e '.[evaluate]'")


def _load_models(
    name: str, against: str | None, *, settings: Settings
) -> tuple[Model, Model | None]:
    """Load the model and, if there is one, what it is compared with.

    Raises:
        StartupError: one cannot be loaded, or they have other labels.
    """
    other = None if against is None else _find_other(name, against, settings=settings)
    first = _load(settings, name, settings.models[name])
    if other is None:
        return first, None
    second = _load(settings, *other)
    if second.labels != first.labels:
        raise StartupError(
            f"--against {against}: its labels ({second.spec.labels}) are others than those of "
            f"{name} ({first.spec.labels}), or in another order; there is nothing to compare"
        )
    return first, second


def _find_other(name: str, against: str, *, settings: Settings) -> tuple[str, ModelSpec]:
    """Take a configured model, or a graph file with the configuration of the first.

    Raises:
        StartupError: there is neither.
    """
    if against in settings.models:
        return against, settings.models[against]
    graph = Path(against)
    if not graph.exists():
        raise StartupError(
            f"--against {against}: there is no such file, and no model of this name "
            f"({', '.join(settings.models)})"
        )
    update = {"graph": graph.absolute(), "sha256": None, "url": None}
    return name, settings.models[name].model_copy(update=update)


def _load(settings: Settings, name: str, spec: ModelSpec) -> Model:
    fetch_graphs({name: spec})
    return load_model(name, spec, engine=settings.engine, options=settings.engine_options)


def _print_tables(evaluation: Evaluation) -> None:
    from rich.console import Console

    from dsapi.evaluation.tables import (
        count_photos,
        tabulate_comparison,
        tabulate_confusions,
        tabulate_labels,
        tabulate_overview,
    )

    console, model = Console(markup=False), evaluation.model
    console.print(f"{model.name} {model.version}, {count_photos(evaluation)}")
    tables = [tabulate_overview(evaluation)]
    if evaluation.comparisons:
        tables.append(tabulate_comparison(evaluation))
    for figures in evaluation.figures:
        tables.append(tabulate_labels(figures))
        if confusions := tabulate_confusions(figures, most=_WORST):
            tables.append(confusions)
    for table in tables:
        console.print(_draw_table(table))
    if evaluation.unreadable:
        console.print("These count nowhere:")
        for each in evaluation.unreadable[:_WORST]:
            path = evaluation.photos[each.entry].path
            console.print(f"  {path}: {each.reason}", soft_wrap=True)
        if (more := len(evaluation.unreadable) - _WORST) > 0:
            console.print(f"  … and {more} more; --json lists all")


def _draw_table(table: Table) -> rich.table.Table:
    from rich.table import Table

    first, *numbers = table.columns
    drawn = Table(title=table.title, title_justify="left")
    drawn.add_column(first)
    for column in numbers:
        drawn.add_column(column, justify="right")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
