"""What one training of the color network does and where its results go.

Called by the command line, the training and its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ColorTraining:
    """What to train and where it goes.

    Attributes:
        survey: the file ``c3_data.json``.
        models: folder of graph and card.
        labels: folder of ``colors.txt``.
        work: folder of checkpoint and curves; a run that was cut goes on from there.
        patches: how many to generate, a sixteenth of them for validation.
        epochs: passes over them.
        seed: of everything random.
        batch: patches per step.
        learning_rate: at the start; it falls to a hundredth along a cosine.
        per_label: patches per label for the recall figures.
    """

    survey: Path
    models: Path
    labels: Path
    work: Path
    patches: int
    epochs: int
    seed: int
    batch: int = 256
    learning_rate: float = 3e-3
    per_label: int = 500
