"""A tiny labeled set: plain pictures of three colors, some under the wrong label."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dsapi.prediction.model import Model, load_model
from dsapi.settings import load_settings

_COLORS = {"red": (220, 30, 20), "green": (30, 200, 40), "blue": (20, 40, 210)}


def save_plain(path: Path, color: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), _COLORS[color]).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos: four a label, but one of the greens shows blue."""
    folder = tmp_path / "photos"
    for label in _COLORS:
        for number in range(4):
            shown = "blue" if (label, number) == ("green", 0) else label
            save_plain(folder / label / f"{number}.png", shown)
    return folder


@pytest.fixture
def load_tiny(tiny_config: Path) -> Callable[[str], Model]:
    """Load a model of the tiny configuration."""
    settings = load_settings(tiny_config)
    return lambda name: load_model(name, settings.models[name], engine=settings.engine)
