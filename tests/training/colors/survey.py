"""A tiny survey in the format of the real one, for tests: named corners, blurred into bins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dsapi.training.colors.names import fold_terms

# Lightness, a and b of what everybody calls so.
_ANCHORS = {
    "black": (5, 0, 0),
    "blue": (35, 40, -90),
    "brown": (35, 20, 30),
    "green": (55, -60, 55),
    "grey": (55, 0, 0),
    "beige": (88, 2, 15),
    "orange": (68, 45, 72),
    "pink": (75, 45, 0),
    "purple": (40, 60, -55),
    "red": (53, 78, 64),
    "white": (99, 0, 0),
    "yellow": (92, -12, 88),
}


def write_survey(folder: Path) -> Path:
    """Write ``c3_data.json`` with some 500 bins around the anchors into `folder`."""
    rng = np.random.default_rng(0)
    terms = sorted(fold_terms())
    lab, pairs = [], []
    for term, anchor in _ANCHORS.items():
        for shift in [np.zeros(3), *rng.normal(0, 11, (40, 3))]:
            pairs += [len(lab) * len(terms) + terms.index(term), 60]
            pairs += [len(lab) * len(terms) + terms.index("taupe"), 3]
            lab.append(5 * np.round((np.array(anchor) + shift) / 5))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "c3_data.json"
    colors = np.array(lab).ravel().tolist()
    path.write_text(json.dumps({"color": colors, "terms": terms, "T": pairs}))
    return path
