"""The fits of a themes training: one network per fold of sources, then one on all sources.

Enters: photos, cached activations, a `Plan`. Leaves: fitted weights and what each network says
about the photos it has not seen. Called by `dsapi.training.themes`.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.training import mobilenet
from dsapi.training.activations import Activations, Cache
from dsapi.training.class_table import learn_shares, read_class_table
from dsapi.training.fitting import Fitted, Fitting, Recipe, Table, initial_head, predict
from dsapi.training.freezing import write_atomically
from dsapi.training.photos import Collection, Photo
from dsapi.training.sources import assign_folds, sampling_weights
from dsapi.training.themes_network import average
from dsapi.training.themes_progress import Progress


@dataclass(frozen=True)
class Plan:
    """What one training of the themes does; the defaults made the shipped graph."""

    recipe: Recipe = field(default_factory=Recipe)
    last_epochs: int = 3
    first_block: int = 7
    plain_variants: int = 1
    augmented_variants: int = 2
    folds: int = 5
    balance: float = 0.5
    prior: float = 10.0
    side_px: int = 224
    inner_px: int = 160
    seed: int = 7


@dataclass(frozen=True)
class Fold:
    """A network that has not seen some photos, and what it says about those.

    ``logits`` float32 ``[n, themes]`` of its head and ``class_scores`` float32 ``[n, 1000]`` of
    the ImageNet classes, for the photos ``rows``.
    """

    fitted: Fitted
    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    class_scores: NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """What every fit of a training shares."""

    plan: Plan
    folded: mobilenet.Folded
    variants: list[Activations]
    labels: NDArray[np.int64]
    sources: list[str]
    scores: NDArray[np.float16]
    class_table: NDArray[np.float32]


def label_indices(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """Give each photo's one label, int64 ``[n]``."""
    return np.array([photo.labels[0] for photo in photos], np.int64)


def cache_activations(
    cache: Cache, collection: Collection, *, plan: Plan, progress: Progress
) -> tuple[list[Activations], Activations]:
    """Give the training photos' variants, and the val photos at one random point each."""
    count = plan.plain_variants + plan.augmented_variants
    total = count * len(collection.train) + len(collection.val)
    advance = progress.start("photos through the lower blocks", total)
    val = cache.measured("val", collection.val, seed=plan.seed + 1000, advance=advance)
    variants = [
        cache.measured(f"plain-{n}", collection.train, seed=plan.seed + n, advance=advance)
        for n in range(plan.plain_variants)
    ]
    variants += [
        cache.augmented(f"changed-{n}", collection.train, seed=plan.seed + 100 + n, advance=advance)
        for n in range(plan.augmented_variants)
    ]
    return variants, val


def prepare(
    collection: Collection,
    variants: list[Activations],
    *,
    folded: mobilenet.Folded,
    plan: Plan,
) -> Material:
    """Put together what every fit shares."""
    plain = [v.class_scores for v in variants if v.class_scores is not None]
    mean: NDArray[np.float32] = np.mean(np.stack(plain), axis=0, dtype=np.float32)
    return Material(
        plan=plan,
        folded=folded,
        variants=variants,
        labels=label_indices(collection.train),
        sources=[photo.source for photo in collection.train],
        scores=mean.astype(np.float16),
        class_table=read_class_table(collection.labels),
    )


def weigh(material: Material, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give every photo's chance of being drawn, 0 where it is not among ``kept``."""
    weights = np.zeros(len(material.labels))
    weights[kept] = sampling_weights(
        material.labels[kept],
        [material.sources[row] for row in kept],
        balance=material.plan.balance,
    )
    return weights


def _fit(
    material: Material,
    kept: NDArray[np.int64],
    *,
    recipe: Recipe,
    start: Fitted | None,
    progress: Progress,
    name: str,
) -> Fitted:
    plan = material.plan
    table = Table(
        [variant.blocks for variant in material.variants],
        material.scores,
        material.labels,
        weigh(material, kept),
    )
    fitting = Fitting(
        recipe,
        first_block=plan.first_block,
        folded=material.folded,
        head=initial_head(material.folded, material.class_table),
        inner_px=plan.inner_px,
        start=start,
    )
    report = progress.start_steps(name, fitting.count_steps(table))
    return fitting.run(table, report)


def fit_folds(material: Material, *, progress: Progress, checkpoints: Path) -> list[Fold]:
    """Fit one network per fold without its sources; finished ones are read from disk."""
    plan = material.plan
    fold_of = assign_folds(material.labels, material.sources, folds=plan.folds)
    folds = []
    for number in range(plan.folds):
        saved = checkpoints / f"fold-{number}.pickle"
        if not saved.is_file():
            fitted = _fit(
                material,
                np.flatnonzero(fold_of != number),
                recipe=replace(plan.recipe, seed=plan.seed + number),
                start=None,
                progress=progress,
                name=f"fold {number + 1} of {plan.folds}",
            )
            rows = np.flatnonzero(fold_of == number)
            plain = material.variants[0].blocks[rows]
            write_atomically(saved, pickle.dumps(ask(material, fitted, rows, plain)))
        folds.append(pickle.loads(saved.read_bytes()))
    return folds


def ask(
    material: Material,
    fitted: Fitted,
    rows: NDArray[np.int64],
    activations: NDArray[np.float16],
) -> Fold:
    """Ask ``fitted`` about photos; ``activations`` are those of ``rows``, unchanged."""
    plan = material.plan
    logits, features = predict(
        fitted, activations, first_block=plan.first_block, inner_px=plan.inner_px
    )
    kernel, bias = material.folded["predictions"]
    return Fold(fitted, rows, logits, features @ kernel + bias)


def fit_last(
    material: Material, folds: Sequence[Fold], *, progress: Progress, checkpoints: Path
) -> Fitted:
    """Average the folds' networks and fine-tune the mean on all sources."""
    plan = material.plan
    soup = average([fold.fitted for fold in folds])
    if not plan.last_epochs:
        return soup
    saved = checkpoints / "last.pickle"
    if not saved.is_file():
        fitted = _fit(
            material,
            np.arange(len(material.labels)),
            recipe=replace(plan.recipe, epochs=plan.last_epochs, seed=plan.seed + 99),
            start=soup,
            progress=progress,
            name="all sources",
        )
        write_atomically(saved, pickle.dumps(fitted))
    last: Fitted = pickle.loads(saved.read_bytes())
    return last


def learn(material: Material, kept: NDArray[np.int64]) -> NDArray[np.float32]:
    """Learn the shares of themes in ImageNet classes from the photos ``kept``."""
    return learn_shares(
        material.class_table,
        material.scores[kept],
        material.labels[kept],
        weights=weigh(material, kept)[kept],
        prior=material.plan.prior,
    )
