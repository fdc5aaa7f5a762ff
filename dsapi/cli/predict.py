"""``dsapi predict``: what the models see at a point of a picture, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from dsapi.cli.options import Config, choose_configured
from dsapi.errors import MissingImage
from dsapi.operation.downloads import fetch_graphs
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import load_model
from dsapi.prediction.points import Unit
from dsapi.prediction.predictor import Prediction, PredictionRequest
from dsapi.prediction.predictor import predict as predict_picture
from dsapi.settings import load_settings

_BAR_WIDTH = 30


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(predict)


def predict(
    image: Annotated[Path, typer.Argument(help="A picture file.")],
    x: Annotated[float | None, typer.Argument(help="The point, from the left edge.")] = None,
    y: Annotated[float | None, typer.Argument(help="The point, from the top edge.")] = None,
    unit: Annotated[Unit, typer.Option(help="Unit of X and Y.")] = "px",
    model: Annotated[
        list[str] | None,
        typer.Option(help="Run only this model; repeatable. Else the default ones."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=50, help="How many labels each.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the server's JSON.")] = False,
    config: Config = None,
) -> None:
    """Show what the models see at a point of a picture (its center without X and Y).

    Example: dsapi predict photo.jpg 50 50 --unit percent --model themes
    """
    if (x is None) != (y is None):
        raise typer.BadParameter("X and Y go together")
    settings = load_settings(config)
    specs = choose_configured(model or None, settings)
    try:
        data = image.read_bytes()
    except OSError as error:
        raise MissingImage(f"cannot read {image}: {error.strerror}") from error
    fetch_graphs(specs)
    models = {
        name: load_model(name, spec, engine=settings.engine, options=settings.engine_options).open()
        for name, spec in specs.items()
    }
    prediction = predict_picture(
        PredictionRequest(
            data,
            points=(None if x is None or y is None else (x, y),),
            models=tuple(specs),
            unit=unit,
            top=top,
        ),
        models=models,
        limits=settings.limits,
        deadline=Deadline.far(),
    )
    if as_json:
        _print_json(prediction)
    else:
        _print_tables(prediction)


def _print_json(prediction: Prediction) -> None:
    import uuid_utils

    from dsapi.web.answers import answer_prediction

    answer = answer_prediction(prediction, str(uuid_utils.uuid7()))
    typer.echo(answer.model_dump_json(indent=2))


def _print_tables(prediction: Prediction) -> None:
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    console = Console(markup=False)
    picture, result = prediction.picture, prediction.results[0]
    console.print(
        f"{picture.format}, {picture.width} × {picture.height} pixels, "
        f"point ({result.point.x}, {result.point.y})"
    )
    for name, ranked in result.labels.items():
        left, top, right, bottom = result.crops[name]
        took_ms = prediction.timing_ms[name]
        table = Table(show_header=False, box=None)
        for best in ranked:
            table.add_row(
                best.label,
                ProgressBar(total=1, completed=best.probability, width=_BAR_WIDTH),
                f"{best.probability:.1%}",
            )
        # Not as the title of the table: rich shows none of one that is empty, as after a failure.
        title = f"{name} in [{left}, {top}, {right}, {bottom}], {took_ms:.1f} ms"
        console.print(f"\n{title}", style="table.title")
        if name in result.errors:
            console.print(f" {result.errors[name]}", style="red")
        else:
            console.print(table)
