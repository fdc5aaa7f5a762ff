"""Ranking: best first, ties by index, nothing that is not a number."""

import numpy as np
import pytest

from dsapi.errors import ModelError
from dsapi.prediction.ranking import activate, rank_labels

LABELS = ("a", "b", "c", "d")


def rank(values: list[float], *, top: int = 5, min_probability: float = 0.0) -> list[str]:
    scores = np.array(values, np.float32)
    ranked = rank_labels(scores, LABELS, top=top, min_probability=min_probability)
    return [best.label for best in ranked]


def test_labels_come_best_first() -> None:
    assert rank([0.1, 0.4, 0.2, 0.3]) == ["b", "d", "c", "a"]


def test_ties_come_by_label_index() -> None:
    assert rank([0.25, 0.25, 0.25, 0.25]) == ["a", "b", "c", "d"]
    assert rank([0.1, 0.4, 0.1, 0.4]) == ["b", "d", "a", "c"]
    # So many that they are sorted in another way than a few.
    labels = tuple(f"{index:02}" for index in range(42))
    scores = np.tile(np.array([0.1, 0.4, 0.1], np.float32), 14)
    ranked = rank_labels(scores, labels, top=50, min_probability=0.0)
    best = [each.label for each in ranked]
    assert best == [*labels[1::3], *(label for label in labels if label not in labels[1::3])]


def test_only_the_top_and_only_the_probable_are_kept() -> None:
    assert rank([0.1, 0.4, 0.2, 0.3], top=2) == ["b", "d"]
    assert rank([0.1, 0.4, 0.2, 0.3], min_probability=0.2) == ["b", "d", "c"]
    assert rank([0.1, 0.4, 0.2, 0.3], min_probability=0.9) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_a_model_error(bad: float) -> None:
    with pytest.raises(ModelError, match="no probabilities"):
        rank([0.1, bad, 0.2, 0.3])


@pytest.mark.parametrize("bad", [3.7, 1.02, -0.02])
def test_scores_outside_of_0_to_1_are_a_model_error(bad: float) -> None:
    with pytest.raises(ModelError, match=r"no probabilities \(from .* to .*\)"):
        rank([0.1, bad, 0.2, 0.3])


def test_what_rounding_left_a_little_outside_is_put_inside() -> None:
    scores = np.array([1.009, -0.009, 1.003, 0.5], np.float32)
    ranked = rank_labels(scores, LABELS, top=5, min_probability=0.0)
    assert [(best.label, best.probability) for best in ranked] == [
        ("a", 1.0), ("c", 1.0), ("d", 0.5), ("b", 0.0),
    ]  # fmt: skip
    assert scores[0] > 1, "the caller's array is left as it is"


def test_the_scores_of_each_crop_become_probabilities_by_themselves() -> None:
    scores = np.array([[0, np.log(3)], [7, 7], [-900, -900], [900, -900]], np.float32)
    probabilities = activate(scores, "softmax")
    np.testing.assert_allclose(probabilities, [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [1, 0]])
    assert probabilities.dtype == np.float32


def test_each_label_of_a_sigmoid_is_probable_by_itself() -> None:
    scores = np.array([[0, np.log(3), -np.log(3)], [900, 900, -900]], np.float32)
    with np.errstate(all="raise"):
        probabilities = activate(scores, "sigmoid")
    np.testing.assert_allclose(probabilities, [[0.5, 0.75, 0.25], [1, 1, 0]], rtol=1e-6)
