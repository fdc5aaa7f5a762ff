"""What the terminal and the report say of figures: every number in its own column."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dsapi.evaluation.comparison import Comparison
from dsapi.evaluation.evaluation import Evaluation
from dsapi.evaluation.figures import (
    AnyFigures,
    Confusion,
    LabelFigures,
    MultiLabelFigures,
    SingleLabelFigures,
)
from dsapi.evaluation.tables import (
    format_percent,
    tabulate_comparison,
    tabulate_confusions,
    tabulate_labels,
    tabulate_overview,
)
from dsapi.prediction.model import Model

LABELS = (
    LabelFigures("a", 4, precision=0.5, recall=0.75, average_precision=0.625),
    LabelFigures("b", 0, precision=0.0, recall=None, average_precision=None),
    LabelFigures("c", 2, precision=None, recall=0.0, average_precision=0.25),
)
CONFUSIONS = (Confusion("c", "a", 2, 1.0), Confusion("a", "b", 1, 0.25))
SINGLE = SingleLabelFigures(
    place="center",
    count=6,
    photos=6,
    calibration_error=0.1234,
    labels=LABELS,
    bins=(),
    top1=0.5,
    top5=0.9,
    balanced_top1=0.375,
    mean_probability=0.8,
    confusions=CONFUSIONS,
)
MULTI = MultiLabelFigures(
    place="random",
    count=6,
    photos=2,
    calibration_error=0.05,
    labels=LABELS,
    bins=(),
    exact=0.1,
    micro_f1=0.2,
    macro_f1=0.3,
    mean_average_precision=0.4,
)
COMPARISON = Comparison(
    place="center",
    accuracy=0.5,
    other_accuracy=0.625,
    difference=0.125,
    interval=(-0.02, 0.27),
    only_first_right=3,
    only_other_right=7,
    p_value=0.34375,
)


@pytest.fixture
def evaluated(load_tiny: Callable[[str], Model]) -> Callable[..., Evaluation]:
    """Make an evaluation of figures alone."""
    model = load_tiny("colors")

    def make(figures: AnyFigures, threshold: float | None = None) -> Evaluation:
        return Evaluation(
            model,
            model,
            photos=(),
            unreadable=(),
            threshold=threshold,
            answers={},
            figures=(figures,),
            comparisons=(COMPARISON,),
        )

    return make


def test_the_overview_of_one_label_a_photo(evaluated: Callable[..., Evaluation]) -> None:
    table = tabulate_overview(evaluated(SINGLE))
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "place": "center",
        "answers": "6",
        "top-1": "50.0%",
        "top-5": "90.0%",
        "balanced": "37.5%",
        "sure": "80.0%",
        "calibration error": "0.123",
    }


def test_the_overview_of_several_labels_a_photo(evaluated: Callable[..., Evaluation]) -> None:
    table = tabulate_overview(evaluated(MULTI, 0.25))
    assert table.title.endswith("answered from 0.25 on")
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "place": "random",
        "answers": "6",
        "mAP": "40.0%",
        "micro F1": "20.0%",
        "macro F1": "30.0%",
        "exact": "10.0%",
        "calibration error": "0.050",
    }


@pytest.mark.parametrize(("threshold", "right"), [(None, "top-1"), (0.5, "exact")])
def test_a_comparison_tells_what_the_other_gains(
    evaluated: Callable[..., Evaluation], threshold: float | None, right: str
) -> None:
    table = tabulate_comparison(evaluated(SINGLE, threshold))
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "place": "center",
        right: "50.0%",
        "other": "62.5%",
        "gain": "+12.5",
        "95 % interval": "-2.0 to +27.0",
        "first : other": "3 : 7",
        "McNemar p": "0.3438",
    }


def test_no_difference_is_told_to_be_impossible(evaluated: Callable[..., Evaluation]) -> None:
    evaluation = replace(evaluated(SINGLE), comparisons=(replace(COMPARISON, p_value=1.1e-16),))
    assert tabulate_comparison(evaluation).rows[0][-1] == "< 0.0001"


def test_labels_that_photos_show_are_told_worst_recall_first() -> None:
    table = tabulate_labels(SINGLE)
    assert table.columns == ("label", "answers", "precision", "recall", "AP")
    assert table.rows == (
        ("c", "2", "–", "0.0%", "25.0%"),
        ("a", "4", "50.0%", "75.0%", "62.5%"),
    )


def test_the_worst_confusions_are_told_where_there_are_any() -> None:
    table = tabulate_confusions(SINGLE, most=1)
    assert table is not None
    assert table.rows == (("c → a", "2", "100.0%"),)
    assert tabulate_confusions(MULTI, most=1) is None


def test_a_share_of_nothing_is_a_dash() -> None:
    assert [format_percent(share) for share in (None, 0.0, 0.99951)] == ["–", "0.0%", "100.0%"]
