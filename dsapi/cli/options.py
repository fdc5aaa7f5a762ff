"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file; default: $DSAPI_CONFIG, else the shipped dsapi.conf."
    ),
]
Host = Annotated[str | None, typer.Option(help="Address that the service listens on.")]
Port = Annotated[
    int | None, typer.Option(help="Port that the service listens on; 0: any free one.")
]
ImageRoot = Annotated[
    list[Path] | None,
    typer.Option("--image-root", help="Folder whose pictures callers may name; repeatable."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Prediction workers; 0: as many as cores, with OpenVINO one more."
    ),
]
LogLevel = Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]
