"""Every valid picture of the corpus comes back as a person sees it."""

import logging

import numpy as np
import pytest

from dsapi.prediction.picture import Limits, Picture, read_picture
from tests.corpus.valid import Valid, valid_pictures

LIMITS = Limits(max_pixels=50_000_000, working_side=2048)
# Lossy coding at quality 95; a person sees no difference below 3 ΔE, about 8 levels.
TOLERANCE = 8
VALID = valid_pictures()


def middles(picture: Picture) -> list[list[int]]:
    """The color in the middle of each quadrant of the upright picture."""
    width, height = picture.reduced_size
    return [
        np.asarray(picture.cut((x - 2, y - 2, x + 3, y + 3)))
        .reshape(-1, 3)
        .mean(axis=0)
        .round()
        .astype(int)
        .tolist()
        for y in (height // 4, 3 * height // 4)
        for x in (width // 4, 3 * width // 4)
    ]


@pytest.mark.parametrize("case", VALID.values(), ids=VALID)
def test_a_valid_picture_shows_what_a_person_sees(
    case: Valid, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    picture = read_picture(case.make(), LIMITS)
    assert picture.format == case.format
    assert (picture.width * 48, picture.height) == (picture.height * 64, picture.height)
    assert np.abs(np.array(middles(picture)) - np.array(case.quadrants)).max() <= TOLERANCE
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")
