from pathlib import Path

import numpy as np

from dsapi.training.calibration import (
    expected_calibration_error,
    fit_temperature,
    softmax,
)
from dsapi.training.themes.class_table import (
    describe_gaps,
    learn_shares,
    read_class_table,
    score_themes,
)

TEDDY, TABBY = 850, 281
LABELS = Path(__file__).parents[3] / "labels" / "themes.txt"


def test_the_table_names_only_labels_there_are() -> None:
    labels = LABELS.read_text("utf-8").splitlines()
    table = read_class_table(labels)
    assert table.shape == (1000, 42)
    assert table[TEDDY].nonzero()[0].tolist() == [labels.index("Toys")]
    assert table[TABBY].nonzero()[0].tolist() == [labels.index("Pets")]
    assert (table.sum(axis=1) > 0).sum() > 850


def test_labels_that_the_table_does_not_know_are_warned_of_where_they_are_most() -> None:
    assert describe_gaps(LABELS.read_text("utf-8").splitlines()) is None
    assert describe_gaps(("Toys", "Pets", "toys")) is None
    told = describe_gaps(("Toys", "pets", "shoes"))
    assert told is not None
    assert "2 of 3 labels are no theme of imagenet_themes.yaml, such as 'pets'" in told


def test_photos_correct_the_table() -> None:
    table = np.zeros((1000, 2), np.float32)
    table[TEDDY, 0] = 1
    groups = np.zeros((50, 1000), np.float32)
    groups[:, TEDDY] = 1
    labels = np.ones(50, np.int64)
    weights = np.full(50, 1 / 50)
    before = learn_shares(table, groups, labels, weights=weights, prior=1e9)
    after = learn_shares(table, groups, labels, weights=weights, prior=10)
    assert before[TEDDY, 0] > 0.99
    assert after[TEDDY, 1] > 0.8
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)


def test_a_sure_class_scores_its_theme_highest() -> None:
    shares = np.full((1000, 3), 1 / 3, np.float32)
    shares[TABBY] = (0.0, 1.0, 0.0)
    scores = np.zeros((1, 1000), np.float32)
    scores[0, TABBY] = 30
    assert score_themes(scores, shares).argmax() == 1


def test_the_temperature_undoes_too_much_confidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 5)).astype(np.float32)
    chances = softmax(logits)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in chances.astype(float)])
    sharp = (logits * 3).astype(np.float32)
    assert 2.6 < fit_temperature(sharp, labels) < 3.4
    assert expected_calibration_error(chances, labels) < 0.03
    assert expected_calibration_error(softmax(sharp), labels) > 0.15
