"""The card of the color graph: data, command, figures, limits.

Enters: what a training wrote and measured. Leaves: ``colorClassifier.md``. Called by
``dsapi train colors``.
"""

from __future__ import annotations

from pathlib import Path

from dsapi.cores import count_cores
from dsapi.training.colors.figures import ColorFigures
from dsapi.training.colors.settings import ColorTraining
from dsapi.training.freezing import FrozenGraph, write_atomically

_CARD = """\
# colorClassifier.pb

Names the color of nine by nine pixels: 18 labels, `labels/colors.txt`. A GRU reads the patch row
by row; the conversion to CIELAB is in the graph.

| | |
|---|---|
| input | `patch:0`, float32 `[n, 9, 9, 3]`, RGB 0–255 |
| output | `probabilities:0`, float32 `[n, 18]`, rows sum to 1 |
| size | {size_kb:.0f} kB, float32 |
| SHA-256 | `{sha256}` |

## Data
The xkcd color survey as binned by StanfordHCI/c3 (`c3_data.json`: 8325 CIELAB bins, 153 terms,
2.7 million answers), its terms folded onto the labels by the table in
`dsapi/training/colors/names.py`. From it {patches:,} patches were generated: plain and textured
colors, edges between two, metals, black & white, multi-colored, photographed with changing
exposure, white balance, blur, noise, contrast, sharpening and JPEG. No photo was used.
The answers are kept as shares, so the probabilities are those of people's answers.

One fifth of all colors, whole cubes of CIELAB 15 units wide, was kept out of training for the
figures below.

## Training
    dsapi train colors --data DIR --patches {patches} --epochs {epochs} --seed {seed}

took {minutes:.1f} minutes (cores: {cores}). `DIR` holds `c3_data.json`.

## Figures
All measured on the frozen file through the server's engine, on colors kept out of training.

| figure | value | bar |
|---|---|---|
| agreement with the majority name, plain colors, {bins} held-out bins with a clear majority | \
{top1:.1%} | ≥ 85 % |
| majority name among the first five | {top5:.1%} | ≥ 99 % |
| lowest recall of a label, patches of a separately written generator | {worst:.1%} \
({worst_label}) | ≥ 75 % |
| top label kept at JPEG quality 60, same patches | {jpeg:.1%} | ≥ 95 % |
| patches and plain colors that become white by darkening | {whitened} | 0 |
| expected calibration error, newly generated patches | {ece:.3f} | |

| label | recall |
|---|---|
{recall}

## Limits
- Nine by nine pixels carry no context: a white wall in deep shade is gray to this graph, and
  polished metal that mirrors nothing is called by its plain color.
- The survey asked English speakers in front of monitors. Between labels (teal, peach, khaki)
  people disagree, and the probabilities say so.
- The survey knows no metals, no black & white and no multi-colored: what these look like comes
  from the generator alone.
"""


def write_card(
    path: Path,
    *,
    graph: FrozenGraph,
    figures: ColorFigures,
    settings: ColorTraining,
    minutes: float,
) -> None:
    """Write the card beside the graph."""
    worst = min(figures.recall, key=lambda label: figures.recall[label])
    text = _CARD.format(
        size_kb=graph.size_bytes / 1000,
        sha256=graph.sha256,
        patches=settings.patches,
        epochs=settings.epochs,
        seed=settings.seed,
        minutes=minutes,
        cores=count_cores(),
        bins=figures.plain_bins,
        top1=figures.plain_top1,
        top5=figures.plain_top5,
        worst=figures.recall[worst],
        worst_label=worst,
        jpeg=figures.jpeg_kept,
        whitened=figures.whitened,
        ece=figures.calibration_error,
        recall="\n".join(f"| {label} | {share:.1%} |" for label, share in figures.recall.items()),
    )
    write_atomically(path, text.encode())
