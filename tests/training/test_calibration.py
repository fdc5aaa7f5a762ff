"""Temperatures that make probabilities as sure as their answers are right."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dsapi.training.calibration import (
    expected_calibration_error,
    fit_temperature,
    label_calibration_error,
    softmax,
)
from dsapi.training.images.card import list_questions

# Of four answers three are right.
LABELS = np.array([0, 0, 0, 1])


def say(probability: float) -> NDArray[np.float32]:
    """Give logits of two labels for four answers, the first label with this probability."""
    return np.full((4, 2), (np.log(probability / (1 - probability)), 0), np.float32)


@pytest.mark.parametrize(
    ("said", "temperature"),
    [
        (0.9, 2.0),  # log 9 / log 3
        (0.75, 1.0),
        (0.6, 0.369),  # log 1.5 / log 3
        (0.9999, 5.0),
        (0.51, 0.2),
    ],
)
def test_who_is_too_sure_becomes_as_sure_as_it_is_right(said: float, temperature: float) -> None:
    assert fit_temperature(say(said), LABELS) == pytest.approx(temperature, rel=0.02)
    # A sigmoid is asked the same with one logit.
    asked = list_questions(say(said)[:, :1], 1 - LABELS[:, None].astype(np.float32), "sigmoid")
    assert fit_temperature(*asked) == pytest.approx(temperature, rel=0.02)


def test_photos_that_count_more_count_more_in_the_temperature() -> None:
    # The wrong one counts three times: as many wrong ones as right ones.
    assert fit_temperature(say(0.9), LABELS, np.array([1.0, 1, 1, 3])) == pytest.approx(5)
    # A third: nine of ten are right.
    assert fit_temperature(say(0.9), LABELS, np.array([1, 1, 1, 1 / 3])) == pytest.approx(1)


def test_the_calibration_error_is_how_far_it_is_from_as_sure_as_right() -> None:
    assert expected_calibration_error(softmax(say(0.9)), LABELS) == pytest.approx(0.15)
    assert expected_calibration_error(softmax(say(0.75)), LABELS) == pytest.approx(0, abs=1e-6)


def test_of_several_labels_each_has_a_calibration_error_of_its_own() -> None:
    probabilities = np.tile(np.array([0.9, 0.1], np.float32), (4, 1))
    shown = np.array([[True, False]] * 3 + [[False, False]])
    # The one is 0.15 too sure, the other 0.1.
    assert label_calibration_error(probabilities, shown) == pytest.approx(0.125)
