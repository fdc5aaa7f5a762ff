"""The head by least squares."""

import numpy as np

from dsapi.training.themes.ridge import SCALE, fit_ridge_head

RNG = np.random.default_rng(5)
LABELS = np.arange(600) % 3
FEATURES = (RNG.normal(0, 0.3, (600, 4)) + np.eye(3, 4)[LABELS] * 2).astype(np.float32)


def test_it_tells_apart_what_a_line_tells_apart() -> None:
    kernel, bias = fit_ridge_head(FEATURES, LABELS, weights=np.ones(600), themes=3)
    logits = FEATURES @ kernel + bias
    assert (logits.argmax(axis=1) == LABELS).all()
    np.testing.assert_allclose(logits.sum(axis=1) / SCALE, 1, atol=0.4)


def test_a_photo_that_counts_twice_is_as_good_as_two() -> None:
    twice = np.where(np.arange(600) < 100, 2.0, 1.0)
    rows = np.concatenate([np.arange(600), np.arange(100)])
    # Both see the same mean and deviation of features when every feature repeats alike.
    features = np.tile(FEATURES[:100], (6, 1))
    weighed = fit_ridge_head(features, LABELS, weights=twice, themes=3)
    repeated = fit_ridge_head(features[rows], LABELS[rows], weights=np.ones(700), themes=3)
    for one, other in zip(weighed, repeated, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3)
