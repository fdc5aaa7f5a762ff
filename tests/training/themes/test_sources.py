import numpy as np
import pytest

from dsapi.training.themes.sources import (
    assign_folds,
    mean_of_pairs,
    sampling_weights,
    score_pairs,
)


def test_a_source_is_left_out_as_a_whole() -> None:
    labels = np.repeat([0, 0, 1, 1], 30)
    sources = [name for name in ("a", "b", "a", "c") for _ in range(30)]
    folds = assign_folds(labels, sources, folds=2)
    for name in "abc":
        assert len({int(f) for f, s in zip(folds, sources, strict=True) if s == name}) == 1
    assert set(folds.tolist()) == {0, 1}


def test_sources_of_one_theme_go_to_different_folds() -> None:
    labels = np.repeat([0, 0, 1, 1], 30)
    sources = [name for name in "abcd" for _ in range(30)]
    folds = assign_folds(labels, sources, folds=2)
    assert folds[0] != folds[30]
    assert folds[60] != folds[90]


def test_full_balance_makes_sources_and_labels_equal() -> None:
    labels = np.array([0] * 9 + [0] + [1] * 5)
    sources = ["big"] * 9 + ["small"] + ["other"] * 5
    weights = sampling_weights(labels, sources, balance=1.0)
    assert weights[:9].sum() == pytest.approx(0.25)
    assert weights[9] == pytest.approx(0.25)
    assert weights[10:].sum() == pytest.approx(0.5)


def test_no_balance_leaves_the_photos_of_a_label_equal() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = sampling_weights(labels, ["a", "a", "b", "c"], balance=0.0)
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_only_pairs_with_enough_photos_here_and_elsewhere_count() -> None:
    labels = np.zeros(200, np.int64)
    sources = ["big"] * 130 + ["fair"] * 50 + ["tiny"] * 20
    probabilities = np.tile(np.float32([0.9, 0.05, 0.04, 0.03, 0.02, 0.01]), (200, 1))
    probabilities[130:155] = probabilities[130:155, ::-1]
    pairs = score_pairs(probabilities, labels, sources)
    assert [(pair.source, pair.top1) for pair in pairs] == [("fair", 0.5)]
    assert mean_of_pairs(pairs) == (0.5, 0.5)
