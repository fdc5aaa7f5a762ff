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

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.training.calibration import expected_calibration_error, fit_temperature, softmax
from dsapi.training.freezing import FrozenGraph
from dsapi.training.photos import Collection, label_indices, require_one_label
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
    learn,
    prepare,
)
from dsapi.training.themes.fitting import Fitted
from dsapi.training.themes.network import Fusion, freeze_themes
from dsapi.training.themes.progress import Progress
from dsapi.training.themes.sources import (
    Pair,
    mean_of_pairs,
    sampling_weights,
    score_pairs,
)

SHARE_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5)
CALIBRATION_GOAL = 0.035


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
    goes on from there when it is started again with the same data, weights and plan.

    Raises:
        TorchFileError: ``weights`` is not the weights file of EfficientNet-Lite0.
        PhotosError: A photo cannot be read, or has other than one label.
        FreezingError: The network cannot be frozen.
    """
    require_one_label(collection)
    folded = efficientnet.fold_weights(weights)
    key = fingerprint(collection, weights=weights, plan=plan)
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


def fingerprint(collection: Collection, *, weights: Path, plan: Plan) -> str:
    """Name what the work folder keeps after all that it depends on; 12 hexadecimal digits.

    What else a fit depends on of ``plan`` is in its own name.
    """
    with weights.open("rb") as stream:
        start = hashlib.file_digest(stream, "sha256").hexdigest()
    settings = [plan.first_block, plan.side_px, plan.inner_px, plan.seed]
    return digest([start, collection.labels, collection.identity, settings])


def _measure(
    material: Material,
    folds: Sequence[Fold],
    last: Fitted,
    *,
    val: Activations,
    val_labels: NDArray[np.int64],
) -> Measured:
    abroad, at_home = _ask_folds(material, folds)
    share_weight = _choose_share_weight(abroad, at_home)
    left_out = abroad.join(share_weight)
    balanced = sampling_weights(abroad.labels, abroad.sources, balance=1.0)
    modest = fit_temperature(left_out, abroad.labels, balanced)
    answer = ask(material, last, val.blocks)
    table = learn(material, np.arange(len(material.labels)))
    logits = answer.logits + np.float32(share_weight) * score_themes(answer.group_scores, table)
    temperature = _limit_temperature(modest, logits, val_labels)
    return Measured(
        pairs=score_pairs(softmax(left_out), abroad.labels, abroad.sources),
        head_only=mean_of_pairs(score_pairs(abroad.head, abroad.labels, abroad.sources)),
        fusion=Fusion(table, share_weight, temperature),
        left_out_temperature=modest,
        val_probabilities=softmax((logits / temperature).astype(np.float32)),
        val_labels=val_labels,
    )


@dataclass(frozen=True)
class _Opinions:
    """What networks say about photos that they have not seen.

    ``head`` float32 ``[n, themes]`` are logits, ``shares`` the class table's logarithms of theme
    shares; ``labels`` and ``sources`` are the photos'.
    """

    head: NDArray[np.float32]
    shares: NDArray[np.float32]
    labels: NDArray[np.int64]
    sources: list[str]

    def join(self, share_weight: float) -> NDArray[np.float32]:
        """Add head and table up to logits ``[n, themes]``."""
        return np.asarray(self.head + np.float32(share_weight) * self.shares, np.float32)

    def take(self, rows: slice) -> _Opinions:
        """Give those about some of the photos."""
        return _Opinions(self.head[rows], self.shares[rows], self.labels[rows], self.sources[rows])


def _ask_folds(material: Material, folds: Sequence[Fold]) -> tuple[_Opinions, _Opinions]:
    """Ask the folds' networks about photos of sources they have not seen, and of known ones."""
    asked = [_ask_fold(material, fold) for fold in folds]
    return _gather([abroad for abroad, _ in asked]), _gather([at_home for _, at_home in asked])


def _ask_fold(material: Material, fold: Fold) -> tuple[_Opinions, _Opinions]:
    """Ask a fold's network, once for both, about its ``rows`` and its ``known`` photos."""
    rows = np.concatenate([fold.rows, fold.known])
    network = finish(material, fold.fitted, fold.kept)
    answer = ask(material, network, material.variants.plain[0].blocks[rows])
    opinions = _Opinions(
        answer.logits,
        score_themes(answer.group_scores, learn(material, fold.kept)),
        material.labels[rows],
        [material.sources[row] for row in rows],
    )
    end = len(fold.rows)
    return opinions.take(slice(end)), opinions.take(slice(end, None))


def _gather(parts: Sequence[_Opinions]) -> _Opinions:
    return _Opinions(
        np.concatenate([part.head for part in parts]),
        np.concatenate([part.shares for part in parts]),
        np.concatenate([part.labels for part in parts]),
        [source for part in parts for source in part.sources],
    )


def _choose_share_weight(abroad: _Opinions, at_home: _Opinions) -> float:
    """Choose how much the class table counts.

    It helps with sources that are left out and costs on known ones: what is best for the sum of
    top-1 and top-5 on the former and top-1 on the latter. None where no source can be left out
    and measured.
    """
    if not score_pairs(abroad.head, abroad.labels, abroad.sources):
        return 0.0

    def gain(weight: float) -> float:
        pairs = score_pairs(abroad.join(weight), abroad.labels, abroad.sources)
        right = at_home.join(weight).argmax(axis=1) == at_home.labels
        return sum(mean_of_pairs(pairs)) + float(right.sum() / max(1, len(right)))

    return max(SHARE_WEIGHTS, key=gain)


def _limit_temperature(
    abroad: float, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    """Take the left-out sources' temperature, lowered until val is calibrated well enough.

    Photos of known sources are answered better than of unknown ones, so no temperature is
    right for both; this one is as modest as the goal on val permits. Where none reaches the goal,
    it is the one that val asks for.
    """
    candidates = [abroad * 0.97**step for step in range(60)]
    for temperature in candidates:
        probabilities = softmax((logits / temperature).astype(np.float32))
        if expected_calibration_error(probabilities, labels) <= CALIBRATION_GOAL:
            return temperature
    return fit_temperature(logits, labels)
