"""``dsapi train``: from data to a graph, its labels, its card and its figures.

The work is done in ``dsapi.training``; it is imported when a command runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsapi.cli.folders import require_folder
from dsapi.cli.options import tell_skipped, warn
from dsapi.errors import StartupError
from dsapi.settings.config_file import find_config
from dsapi.settings.values import check_model_names

if TYPE_CHECKING:
    from dsapi.training.photos import Collection

train = typer.Typer(help="Train a model; needs the extra `train`.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="Labeled photos: a folder or a CSV file.")]
Output = Annotated[Path, typer.Option(help="Folder that gets models/ and labels/.")]
WorkDir = Annotated[
    Path, typer.Option(help="Cache and checkpoints; an interrupted training goes on from here.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(train, name="train")


@contextmanager
def telling_how_to_go_on() -> Iterator[None]:
    """Say, when somebody interrupts a training, that its work is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            "\ninterrupted: the same command goes on from what --work-dir holds "
            "(whole epochs; for themes, whole fits)",
            err=True,
        )
        raise


@train.command()
def themes(
    data: Data,
    weights: Annotated[
        Path | None,
        typer.Option(help="ImageNet weights of EfficientNet-Lite0 (.pth), if not the installed."),
    ] = None,
    output: Output = Path("."),
    work_dir: WorkDir = Path("var/train-themes"),
    leave_sources_out: Annotated[
        bool,
        typer.Option("--leave-sources-out", help="Only measure on left-out sources."),
    ] = False,
) -> None:
    """Train the themes classifier and write graph, labels, card and figures.

    Example: dsapi train themes --data photos
    """
    from dsapi.training.themes import command, efficientnet
    from dsapi.training.themes.class_table import describe_gaps

    _require_folders(output, work_dir)
    collection = _read_photos(data)
    if gaps := describe_gaps(collection.labels):
        warn(gaps)
    with telling_how_to_go_on():
        command.run(
            collection,
            weights=weights or efficientnet.find_weights(),
            output=output,
            work_dir=work_dir,
            only_measure=leave_sources_out,
        )


@train.command()
def colors(
    data: Annotated[Path, typer.Option(help="Folder with the color survey, c3_data.json.")],
    output: Output = Path("."),
    work_dir: WorkDir = Path("var/train-colors"),
    patches: Annotated[int, typer.Option(min=512, help="Patches to generate.")] = 262_144,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 2026,
) -> None:
    """Train the color classifier and write graph, labels, card and figures.

    Example: dsapi train colors --data survey
    """
    from rich.console import Console

    from dsapi.training.colors.settings import ColorTraining
    from dsapi.training.colors.training import train_colors

    _require_folders(output, work_dir)
    console = Console(markup=False, soft_wrap=True)
    training = ColorTraining(
        survey=data / "c3_data.json",
        models=output / "models",
        labels=output / "labels",
        work=work_dir,
        patches=patches,
        epochs=epochs,
        seed=seed,
    )
    with telling_how_to_go_on():
        report = train_colors(training, console=console)
    console.print(f"{report.graph.path}: version {report.graph.version}")
    console.print(f"figures: {training.models / 'colorClassifier.md'}")


def _check_name(name: str) -> str:
    """Take a name that makes file names within the output folder and a section's name."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
        raise typer.BadParameter(f"{name!r} is no name: permitted are letters, digits, _ and -")
    try:
        check_model_names({name: None})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return name


def _require_folders(output: Path, work_dir: Path) -> None:
    """See before hours of work that what comes out can be written."""
    require_folder(output / "models", option="--output")
    require_folder(output / "labels", option="--output")
    require_folder(work_dir, option="--work-dir")


def _keep_labels(output: Path, name: str) -> None:
    """See that no other graph's labels would be replaced, such as those of the shipped themes.

    It would then name its answers wrongly without a word, if there are as many.

    Raises:
        StartupError: they would.
    """
    labels, graph = output / "labels" / f"{name}.txt", output / "models" / f"{name}.pb"
    if labels.exists() and not graph.exists():
        raise StartupError(
            f"{labels} holds the labels of another graph, as there is no {graph}; "
            "choose another name"
        )


def _read_photos(data: Path, *, seed: int = 0) -> Collection:
    """Read labeled photos, and tell what of them is not learned from or not measured."""
    from dsapi.training import photos

    collection = photos.read_photos(data, seed=seed)
    tell_skipped(photos.count_skipped_files(data))
    for describe in (photos.describe_unused_points, photos.describe_unmeasured):
        if problem := describe(collection):
            warn(problem)
    return collection


@train.command()
def image(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the model, of letters, digits, _ and -.", callback=_check_name
        ),
    ],
    data: Data,
    weights: Annotated[
        str, typer.Option(help="Of the backbone: FILE, imagenet (downloads) or none.")
    ] = "imagenet",
    config: Annotated[
        Path | None, typer.Option(help="YAML file: backbone, epochs, augmentation and so on.")
    ] = None,
    output: Output = Path("."),
    work_dir: WorkDir = Path("var/train-image"),
) -> None:
    """Train a classifier on your own labels and print its section for dsapi.conf.

    DATA is a folder with one folder per label, or a CSV file with the columns file and labels
    (several separated by |), which makes a multi-label classifier.

    Example: dsapi train image weather --data photos/ --weights imagenet
    """
    from rich.console import Console

    from dsapi.training.images import card, training
    from dsapi.training.images.config import read_config

    settings = read_config(config)
    _require_folders(output, work_dir)
    _keep_labels(output, name)
    collection = _read_photos(data, seed=settings.seed)
    with telling_how_to_go_on():
        trained = training.train_images(
            collection,
            settings,
            name=name,
            weights=weights,
            output=output,
            work_dir=work_dir,
            console=Console(markup=False, soft_wrap=True),
        )
    accuracy = card.describe_accuracy(trained.figures, trained.activation)
    typer.echo(f"{trained.graph.path}, on {len(collection.val)} held-out photos: {accuracy}")
    section = card.write_section(name, folder=card.find_named_folder(output, find_config()))
    typer.echo(f"figures: {trained.card}\n\nAdd to dsapi.conf:\n\n{section}")
