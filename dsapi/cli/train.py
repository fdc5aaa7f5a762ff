"""``dsapi train``: from data to a graph, its labels, its card and its figures.

The work is done in ``dsapi.training``; it is imported when a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train = typer.Typer(help="Train a model; needs the extra `train`.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="Labeled photos: a folder or a CSV file.")]
Output = Annotated[Path, typer.Option(help="Folder that gets models/ and labels/.")]
WorkDir = Annotated[
    Path, typer.Option(help="Cache and checkpoints; an interrupted training goes on from here.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(train, name="train")


@train.command()
def themes(
    data: Data,
    weights: Annotated[Path, typer.Option(help="ImageNet weights of MobileNetV2 (.npz).")],
    output: Output = Path("."),
    work_dir: WorkDir = Path("var/train-themes"),
    leave_sources_out: Annotated[
        bool,
        typer.Option(
            "--leave-sources-out", help="Only measure on left-out sources; write no graph."
        ),
    ] = False,
) -> None:
    """Train the themes classifier and write graph, labels, card and figures.

    Example: dsapi train themes --data ../shared/themes --weights mobilenet_v2_imagenet.npz
    """
    from dsapi.training import themes_command

    themes_command.run(
        data=data,
        weights=weights,
        output=output,
        work_dir=work_dir,
        only_measure=leave_sources_out,
    )
