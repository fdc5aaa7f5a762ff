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
        batch: patches per step.
        learning_rate: at the start; it falls to a hundredth along a cosine.
        per_label: patches per label for the recall figures.
        seed: of everything random.
    """

    survey: Path
    models: Path = Path("models")
    labels: Path = Path("labels")
    work: Path = Path("var/train-colors")
    patches: int = 262_144
    epochs: int = 12
    batch: int = 256
    learning_rate: float = 3e-3
    per_label: int = 500
    seed: int = 2026
