"""The mistakes of a report are shown as a person sees them, with point and crop in that frame."""

import base64
import io
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsapi.evaluation.answers import Questions
from dsapi.evaluation.evaluation import evaluate_model
from dsapi.evaluation.figures import LabelFigures
from dsapi.evaluation.photos import LabeledPhoto
from dsapi.evaluation.plots import plot_confusions, plot_labels
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
    assert "a$\\frac$" in plot_confusions(np.eye(2, dtype=np.int64), labels).svg


def test_labels_of_all_scripts_are_plotted_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "日本の花" in plot_confusions(np.eye(2, dtype=np.int64), ("日本の花", "b")).svg


def test_long_labels_leave_room_for_the_plots() -> None:
    label = "a label of so many words that nothing but it would be seen"
    svg = plot_confusions(np.eye(2, dtype=np.int64), (label, "short")).svg
    assert "a label of so many words that…" in svg
    assert label not in svg
    assert "that… (3)" in plot_labels([LabelFigures(label, 3, 1.0, 1.0, 1.0)]).svg


def test_of_many_labels_the_most_confused_are_plotted() -> None:
    matrix = 9 * np.eye(70, dtype=np.int64)
    matrix[:10, 69] = 5
    labels = [f"label {number:02}" for number in range(70)]
    plot = plot_confusions(matrix, labels)
    assert plot.title == "Confusion matrix of the 60 most confused labels of 70"
    shown = {name for name in labels if name in plot.svg}
    assert len(shown) == 60
    assert {*labels[:10], "label 69"} <= shown
    assert plot_confusions(matrix[:42, :42], labels[:42]).title == "Confusion matrix"
    recalls = [LabelFigures(name, 1, 1.0, place / 70, 1.0) for place, name in enumerate(labels)]
    bars = plot_labels(recalls)
    assert bars.title == "Per label, the 60 of the worst recall of 70"
    assert {name for name in labels if name in bars.svg} == set(labels[:60])


def test_labels_that_no_photo_shows_have_no_bars() -> None:
    seen, unseen = LabelFigures("seen", 3, 1.0, 1.0, 1.0), LabelFigures("unseen", 0, None, None, 0)
    svg = plot_labels([seen, unseen]).svg
    assert "seen (3)" in svg
    assert "unseen" not in svg


def test_a_confusion_matrix_shows_shares_of_the_right_label_and_is_drawn_alike_each_time() -> None:
    matrix = np.array([[3, 0], [1, 0]])  # all are taken for the first
    plot = plot_confusions(matrix, ("first", "second"))
    assert plot == plot_confusions(matrix, ("first", "second"))
    encoded = re.findall(r"data:image/png;base64,\s*([^\"]+)", plot.svg)[0]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        drawn = picture.convert("RGB")
    left, right = drawn.width // 4, drawn.width * 3 // 4
    upper, lower = drawn.height // 4, drawn.height * 3 // 4
    assert drawn.getpixel((left, upper)) == drawn.getpixel((left, lower))
    assert drawn.getpixel((right, upper)) == drawn.getpixel((right, lower))
    assert drawn.getpixel((left, upper)) != drawn.getpixel((right, upper))


@pytest.mark.parametrize("count", [60, 500])
def test_the_memory_of_plots_does_not_grow_with_the_number_of_labels(count: int) -> None:
    code = f"""
import resource
import numpy as np
from dsapi.evaluation.figures import LabelFigures
from dsapi.evaluation.plots import plot_confusions, plot_labels
plot_confusions(np.eye(2, dtype=np.int64), ("a", "b"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
matrix = np.random.default_rng(0).integers(0, 9, ({count}, {count}))
print(len(plot_confusions(matrix, [f"label {{n}}" for n in range({count})]).svg))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    svg_bytes, more_kib = map(int, run.stdout.split())
    assert svg_bytes < 1_000_000
    assert more_kib < 50 * 1024


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
    (crop,) = re.findall(
        r'<i style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%"', page
    )
    # 9 × 9 of 40 × 60 pixels, from (16, 46) on.
    assert [float(each) for each in crop] == pytest.approx([40, 76.667, 22.5, 15], abs=0.01)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as thumbnail:
        assert thumbnail.size == (40, 60)
        shown = thumbnail.getpixel(
            (int(float(point[0]) * 40 / 100), int(float(point[1]) * 60 / 100))
        )
    assert shown == pytest.approx(BLUE, abs=12)


def test_the_surest_mistakes_come_first_one_a_photo_and_forty_at_most(
    tmp_path: Path, load_tiny: Callable[[str], Model]
) -> None:
    model = load_tiny("colors")
    # None is green: the redder, the surer; where two are strong, it is sure of "not green" only.
    colors = [(255, 0, 250)] + [(100 + 3 * number, 0, 0) for number in range(1, 43)]
    photos = []
    for number, color in enumerate(colors):
        path = tmp_path / f"photos/{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 10), color).save(path)
        photos.append(LabeledPhoto(path, (COLOR_LABELS.index("green"),)))
    evaluation = evaluate_model(model, photos, Questions(random_points=2, seed=1), limits=LIMITS)
    photos[40].path.unlink()  # gone meanwhile: it has no thumbnail then
    page = write_report(evaluation, tmp_path / "out", limits=LIMITS).read_text(encoding="utf-8")
    _, *places = page.split("Surest mistakes")
    for shown in places:
        listed = re.findall(r"<br>photos/(\d+)\.png</figcaption>", shown)
        assert [int(each) for each in listed] == list(range(42, 2, -1))
        assert shown.count('src="data:image/jpeg') == 39
    assert len(places) == 2
