"""Everything ``dsapi train themes`` does with photos: train, write card, labels and figures.

Enters: the photos and the command's options. Leaves: files below the output folder and a table
on the terminal. Called by the command line only.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table as TextTable

from dsapi.prediction.labels import format_labels
from dsapi.training.freezing import write_atomically
from dsapi.training.photos import Collection
from dsapi.training.themes import card as cards
from dsapi.training.themes import training
from dsapi.training.themes.fits import Plan
from dsapi.training.themes.sources import mean_of_pairs


def run(
    collection: Collection, *, weights: Path, output: Path, work_dir: Path, only_measure: bool
) -> None:
    """Train on ``collection`` and write below ``output``; see `dsapi.training.themes.training`."""
    started = time.monotonic()
    plan = Plan()
    if only_measure:
        plan = replace(plan, last_recipe=replace(plan.last_recipe, epochs=0))
    console = Console(markup=False, soft_wrap=True)
    graph = (work_dir if only_measure else output / "models") / "themeClassifier.pb"
    trained = training.train_themes(
        collection, weights=weights, work_dir=work_dir, graph=graph, plan=plan
    )
    minutes = (time.monotonic() - started) / 60
    show_figures(trained.measured, collection.labels, console)
    if only_measure:
        return
    card = cards.write_card(trained, collection, plan=plan, weights=weights.name)
    write_atomically(graph.with_suffix(".md"), card.encode())
    write_atomically(output / "labels" / "themes.txt", format_labels(collection.labels))
    console.print(f"{graph} written in {minutes:.0f} minutes; curves in {work_dir}/curves.png")


def show_figures(measured: training.Measured, labels: tuple[str, ...], console: Console) -> None:
    """Print val and left-out figures and the pairs that did worst."""
    figures = cards.summarize(measured)
    console.print(
        f"val, 80 % crop at random points: top-1 {figures.top1:.1%}, top-5 {figures.top5:.1%}, "
        f"calibration error {figures.calibration_error:.3f}"
    )
    if not measured.pairs:
        console.print("no source is large enough to be left out and measured")
        return
    top1, top5 = mean_of_pairs(measured.pairs)
    console.print(
        f"left-out sources, mean over {len(measured.pairs)} theme-source pairs: "
        f"top-1 {top1:.1%}, top-5 {top5:.1%}"
    )
    table = TextTable("theme", "source left out", "photos", "top-1", "top-5", title="worst pairs")
    for pair in measured.pairs[:10]:
        table.add_row(
            labels[pair.label],
            pair.source,
            str(pair.photos),
            f"{pair.top1:.0%}",
            f"{pair.top5:.0%}",
        )
    console.print(table)
