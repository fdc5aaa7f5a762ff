"""Train the themes classifier: from photos and ImageNet weights to a frozen graph.

Enters: labeled photos with their sources, the ImageNet weights. Leaves: a frozen graph and its
figures. Called by ``dsapi train themes``.

How it learns to generalize to sources it has never seen: the photos' sources are dealt into
folds; one network per fold is fine-tuned without that fold's sources, and tested on them. The
mean of their weights is a network too, as all start from the same pretrained weights and stay
close (Rame et al. 2022, "Diverse Weight Averaging for Out-of-Distribution Generalization"); it
is fine-tuned a little more on all sources, and moved part of the way back to where it started.
What joins head and class table is chosen on the answers about left-out sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.training.calibration import expected_calibration_error, fit_temperature, softmax
from dsapi.training.freezing import FrozenGraph
from dsapi.training.photos import Collection
from dsapi.training.progress import Progress
from dsapi.training.themes import efficientnet
from dsapi.training.themes.activations import Activations, Cache
from dsapi.training.themes.class_table import score_themes
from dsapi.training.themes.fits import (
    Fold,
    Material,
    Plan,
    ask,
    cache_activations,
    digest,
    finish,
    fit_folds,
    fit_last,
    label_indices,
    learn,
    prepare,
)
from dsapi.training.themes.fitting import Fitted
from dsapi.training.themes.network import Fusion, freeze_themes
from dsapi.training.themes.sources import (
    Pair,
    mean_of_pairs,
    sampling_weights,
    score_pairs,
)

SHARE_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5)
CALIBRATION_GOAL = 0.035
GAIN_TOLERANCE = 0.005


@dataclass(frozen=True)
class Measured:
    """Figures of a training: what was said about left-out sources and about val."""

    pairs: tuple[Pair, ...]
    head_only: tuple[float, float]
    fusion: Fusion
    left_out_temperature: float
    val_probabilities: NDArray[np.float32]
    val_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """The delivered graph with its figures."""

    graph: FrozenGraph
    measured: Measured


def train_themes(
    collection: Collection, *, weights: Path, work_dir: Path, graph: Path, plan: Plan
) -> Trained:
    """Train on ``collection`` and write the frozen graph to ``graph``.

    ``work_dir`` keeps cached activations and finished fits: a training that was interrupted
    goes on from there when it is started again with the same arguments.
    """
    folded = efficientnet.fold_weights(weights)
    key = _fingerprint(collection, plan)
    cache = Cache(
        work_dir / f"cache-{key}",
        folded,
        first_block=plan.first_block,
        side_px=plan.side_px,
        inner_px=plan.inner_px,
    )
    checkpoints = work_dir / f"fits-{key}"
    with Progress() as progress:
        variants, val = cache_activations(cache, collection, plan=plan, progress=progress)
        material = prepare(collection, variants, folded=folded, plan=plan)
        folds = fit_folds(material, progress=progress, checkpoints=checkpoints)
        fitted = fit_last(material, folds, progress=progress, checkpoints=checkpoints)
        last = finish(material, fitted, np.arange(len(material.labels)))
    progress.plot(work_dir / "curves.png")
    measured = _measure(material, folds, last, val=val, val_labels=label_indices(collection.val))
    frozen = freeze_themes(
        last,
        measured.fusion,
        graph,
        folded=folded,
        side_px=plan.side_px,
        inner_px=plan.inner_px,
    )
    return Trained(frozen, measured)


def _fingerprint(collection: Collection, plan: Plan) -> str:
    names = [[photo.path.name for photo in part] for part in (collection.train, collection.val)]
    return digest([names, plan.first_block, plan.side_px, plan.inner_px, plan.seed])


def _measure(
    material: Material,
    folds: Sequence[Fold],
    last: Fitted,
    *,
    val: Activations,
    val_labels: NDArray[np.int64],
) -> Measured:
    head, shares = _gather_left_out(material, folds)
    share_weight = _choose_share_weight(material, head, shares)
    left_out = head + np.float32(share_weight) * shares
    balanced = sampling_weights(material.labels, material.sources, balance=1.0)
    abroad = fit_temperature(left_out, material.labels, balanced)
    answer = ask(material, last, val.blocks)
    table = learn(material, np.arange(len(material.labels)))
    logits = answer.logits + np.float32(share_weight) * score_themes(answer.group_scores, table)
    temperature = _limit_temperature(abroad, logits, val_labels)
    return Measured(
        pairs=score_pairs(softmax(left_out), material.labels, material.sources),
        head_only=mean_of_pairs(score_pairs(head, material.labels, material.sources)),
        fusion=Fusion(table, share_weight, temperature),
        left_out_temperature=abroad,
        val_probabilities=softmax((logits / temperature).astype(np.float32)),
        val_labels=val_labels,
    )


def _gather_left_out(
    material: Material, folds: Sequence[Fold]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give head logits and theme shares of every photo, by networks that had not seen it."""
    count = len(material.labels)
    head = np.zeros((count, material.class_groups.table.shape[1]), np.float32)
    shares = np.zeros_like(head)
    for fold in folds:
        kept = np.setdiff1d(np.arange(count), fold.rows)
        answer = ask(
            material,
            finish(material, fold.fitted, kept),
            material.variants.plain[0].blocks[fold.rows],
        )
        head[fold.rows] = answer.logits
        shares[fold.rows] = score_themes(answer.group_scores, learn(material, kept))
    return head, shares


def _choose_share_weight(
    material: Material, head: NDArray[np.float32], shares: NDArray[np.float32]
) -> float:
    """Choose how much the class table counts by top-1 plus top-5 on left-out sources.

    On known sources it costs more than it brings, so the least of those that are about as good
    as the best; none where no source can be left out and measured.
    """
    if not score_pairs(head, material.labels, material.sources):
        return 0.0

    def gain(weight: float) -> float:
        logits: NDArray[np.float32] = head + np.float32(weight) * shares
        return sum(mean_of_pairs(score_pairs(logits, material.labels, material.sources)))

    gains = {weight: gain(weight) for weight in SHARE_WEIGHTS}
    best = max(gains.values())
    return min(weight for weight, value in gains.items() if value >= best - GAIN_TOLERANCE)


def _limit_temperature(
    abroad: float, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    """Take the left-out sources' temperature, lowered until val is calibrated well enough.

    Photos of known sources are answered better than of unknown ones, so no temperature is
    right for both; this one is as modest as the goal on val permits.
    """
    candidates = [abroad * 0.97**step for step in range(60)]
    for temperature in candidates:
        probabilities = softmax((logits / temperature).astype(np.float32))
        if expected_calibration_error(probabilities, labels) <= CALIBRATION_GOAL:
            return temperature
    return fit_temperature(logits, labels)
