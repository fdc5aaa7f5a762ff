"""Points: what is no number is none, whoever asks."""

import math

import pytest

from dsapi.errors import BadPoint
from dsapi.prediction.points import Unit, locate_point


@pytest.mark.parametrize("unit", ["px", "percent"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_no_point(unit: Unit, value: float) -> None:
    for asked in ((value, 1.0), (1.0, value)):
        with pytest.raises(BadPoint, match=f"must be between 0 and .* got {value}"):
            locate_point(asked, unit=unit, width=60, height=40)
