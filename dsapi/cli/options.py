"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from dsapi.errors import BadParameter, StartupError
from dsapi.prediction.spec import ModelSpec, choose_models
from dsapi.process.pidfile import read_address, running_pid
from dsapi.settings import Settings, load_settings, read_settings

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file; default: $DSAPI_CONFIG, else the shipped dsapi.conf."
    ),
]
Host = Annotated[str | None, typer.Option(help="Address that the service listens on.")]
Port = Annotated[
    int | None,
    typer.Option(help="Port of the service; for serve and start, 0: any free one."),
]
ImageRoot = Annotated[
    list[Path] | None,
    typer.Option("--image-root", help="Folder whose pictures callers may name; repeatable."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Prediction workers; 0: as many as cores, with OpenVINO and shared weights one more.",
    ),
]
LogLevel = Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]


def load_with_options(
    config: Path | None,
    *,
    host: str | None,
    port: int | None,
    image_root: list[Path] | None,
    workers: int | None,
    log_level: str | None,
) -> Settings:
    """Read all settings, with the options of a command that serves; what was not given is `None`.

    Raises:
        StartupError: as `load_settings`.
    """
    return load_settings(
        config,
        host=host,
        port=port,
        image_roots=image_root or None,
        prediction_workers=workers,
        log_level=log_level,
    )


def find_service(config: Path | None, *, host: str | None, port: int | None) -> Settings:
    """Find the running service: by the options, else by what its daemon wrote, else by the file.

    The file may have changed, or have been broken, since: that only gives a warning.

    Raises:
        StartupError: as `read_settings`.
    """
    settings, problems = read_settings(config, host=host, port=port)
    for problem in problems:
        warn(f"{problem} (a start or reload refuses it)")
    if running_pid(settings.pid_file) and (address := read_address(settings.pid_file)):
        found = {"host": host or address[0], "port": port or address[1]}
        return settings.model_copy(update=found)
    return settings


def warn(problem: str) -> None:
    """Tell of what does not hinder the command."""
    typer.echo(f"dsapi: warning: {problem}", err=True)


def tell_skipped(count: int) -> None:
    """Tell how many files were left out: nobody may notice that they are missing."""
    if count:
        files = "file" if count == 1 else "files"
        typer.echo(f"{count} {files} skipped (no picture suffix)", err=True)


def choose_configured(names: list[str] | None, settings: Settings) -> dict[str, ModelSpec]:
    """Take the configured models that a command names, or the default ones.

    Raises:
        StartupError: there is no such model, or none is default.
    """
    try:
        chosen = choose_models(names, settings.models)
    except BadParameter as error:
        raise StartupError(str(error)) from error
    return {name: settings.models[name] for name in chosen}
