"""``dsapi serve``, ``check`` and ``models``: the service in the foreground, and its parts."""

import typer

from dsapi.cli.options import (
    Config,
    Host,
    ImageRoot,
    LogLevel,
    Port,
    Workers,
    load_with_options,
    warn,
)
from dsapi.operation.logs import configure_logs
from dsapi.prediction.model import Model
from dsapi.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(serve)
    app.command()(check)
    app.command()(models)


def serve(
    config: Config = None,
    host: Host = None,
    port: Port = None,
    image_root: ImageRoot = None,
    workers: Workers = None,
    log_level: LogLevel = None,
) -> None:
    """Serve in the foreground until Ctrl-C.

    Example: dsapi serve --port 9001 --image-root /srv/pictures
    """
    from dsapi.process import server

    settings = load_with_options(
        config, host=host, port=port, image_root=image_root, workers=workers, log_level=log_level
    )
    configure_logs(settings)
    # A machine that reads the log finds this in it, and could not read a line that is no JSON.
    invite = _invite if settings.log_format == "text" else lambda _: None
    server.serve(settings, on_ready=invite)


def _invite(url: str) -> None:
    typer.echo(f"dsapi answers on {url} - open it, or stop with Ctrl-C")


def check(config: Config = None) -> None:
    """Validate configuration, graphs and labels, without serving.

    Loads every model, runs it, and asks it about its golden samples, as the service does before it
    answers, and sees whether a daemon of this user could write its files. Exit code 2 and
    what is wrong, a line each.
    """
    from dsapi.process.checks import check_start
    from dsapi.process.service import explain_missing_roots

    settings = load_settings(config)
    _print_models(check_start(settings))
    for problem in explain_missing_roots(settings):
        warn(problem)
    typer.echo("The configuration is fine: every model loads and runs.")


def models(
    config: Config = None,
    as_json: bool = typer.Option(False, "--json", help="Print JSON, as GET /v1/models does."),
) -> None:
    """List the configured models: version, labels, input, crop."""
    from dsapi.process.service import load_models
    from dsapi.web.answers import answer_models

    loaded = load_models(load_settings(config))
    if as_json:
        typer.echo(answer_models(loaded).model_dump_json(indent=2))
    else:
        _print_models(list(loaded.values()))


def _print_models(models: list[Model]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for heading in ("model", "version", "labels", "input", "crop", "default", "loaded in"):
        table.add_column(heading, no_wrap=True)
    for model in models:
        table.add_row(
            model.name,
            model.version,
            str(len(model.labels)),
            "×".join(str(side) for side in model.size),
            str(model.spec.crop),
            "yes" if model.spec.default else "no",
            f"{model.load_ms:.0f} ms",
        )
    Console(markup=False).print(table)
    for model in models:
        # On a line of its own, as long as it is: to be copied.
        typer.echo(f"{model.name} is {model.spec.graph}")
