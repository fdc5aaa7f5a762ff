"""Train the themes classifier: from photos and ImageNet weights to a frozen graph and its card.

Enters: a folder of labeled photos with their sources, the ImageNet weights file. Leaves:
``models/themeClassifier.pb``, its card and figures, ``labels/themes.txt``, a plot of the curves.
Called by ``dsapi train themes``.

How it learns to generalize to sources it has never seen: the photos' sources are dealt into
folds; one network per fold is fine-tuned without that fold's sources, and tested on them. The
delivered network has the mean of their weights: all start from the same pretrained weights and
stay close, so their mean is a network too, and better abroad than any of them (Rame et al. 2022,
"Diverse Weight Averaging for Out-of-Distribution Generalization"). Its temperature is fitted
on the answers about left-out sources.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.training import mobilenet
from dsapi.training.activations import Activations, Cache
from dsapi.training.calibration import fit_temperature, softmax
from dsapi.training.fitting import Fitted, Fitting, Recipe, Table, initial_head, predict
from dsapi.training.freezing import FrozenGraph, freeze_network, write_atomically
from dsapi.training.photos import Collection, Photo
from dsapi.training.sources import Pair, assign_folds, sampling_weights, score_pairs
from dsapi.training.themes_progress import Progress

TABLE = Path(__file__).with_name("imagenet_themes.yaml")


@dataclass(frozen=True)
class Plan:
    """What one training of the themes does; the defaults made the shipped graph."""

    recipe: Recipe = field(default_factory=Recipe)
    first_block: int = 7
    plain_variants: int = 2
    augmented_variants: int = 6
    folds: int = 5
    balance: float = 0.5
    side_px: int = 224
    seed: int = 7


@dataclass(frozen=True)
class Fold:
    """A network that has not seen some photos, and what it says about those."""

    fitted: Fitted
    rows: NDArray[np.int64]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """Figures of a training: theme-source pairs left out, and probabilities on val."""

    pairs: tuple[Pair, ...]
    temperature: float
    left_out_logits: NDArray[np.float32]
    val_probabilities: NDArray[np.float32]
    val_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """The delivered graph with its figures."""

    graph: FrozenGraph
    measured: Measured


def read_class_table(labels: Sequence[str], path: Path = TABLE) -> NDArray[np.float32]:
    """Read which theme each ImageNet class speaks for, float32 ``[1000, labels]`` of 0 and 1.

    Themes of the file that are not in ``labels`` are skipped, labels it lacks stay empty.
    """
    import yaml

    table = np.zeros((mobilenet.CLASSES, len(labels)), np.float32)
    for theme, entries in yaml.safe_load(path.read_text("utf-8")).items():
        if theme not in labels:
            continue
        for entry in entries:
            first, last = (str(entry).split("-") * 2)[:2]
            table[int(first) : int(last) + 1, labels.index(theme)] = 1
    return table


def train_themes(
    collection: Collection, *, weights: Path, work_dir: Path, graph: Path, plan: Plan
) -> Trained:
    """Train on ``collection`` and write the frozen graph to ``graph``.

    ``work_dir`` keeps cached activations and finished folds: a training that was interrupted
    goes on from there when it is started again with the same arguments.
    """
    folded = mobilenet.fold_weights(weights)
    key = _fingerprint(collection, plan)
    cache = Cache(
        work_dir / f"cache-{key[:12]}", folded, first_block=plan.first_block, side_px=plan.side_px
    )
    with Progress() as progress:
        variants, val = _cache_activations(cache, collection, plan=plan, progress=progress)
        folds = _fit_folds(
            collection,
            variants,
            folded=folded,
            plan=plan,
            progress=progress,
            checkpoints=work_dir / f"folds-{key[:12]}-{_recipe_key(plan)}",
        )
    progress.plot(work_dir / "curves.png")
    soup = average([fold.fitted for fold in folds])
    measured = _measure(collection, folds, soup, val=val, plan=plan)
    frozen = freeze_themes(
        soup, folded=folded, path=graph, plan=plan, temperature=measured.temperature
    )
    return Trained(frozen, measured)


def _fingerprint(collection: Collection, plan: Plan) -> str:
    names = [[photo.path.name for photo in part] for part in (collection.train, collection.val)]
    content = json.dumps(
        [
            names,
            plan.first_block,
            plan.plain_variants,
            plan.augmented_variants,
            plan.side_px,
            plan.seed,
        ]
    )
    return hashlib.sha256(content.encode()).hexdigest()


def _recipe_key(plan: Plan) -> str:
    return hashlib.sha256(json.dumps(asdict(plan)).encode()).hexdigest()[:12]


def _cache_activations(
    cache: Cache, collection: Collection, *, plan: Plan, progress: Progress
) -> tuple[list[Activations], Activations]:
    count = plan.plain_variants + plan.augmented_variants
    total = count * len(collection.train) + len(collection.val)
    advance = progress.start("photos through the lower blocks", total)
    val = cache.measured("val", collection.val, seed=plan.seed + 1000, advance=advance)
    variants = []
    for index in range(count):
        make = cache.measured if index < plan.plain_variants else cache.augmented
        seed = plan.seed + index
        variants.append(make(f"train-{index}", collection.train, seed=seed, advance=advance))
    return variants, val


def _labels(photos: Sequence[Photo]) -> NDArray[np.int64]:
    return np.array([photo.labels[0] for photo in photos], np.int64)


def _fit_folds(
    collection: Collection,
    variants: Sequence[Activations],
    *,
    folded: mobilenet.Folded,
    plan: Plan,
    progress: Progress,
    checkpoints: Path,
) -> list[Fold]:
    labels = _labels(collection.train)
    sources = [photo.source for photo in collection.train]
    fold_of = assign_folds(labels, sources, folds=plan.folds)
    head = initial_head(folded, read_class_table(collection.labels))
    checkpoints.mkdir(parents=True, exist_ok=True)
    folds = []
    for number in range(plan.folds):
        saved = checkpoints / f"fold-{number}.pickle"
        if saved.is_file():
            folds.append(pickle.loads(saved.read_bytes()))
            continue
        kept = np.flatnonzero(fold_of != number)
        weights = np.zeros(len(labels))
        weights[kept] = sampling_weights(
            labels[kept], [sources[row] for row in kept], balance=plan.balance
        )
        table = Table(
            [variant.blocks for variant in variants],
            [variant.class_scores for variant in variants],
            labels,
            weights,
        )
        fitting = Fitting(
            plan.recipe,
            first_block=plan.first_block,
            folded=folded,
            head=head,
            side_px=plan.side_px,
        )
        steps = fitting.count_steps(table)
        report = progress.start_steps(f"fold {number + 1} of {plan.folds}", steps)
        fitted = fitting.run(table, report)
        rows = np.flatnonzero(fold_of == number)
        logits, _ = predict(
            fitted, variants[0].blocks[rows], first_block=plan.first_block, side_px=plan.side_px
        )
        folds.append(Fold(fitted, rows, logits))
        write_atomically(saved, pickle.dumps(folds[-1]))
    return folds


def average(fits: Sequence[Fitted]) -> Fitted:
    """Give the network whose every weight is the mean over ``fits``."""

    def mean(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.asarray(np.mean(np.stack(arrays), axis=0), np.float32)

    blocks = {
        name: (
            mean([fit.blocks[name][0] for fit in fits]),
            mean([fit.blocks[name][1] for fit in fits]),
        )
        for name in fits[0].blocks
    }
    head = mean([fit.head[0] for fit in fits]), mean([fit.head[1] for fit in fits])
    return Fitted(blocks, head)


def _measure(
    collection: Collection, folds: Sequence[Fold], soup: Fitted, *, val: Activations, plan: Plan
) -> Measured:
    labels = _labels(collection.train)
    sources = [photo.source for photo in collection.train]
    count = len(collection.labels)
    left_out = np.zeros((len(labels), count), np.float32)
    for fold in folds:
        left_out[fold.rows] = fold.logits
    balance = sampling_weights(labels, sources, balance=1.0)
    temperature = fit_temperature(left_out, labels, balance)
    logits, _ = predict(soup, val.blocks, first_block=plan.first_block, side_px=plan.side_px)
    return Measured(
        pairs=score_pairs(softmax(left_out), labels, sources),
        temperature=temperature,
        left_out_logits=left_out,
        val_probabilities=softmax(logits / np.float32(temperature)),
        val_labels=_labels(collection.val),
    )


def build_network(
    fitted: Fitted, *, folded: mobilenet.Folded, plan: Plan, temperature: float
) -> Callable[[Any], Any]:
    """Join lower blocks, fitted blocks and head: RGB 0-255 ``[n, 224, 224, 3]`` to probabilities.

    Scaling to -1..1 and the temperature are folded into weights, so they cost nothing.
    """
    import tensorflow as tf

    lower = mobilenet.build_blocks(0, plan.first_block - 1, side_px=plan.side_px)
    upper = mobilenet.build_blocks(plan.first_block, mobilenet.LAST_BLOCK, side_px=plan.side_px)
    mobilenet.set_weights(lower, folded)
    mobilenet.set_weights(upper, fitted.blocks)
    kernel = tf.constant(fitted.head[0] / np.float32(temperature))
    bias = tf.constant(fitted.head[1] / np.float32(temperature))

    def network(pixels: Any) -> Any:
        features = tf.reduce_mean(upper(lower(pixels / 127.5 - 1.0)), [1, 2])
        return tf.nn.softmax(tf.matmul(features, kernel) + bias)

    return network


def freeze_themes(
    fitted: Fitted, *, folded: mobilenet.Folded, path: Path, plan: Plan, temperature: float
) -> FrozenGraph:
    """Write the graph: placeholder ``image``, output ``probabilities``."""
    network = build_network(fitted, folded=folded, plan=plan, temperature=temperature)
    shape = (None, plan.side_px, plan.side_px, 3)
    return freeze_network(network, path, input_shape=shape, input_name="image")
