"""The card beside the themes graph: what it was made from, how, how well it does, its limits.

Enters: a finished training. Leaves: Markdown. Called by ``dsapi train themes``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dsapi.evaluation.figures import find_hits
from dsapi.training.calibration import expected_calibration_error
from dsapi.training.photos import Collection
from dsapi.training.themes.fits import Plan
from dsapi.training.themes.sources import mean_of_pairs
from dsapi.training.themes.training import CALIBRATION_GOAL, Measured, Trained


@dataclass(frozen=True)
class Figures:
    """Shares of val photos, 0..1, one random point each."""

    top1: float
    top5: float
    calibration_error: float


def summarize(measured: Measured) -> Figures:
    """Compute the val figures."""
    first, among_five = find_hits(measured.val_probabilities, measured.val_labels)
    return Figures(
        float(first.mean()),
        float(among_five.mean()),
        expected_calibration_error(measured.val_probabilities, measured.val_labels),
    )


def worst_confusions(measured: Measured) -> list[tuple[tuple[int, int], int]]:
    """Give the ten commonest pairs (true label, answered label) on val and how often."""
    answered = measured.val_probabilities.argmax(axis=1)
    wrong = Counter(
        (int(true), int(said))
        for true, said in zip(measured.val_labels, answered, strict=True)
        if true != said
    )
    return sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:10]


def write_card(trained: Trained, collection: Collection, *, plan: Plan, weights: str) -> str:
    """Write the card as Markdown."""
    measured = trained.measured
    figures = summarize(measured)
    top1, top5 = mean_of_pairs(measured.pairs)
    sources = {photo.source for photo in collection.train}
    names = collection.labels
    confusions = "\n".join(
        f"| {names[true]} | {names[said]} | {times} |"
        for (true, said), times in worst_confusions(measured)
    )
    pairs = "\n".join(
        f"| {names[pair.label]} | {pair.source} | {pair.photos} "
        f"| {pair.top1:.0%} | {pair.top5:.0%} |"
        for pair in measured.pairs[:10]
    )
    return _CARD.format(
        version=trained.graph.version,
        size_mb=trained.graph.size_bytes / 1e6,
        labels=len(names),
        side=plan.side_px,
        train=len(collection.train),
        sources=len(sources),
        val=len(collection.val),
        weights=weights,
        plan=plan,
        recipe=plan.recipe,
        figures=figures,
        top1=top1,
        top5=top5,
        pair_count=len(measured.pairs),
        fusion=measured.fusion,
        temperature=_explain_temperature(measured),
        head_only=measured.head_only,
        confusions=confusions,
        pairs=pairs,
    )


def _explain_temperature(measured: Measured) -> str:
    used, abroad = measured.fusion.temperature, measured.left_out_temperature
    if used == abroad:
        return (
            f"The temperature, folded\ninto the weights, is {used:.2f}, as left-out sources ask "
            "for; val had no say in it."
        )
    return (
        f"The temperature, folded\ninto the weights, is {used:.2f}. Left-out sources ask for "
        f"{abroad:.2f}, it was lowered for an error\non val of {CALIBRATION_GOAL} or less: that "
        "error is not an independent figure, and photos\nunlike the training photos are answered "
        "too surely."
    )


_CARD = """\
# themeClassifier.pb

Says which of {labels} themes a part of a photo shows. Version `{version}`, {size_mb:.1f} MB,
float32.

- Input `image`: float32 `[n, {side}, {side}, 3]`, RGB 0-255; scaling is inside the graph.
  Crop as the server does: 80 % of width and height around the point, shifted inside, stretched
  with Pillow's bilinear filter.
- Output `probabilities`: float32 `[n, {labels}]`, in the order of `labels/themes.txt`; sum 1.
- Network: EfficientNet-Lite0 at {plan.inner_px} pixels (the graph shrinks its input), blocks
  {plan.first_block} to 15 and head fine-tuned, the others as pretrained; beside the head,
  {plan.class_groups} groups of ImageNet classes speak for themes through a table.

## Data

{train} photos from {sources} sources to learn from, {val} to measure with, short side 160 pixels or
less, labels from folder names. Starting weights: `{weights}`
(ImageNet, Apache-2.0). The photos are not part of the product.

## Command

    dsapi train themes --data DIR

{plan.folds} networks, each trained for {recipe.epochs} epochs without a part of the sources;
their mean is trained for {plan.last_recipe.epochs} more epochs on all of them,
{plan.last_fits} times. The mean of these is moved back to the pretrained weights by
{plan.pretrained_share:.0%} and given a head of which half is a ridge regression's.
Seed {plan.seed}.

## Figures

| measured on | top-1 | top-5 |
|---|---|---|
| val, 80 % crop at the training's random points | {figures.top1:.1%} | {figures.top5:.1%} |
| left-out sources, mean over {pair_count} theme-source pairs | {top1:.1%} | {top5:.1%} |
| the same, without the class table | {head_only[0]:.1%} | {head_only[1]:.1%} |

`dsapi evaluate` draws other points. The left-out figures are those of the folds' networks; the
delivered one has seen every source and cannot be measured so. Expect something near
them on photos of your users.

Expected calibration error on val: {figures.calibration_error:.3f} (15 bins). {temperature}
The class table counts {fusion.share_weight:.1f}.

Worst confusions on val:

| shows | answered | photos |
|---|---|---|
{confusions}

Worst left-out pairs:

| theme | source left out | photos | top-1 | top-5 |
|---|---|---|---|---|
{pairs}

## Limits

- Themes overlap: Sunsets with Beach & Ocean and Sky & Weather, City & Street and Travel &
  Landmarks with Architecture. Look at the top 5, not only the first.
- Some themes were seen from few sources: Tattoos, Bicycles, Film & Posters, Books, Illustration.
- There is no "none of these": a photo of something else gets the nearest theme, with a lower
  probability at best.
- Small and blurred originals were common in training; very fine detail is not used.
- Folder labels were not checked one by one. Not for decisions about people.
"""
