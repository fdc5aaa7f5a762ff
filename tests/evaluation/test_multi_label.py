"""Photos of several labels or none: what is found of them, on graphs whose answers are known."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.evaluation.answers import Answers, Questions
from dsapi.evaluation.evaluation import Evaluation, evaluate_model
from dsapi.evaluation.figures import MultiLabelFigures, measure_multi_label
from dsapi.evaluation.photos import read_photos
from dsapi.evaluation.report import write_report
from dsapi.prediction.model import Model, load_model
from dsapi.prediction.picture import Limits
from tests.evaluation.conftest import save_plain
from tests.graphs import freeze_constant

LIMITS = Limits(max_pixels=1_000_000, working_side=2048)
QUESTIONS = Questions(random_points=0, seed=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four photos: three have red, two green, two blue, one nothing."""
    for name in ("a", "b", "c", "d"):
        save_plain(tmp_path / f"{name}.png", "red")
    table = tmp_path / "photos.csv"
    table.write_text("file,labels\na.png,red|blue\nb.png,red|green\nc.png,\nd.png,red|green|blue\n")
    return table


def load_constant(model: Model, graph: Path, scores: list[float]) -> Model:
    """The model with a graph that says the same of each photo."""
    spec = model.spec.model_copy(update={"graph": freeze_constant(graph, scores)})
    return load_model(model.name, spec, engine=model.engine)


@pytest.fixture
def red_and_blue(load_tiny: Callable[[str], Model], tmp_path: Path) -> Model:
    return load_constant(load_tiny("colors"), tmp_path / "constant.pb", [0.9, 0.2, 0.7])


def evaluate(model: Model, table: Path, *, against: Model | None = None) -> Evaluation:
    photos = read_photos(table, model.labels)
    return evaluate_model(model, photos, QUESTIONS, limits=LIMITS, against=against)


def test_labels_are_counted_each_by_itself(red_and_blue: Model, table: Path) -> None:
    evaluation = evaluate(red_and_blue, table)
    (center,) = evaluation.figures
    assert isinstance(center, MultiLabelFigures)
    assert (evaluation.threshold, center.place, center.count) == (0.5, "center", 4)
    red, green, blue = center.labels
    assert (red.count, red.precision, red.recall) == (3, 3 / 4, 1)
    assert (green.count, green.precision, green.recall) == (2, None, 0)
    assert (blue.count, blue.precision, blue.recall) == (2, 2 / 4, 1)
    assert center.exact == 1 / 4
    # 8 labels were answered, 7 are right, 5 are both.
    assert center.micro_f1 == pytest.approx(2 * 5 / (8 + 7))
    assert center.macro_f1 == pytest.approx(np.mean([2 * 3 / (4 + 3), 0, 2 * 2 / (4 + 2)]))
    # What has the same probability for each photo cannot be ranked: the share of its photos.
    assert center.mean_average_precision == pytest.approx(np.mean([3 / 4, 2 / 4, 2 / 4]))
    # The labels' probabilities 0.9, 0.2 and 0.7 against 3, 2 and 2 of 4.
    assert center.calibration_error == pytest.approx(np.mean([0.15, 0.3, 0.2]), abs=1e-6)


def test_callers_are_told_labels_from_the_minimum_probability_on(
    red_and_blue: Model, table: Path
) -> None:
    spec = red_and_blue.spec.model_copy(update={"min_probability": 0.8})
    evaluation = evaluate(replace(red_and_blue, spec=spec), table)
    assert evaluation.threshold == 0.8
    assert [each.recall for each in evaluation.figures[0].labels] == [1, 0, 0]


def test_a_label_counts_as_answered_from_the_threshold_on(
    load_tiny: Callable[[str], Model], tmp_path: Path, table: Path
) -> None:
    # As callers are told it.
    model = load_constant(load_tiny("colors"), tmp_path / "g.pb", [0.5, 0.25, 0.75])
    assert evaluate(model, table).answers["center"].said.tolist() == [[True, False, True]] * 4


def test_labels_that_no_photo_shows_do_not_count_in_the_mean() -> None:
    probabilities = np.array([[0.9, 0.8], [0.9, 0.1]], np.float32)
    answers = Answers(
        "center",
        probabilities,
        probabilities > 0.5,
        np.array([[True, False], [True, False]]),
        photo=np.zeros(2, int),
        entry=np.arange(2),
        points=np.zeros((2, 2), int),
    )
    figures = measure_multi_label(answers, ("a", "b"))
    assert (figures.macro_f1, figures.mean_average_precision) == (1, 1)
    assert figures.micro_f1 == pytest.approx(2 * 2 / (3 + 2))
    assert figures.exact == 0.5
    assert (figures.count, figures.photos) == (2, 1)


def test_the_average_precision_is_the_area_under_precision_over_recall() -> None:
    probabilities = np.array([[0.9], [0.8], [0.7], [0.6]], np.float32)
    truth = np.array([[True], [False], [True], [False]])
    answers = Answers(
        "center",
        probabilities,
        probabilities > 0.5,
        truth,
        photo=np.arange(4),
        entry=np.arange(4),
        points=np.zeros((4, 2), int),
    )
    figures = measure_multi_label(answers, ("a",))
    assert figures.labels[0].average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_photos_without_any_label_have_figures_too(red_and_blue: Model, table: Path) -> None:
    table.write_text("file,labels\na.png,\nb.png,\n")
    (center,) = evaluate(red_and_blue, table).figures
    assert isinstance(center, MultiLabelFigures)
    assert (center.exact, center.micro_f1, center.macro_f1) == (0, 0, 0)
    assert center.mean_average_precision == 0


def test_two_graphs_differ_by_the_photos_whose_labels_are_exactly_right(
    red_and_blue: Model, table: Path, tmp_path: Path
) -> None:
    nothing = load_constant(red_and_blue, tmp_path / "nothing.pb", [0.1, 0.2, 0.3])
    (found,) = evaluate(red_and_blue, table, against=nothing).comparisons
    # One photo is exactly red and blue, another shows nothing.
    assert (found.accuracy, found.other_accuracy) == (1 / 4, 1 / 4)
    assert (found.only_first_right, found.only_other_right, found.p_value) == (1, 1, 1.0)


def test_the_report_shows_what_was_missed_and_what_was_too_much(
    red_and_blue: Model, table: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(red_and_blue, table)
    page = write_report(evaluation, tmp_path / "out", limits=LIMITS).read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "Confusion" not in page
    # Three photos are wrong; that without a label is the worst, as red was sure.
    mistakes = page[page.index("Surest mistakes") :]
    assert mistakes.count("<figcaption>red 90.0%, blue 70.0%<br>") == 3
    assert mistakes.index("right: –<br>") < mistakes.index("right: red 90.0%, green 20.0%<br>")


def test_the_command_measures_a_table_with_several_labels(table: Path, tiny_config: Path) -> None:
    options = ["evaluate", "colors", "--data", str(table), "--config", str(tiny_config)]
    tables = CliRunner().invoke(app, options, catch_exceptions=False)
    assert tables.exit_code == 0, tables.output
    for expected in ("several labels a photo", "mAP", "micro F1", "exact", "recall"):
        assert expected in tables.output
    as_json = CliRunner().invoke(app, [*options, "--json"], catch_exceptions=False)
    summary = json.loads(as_json.stdout)
    assert summary["threshold"] == 0.5
    # The tiny graph says red of all: one label a photo, which is never all of them.
    assert [each["exact"] for each in summary["figures"]] == [0.0, 0.0]
    assert [each["count"] for each in summary["figures"][0]["labels"]] == [3, 2, 2]
