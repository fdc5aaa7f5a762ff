"""The mistakes of a report are shown as a person sees them, with point and crop in that frame."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsapi.evaluation.answers import Questions
from dsapi.evaluation.evaluation import evaluate_model
from dsapi.evaluation.photos import LabeledPhoto
from dsapi.evaluation.plots import plot_confusions
from dsapi.evaluation.report import write_report
from dsapi.prediction.model import Model
from dsapi.prediction.picture import Limits
from tests.graphs import COLOR_LABELS

LIMITS = Limits(max_pixels=1_000_000, working_side=2048)
RED, BLUE = (220, 30, 20), (20, 40, 210)
ORIENTATION = 0x0112


def save_phone_photo(path: Path) -> Path:
    """Red above, blue below, 40 × 60 when upright; stored on its side, as phones do."""
    upright = Image.new("RGB", (40, 60), RED)
    upright.paste(BLUE, (0, 30, 40, 60))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # "turn 90° clockwise to show"
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    return path


def test_labels_with_dollars_are_no_formulas() -> None:
    labels = ("a$\\frac$", "b$c$")
    assert "a$\\frac$" in plot_confusions(np.eye(2, dtype=np.int64), labels)


def test_a_photo_turned_by_exif_is_shown_upright_with_its_point_in_place(
    tmp_path: Path, load_tiny: Callable[[str], Model]
) -> None:
    photo = save_phone_photo(tmp_path / "phone.jpg")
    wrong = LabeledPhoto(photo, (COLOR_LABELS.index("red"),), (20, 50))
    evaluation = evaluate_model(
        load_tiny("colors"), [wrong], Questions(random_points=0, seed=1), limits=LIMITS
    )
    page = write_report(evaluation, tmp_path / "out", limits=LIMITS).read_text(encoding="utf-8")
    (encoded,) = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    (point,) = re.findall(r'<b style="left:([\d.]+)%;top:([\d.]+)%"', page)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as thumbnail:
        assert thumbnail.size == (40, 60)
        shown = thumbnail.getpixel(
            (int(float(point[0]) * 40 / 100), int(float(point[1]) * 60 / 100))
        )
    assert shown == pytest.approx(BLUE, abs=12)
