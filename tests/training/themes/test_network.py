"""Averaging networks, and moving one back to where it started."""

import numpy as np

from dsapi.training.themes.fitting import Fitted
from dsapi.training.themes.network import average, mix_in_pretrained


def fill(value: float) -> Fitted:
    layer = np.full((2, 3), value, np.float32), np.full(3, value, np.float32)
    return Fitted({"block": layer}, head=layer, groups=layer)


def read(fitted: Fitted) -> list[float]:
    layers = (fitted.blocks["block"], fitted.groups, fitted.head)
    return [float(value) for layer in layers for part in layer for value in np.unique(part)]


def test_the_mean_of_networks_has_the_mean_of_every_weight() -> None:
    assert read(average([fill(1), fill(2), fill(6)])) == [3.0] * 6


def test_a_share_of_the_pretrained_weights_comes_back_and_the_head_stays() -> None:
    pretrained = fill(1)
    mixed = mix_in_pretrained(fill(5), pretrained.blocks, pretrained.groups, share=0.25)
    assert read(mixed) == [4.0] * 4 + [5.0] * 2
