"""The fits of a themes training: one network per fold of sources, then some on all sources.

Enters: photos, cached activations, a `Plan`. Leaves: fitted weights and what each network says
about the photos it has not seen. Called by `dsapi.training.themes.training`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.training.checkpoint import Checkpoint
from dsapi.training.photos import Collection, label_indices
from dsapi.training.themes import efficientnet
from dsapi.training.themes.activations import Activations, Cache, Variants
from dsapi.training.themes.class_groups import ClassGroups, group_classes
from dsapi.training.themes.class_table import learn_shares, read_class_table
from dsapi.training.themes.fitting import Fitted, Fitting, Recipe, Table, initial_head, predict
from dsapi.training.themes.network import average, mix_in_pretrained, mix_layers
from dsapi.training.themes.progress import Progress
from dsapi.training.themes.ridge import fit_ridge_head
from dsapi.training.themes.sources import assign_folds, sampling_weights

LAST_RECIPE = Recipe(epochs=8, trunk_rate=5e-4, distillation=0.5, mixing=0.2)
"""Longer and freer than the folds': it starts from their mean and sees every source."""


@dataclass(frozen=True)
class Plan:
    """What one training of the themes does; see docs/training.md for what they reach.

    ``fold_variants`` and ``last_variants`` say how many plain and how many changed variants of
    each photo the folds' networks and the last ones learn from, ``last_fits`` how many of these
    there are, ``held_out`` which part of the photos of its sources a fold's network is kept
    from, ``pretrained_share`` how far all are moved back to the pretrained weights in the end.
    """

    recipe: Recipe = field(default_factory=Recipe)
    last_recipe: Recipe = LAST_RECIPE
    first_block: int = 11
    fold_variants: tuple[int, int] = (1, 2)
    last_variants: tuple[int, int] = (3, 4)
    last_fits: int = 2
    folds: int = 5
    held_out: float = 0.04
    balance: float = 0.5
    side_px: int = 224
    inner_px: int = 192
    class_groups: int = 232
    pretrained_share: float = 0.4
    seed: int = 7


@dataclass(frozen=True)
class Fold:
    """A network, and what it has seen: indices of photos.

    It was fitted to ``kept``. Of the sources of ``rows`` it has seen nothing, of those of
    ``known`` other photos.
    """

    fitted: Fitted
    kept: NDArray[np.int64]
    rows: NDArray[np.int64]
    known: NDArray[np.int64]


@dataclass(frozen=True)
class Answer:
    """What a network says about photos.

    ``logits`` float32 ``[n, themes]`` of its head and ``group_scores`` float32 ``[n, groups]``
    of the groups of ImageNet classes.
    """

    logits: NDArray[np.float32]
    group_scores: NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """What every fit of a training shares."""

    plan: Plan
    folded: efficientnet.Folded
    variants: Variants
    labels: NDArray[np.int64]
    sources: list[str]
    class_groups: ClassGroups
    pretrained_groups: NDArray[np.float32]


def digest(value: object) -> str:
    """Shorten settings or file names to 12 letters that change when they do."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def _digest_fits(plan: Plan, *, without: tuple[str, ...]) -> str:
    """Name the checkpoints of fits after all that they depend on."""
    later = ("pretrained_share", *without)
    return digest([value for name, value in asdict(plan).items() if name not in later])


def cache_activations(
    cache: Cache, collection: Collection, *, plan: Plan, progress: Progress
) -> tuple[Variants, Activations]:
    """Give the training photos' variants, and the val photos at one random point each."""
    plain, changed = (
        max(pair) for pair in zip(plan.fold_variants, plan.last_variants, strict=True)
    )
    total = (plain + changed) * len(collection.train) + len(collection.val)
    advance = progress.start("photos through the lower blocks", total)
    photos, seed = collection.train, plan.seed
    val = cache.measured("val", collection.val, seed=seed + 1000, advance=advance)
    variants = Variants(
        tuple(
            cache.measured(f"plain-{n}", photos, seed=seed + n, advance=advance, scored=n == 0)
            for n in range(plain)
        ),
        tuple(
            cache.augmented(f"changed-{n}", photos, seed=seed + 100 + n, advance=advance)
            for n in range(changed)
        ),
    )
    return variants, val


