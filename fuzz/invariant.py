"""What must hold for any bytes: an answer or a documented error, nothing else.

Called by the fuzz target and by the tests that mutate valid pictures.
"""

import warnings

import numpy as np

from dsapi.errors import RequestError
from dsapi.prediction.crops import Crop, cut_crop, find_seen, locate_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.orientation import swaps_sides
from dsapi.prediction.picture import Limits, OpenPicture, Picture, open_picture
from dsapi.prediction.points import Point, locate_point

# Small enough that an input takes milliseconds; every check is the same at any size.
LIMITS = Limits(max_pixels=500_000, working_side=256)
VIEWS = ((Crop(80, "%"), (32, 32)), (Crop(9, "px"), (9, 9)))
_PERMITTED_STATUS = {400, 413, 415, 422}


def check_picture(data: bytes, *, point: tuple[float, float], factor: int) -> Picture | None:
    """Go the way of a prediction up to the models' inputs.

    Args:
        data: any bytes.
        point: where to look, in percent.
        factor: by how much to reduce while decoding.

    Returns:
        The picture, ``None`` if the bytes are refused.

    Raises:
        AssertionError: the invariant is broken. Any other exception is a finding too.
    """
    # Not as errors: those would be taken for what decoders raise on corrupt data.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        picture = _answer(data, point=point, factor=factor)
    if caught:
        raise AssertionError(f"warned: {caught[0].message}")
    return picture


def _answer(data: bytes, *, point: tuple[float, float], factor: int) -> Picture | None:
    try:
        opened = open_picture(data, LIMITS)
        located = locate_point(point, unit="percent", width=opened.width, height=opened.height)
        picture = opened.decode(factor, Deadline.within(30))
    except RequestError as error:
        if error.status not in _PERMITTED_STATUS or not error.detail.isprintable():
            raise AssertionError(f"{error.status} {error.detail}") from error
        return None
    _check_size(opened, picture)
    for crop, size in VIEWS:
        _check_crop(picture, located, crop=crop, size=size)
    crop, size = VIEWS[0]
    seen = find_seen(VIEWS[:1], [located], opened)
    part = opened.decode(factor, Deadline.within(30), seen=seen)
    whole, same = (
        cut_crop(crop, located, each, size=size, resize="stretch") for each in (picture, part)
    )
    if not np.array_equal(whole, same):
        raise AssertionError(f"{opened} decoded in part differs")
    return picture


def _check_size(opened: OpenPicture, picture: Picture) -> None:
    sides = (opened.width, opened.height)
    stored = sides[::-1] if swaps_sides(picture.orientation) else sides
    if picture.image.size != tuple(-(-side // picture.factor) for side in stored):
        raise AssertionError(f"{stored} at 1/{picture.factor} is {picture.image.size}")


def _check_crop(picture: Picture, point: Point, *, crop: Crop, size: tuple[int, int]) -> None:
    left, top, right, bottom = locate_crop(crop, point, picture)
    if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
        raise AssertionError(f"box {left, top, right, bottom} of {picture}")
    pixels = cut_crop(crop, point, picture, size=size, resize="stretch")
    if pixels.shape != (*size, 3) or pixels.dtype != np.float32:
        raise AssertionError(f"crop {pixels.shape} {pixels.dtype} of {picture}")