def prepare(
    collection: Collection,
    variants: Variants,
    *,
    folded: efficientnet.Folded,
    plan: Plan,
) -> Material:
    """Put together what every fit shares."""
    scores = variants.plain[0].class_scores
    if scores is None:
        raise ValueError("the first plain variant has no class scores")
    table = read_class_table(collection.labels)
    class_groups = group_classes(folded["predictions"], table, count=plan.class_groups)
    return Material(
        plan=plan,
        folded=folded,
        variants=variants,
        labels=label_indices(collection.train),
        sources=[photo.source for photo in collection.train],
        class_groups=class_groups,
        pretrained_groups=class_groups.sum_probabilities(scores),
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
    counts: tuple[int, int],
    start: Fitted | None,
    progress: Progress,
    name: str,
    checkpoint: Checkpoint,
) -> Fitted:
    """Fit a network to the photos ``kept``, or give what was fitted before."""
    saved = checkpoint.restore(())
    if saved is not None:
        return Fitted.unpack(saved)
    plan = material.plan
    table = Table(
        material.variants.take(*counts),
        material.pretrained_groups,
        material.labels,
        weigh(material, kept),
    )
    fitting = Fitting(
        recipe,
        first_block=plan.first_block,
        folded=material.folded,
        head=initial_head(material.folded, material.class_groups.class_table),
        groups=material.class_groups.layer,
        inner_px=plan.inner_px,
        start=start,
    )
    fitted = fitting.run(table, progress.start_steps(name, fitting.count_steps(table)))
    checkpoint.save((), **fitted.pack())
    return fitted


def fit_folds(material: Material, *, progress: Progress, checkpoints: Path) -> list[Fold]:
    """Fit one network per fold without its sources; finished ones are read from disk."""
    plan = material.plan
    fold_of = assign_folds(material.labels, material.sources, folds=plan.folds)
    name = f"folds-{_digest_fits(plan, without=('last_fits', 'last_recipe', 'last_variants'))}"
    folds = []
    for number in range(plan.folds):
        seen = np.flatnonzero(fold_of != number)
        chosen = np.random.default_rng(plan.seed + number).random(len(seen)) < plan.held_out
        kept, known = seen[~chosen], seen[chosen]
        fitted = _fit(
            material,
            kept,
            recipe=replace(plan.recipe, seed=plan.seed + number),
            counts=plan.fold_variants,
            start=None,
            progress=progress,
            name=f"fold {number + 1} of {plan.folds}",
            checkpoint=Checkpoint(checkpoints / name / f"{number}.npz", run=name),
        )
        folds.append(Fold(fitted, kept, np.flatnonzero(fold_of == number), known))
    return folds


def finish(material: Material, fitted: Fitted, kept: NDArray[np.int64]) -> Fitted:
    """Give the network to use, made of one that was fitted to the photos ``kept``.

    It is moved part of the way back to the pretrained one, and its head is the mean of the
    fitted head and of a ridge regression's on what the network now says of the same photos.
    """
    plan = material.plan
    mixed = mix_in_pretrained(
        fitted, material.folded, material.class_groups.layer, share=plan.pretrained_share
    )
    activations = material.variants.plain[0].blocks[kept]
    _, features = predict(mixed, activations, first_block=plan.first_block, inner_px=plan.inner_px)
    ridge = fit_ridge_head(
        features,
        material.labels[kept],
        weights=weigh(material, kept)[kept],
        themes=material.class_groups.table.shape[1],
    )
    return replace(mixed, head=mix_layers(mixed.head, ridge, share=0.5))


def ask(material: Material, fitted: Fitted, activations: NDArray[np.float16]) -> Answer:
    """Ask ``fitted`` about photos, given the activations of the unchanged ones."""
    plan = material.plan
    logits, features = predict(
        fitted, activations, first_block=plan.first_block, inner_px=plan.inner_px
    )
    kernel, bias = fitted.groups
    return Answer(logits, features @ kernel + bias)


def fit_last(
    material: Material, folds: Sequence[Fold], *, progress: Progress, checkpoints: Path
) -> Fitted:
    """Average the folds' networks, fine-tune the mean on all sources, and average those fits."""
    plan = material.plan
    start = average([fold.fitted for fold in folds])
    if not plan.last_recipe.epochs:
        return start
    name = f"last-{_digest_fits(plan, without=('last_fits',))}"
    fits = []
    for number in range(plan.last_fits):
        fitted = _fit(
            material,
            np.arange(len(material.labels)),
            recipe=replace(plan.last_recipe, seed=plan.seed + 99 + number),
            counts=plan.last_variants,
            start=start,
            progress=progress,
            name=f"all sources, {number + 1} of {plan.last_fits}",
            checkpoint=Checkpoint(checkpoints / name / f"{number}.npz", run=name),
        )
        fits.append(fitted)
    return average(fits)


def learn(material: Material, kept: NDArray[np.int64]) -> NDArray[np.float32]:
    """Learn the shares of themes in groups of ImageNet classes from the photos ``kept``."""
    return learn_shares(
        material.class_groups.table,
        material.pretrained_groups[kept],
        material.labels[kept],
        weights=weigh(material, kept)[kept],
    )
