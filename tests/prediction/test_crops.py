"""Crops of shares and of pixels, at every edge and for inputs of every shape."""

import numpy as np
import pytest
from PIL import Image

from dsapi.prediction.crops import Resize, cut_crop, find_coarsest_factor, locate_crop, parse_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, Picture, open_picture, read_picture
from dsapi.prediction.points import Point
from tests.pictures import encode

LIMITS = Limits(max_pixels=1_000_000, working_side=0)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def stripes(width: int, height: int, *, upright: bool = True) -> Picture:
    """Red left, green in the middle half, blue right; or, on its side, one above the other."""
    image = Image.new("RGB", (width, height), GREEN)
    image.paste(RED, (0, 0, width // 4, height))
    image.paste(BLUE, (width - width // 4, 0, width, height))
    if not upright:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    return read_picture(encode(image), LIMITS)


@pytest.mark.parametrize("resize", ["stretch", "center-crop", "letterbox"])
@pytest.mark.parametrize("size", [(22, 29), (29, 22), (13, 7), (224, 299), (1, 5)])
def test_a_crop_of_any_picture_at_any_edge_has_the_size_of_the_input(
    resize: Resize, size: tuple[int, int]
) -> None:
    # Sides that, multiplied and divided by 29 / 22, do not come out the same; and others.
    for long, short in ((120, 49), (120, 60), (120, 61), (120, 63), (70, 30), (40, 40)):
        for width, height in ((long, short), (short, long)):
            picture = read_picture(encode(Image.new("RGB", (width, height), RED)), LIMITS)
            for crop in (parse_crop("80%"), parse_crop("100%")):
                for point in (Point(0, 0), Point(width - 1, height - 1), Point(width // 2, 0)):
                    pixels = cut_crop(crop, point, picture, size=size, resize=resize)
                    assert pixels.shape == (*size, 3)
                    # Red, and what a letterbox leaves black.
                    assert pixels[..., 0].max() == 255
                    assert not pixels[..., 1:].any()


def test_the_middle_of_a_wide_crop_is_cut_and_its_sides_are_not_seen() -> None:
    pixels = cut_crop(
        parse_crop("100%"), Point(50, 20), stripes(100, 40), size=(20, 20), resize="center-crop"
    )
    np.testing.assert_array_equal(pixels, np.full((20, 20, 3), GREEN, np.float32))


def test_a_letterbox_shows_all_of_a_wide_crop_between_black_bars() -> None:
    pixels = cut_crop(
        parse_crop("100%"), Point(50, 20), stripes(100, 40), size=(20, 20), resize="letterbox"
    )
    assert not pixels[:6].any()
    assert not pixels[-6:].any()
    assert pixels[10, [1, 10, 18]].tolist() == [list(RED), list(GREEN), list(BLUE)]


@pytest.mark.parametrize("resize", ["center-crop", "letterbox"])
def test_a_picture_on_its_side_gives_a_crop_on_its_side(resize: Resize) -> None:
    crop, size = parse_crop("100%"), (20, 20)
    wide, tall = stripes(100, 40), stripes(100, 40, upright=False)
    of_wide = cut_crop(crop, Point(50, 20), wide, size=size, resize=resize)
    of_tall = cut_crop(crop, Point(20, 50), tall, size=size, resize=resize)
    np.testing.assert_allclose(of_tall, of_wide.transpose(1, 0, 2), atol=1)


@pytest.mark.parametrize(
    ("crop", "point", "box"),
    [
        ("80%", Point(50, 20), (10, 4, 90, 36)),
        ("80%", Point(0, 0), (0, 0, 80, 32)),
        ("80%", Point(99, 39), (20, 8, 100, 40)),
        ("9px", Point(50, 20), (46, 16, 55, 25)),
        ("9px", Point(0, 39), (0, 31, 9, 40)),
        ("60px", Point(50, 20), (20, 0, 80, 40)),
    ],
)
def test_a_crop_is_centered_on_the_point_and_shifted_to_stay_inside(
    crop: str, point: Point, box: tuple[int, int, int, int]
) -> None:
    assert locate_crop(parse_crop(crop), point, stripes(100, 40)) == box


@pytest.mark.parametrize("working_side", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_is_reduced_to_any_working_side(kind: str, working_side: int) -> None:
    limits = Limits(max_pixels=1_000_000, working_side=working_side)
    for size in ((10, 7), (11, 10), (100, 3), (9, 16), (33, 31)):
        opened = open_picture(encode(Image.new("RGB", size, RED), kind), limits)
        picture = opened.decode(1, Deadline.far())
        assert (picture.width, picture.height) == size
        assert picture.reduced_size == tuple(-(-side // picture.factor) for side in size)


@pytest.mark.parametrize(
    "text", ["0%", "100.1%", "0px", "0.5px", "1.5px", "-1px", "80", "80 em", ""]
)
def test_a_crop_that_is_no_part_of_a_picture_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a crop"):
        parse_crop(text)


@pytest.mark.parametrize(
    ("crop", "size", "box"),
    [
        # 2.4, 2.5 and 3.5 pixels; less than half a pixel is one all the same.
        ("80%", (3, 3), (0, 0, 2, 2)),
        ("50%", (5, 7), (1, 1, 4, 5)),
        ("1%", (2, 2), (1, 1, 2, 2)),
        ("80%", (1, 1), (0, 0, 1, 1)),
    ],
)
def test_halves_of_a_pixel_round_up_and_a_crop_has_one_pixel_at_least(
    crop: str, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    picture = read_picture(encode(Image.new("RGB", size, RED)), LIMITS)
    point = Point(size[0] // 2, size[1] // 2)
    assert locate_crop(parse_crop(crop), point, picture) == box
    pixels = cut_crop(parse_crop(crop), point, picture, size=(4, 4), resize="stretch")
    np.testing.assert_array_equal(pixels, np.full((4, 4, 3), RED, np.float32))


def test_a_patch_of_a_reduced_picture_ends_at_the_edge_of_the_full_one() -> None:
    limits = Limits(max_pixels=1_000_000, working_side=16)
    picture = read_picture(encode(Image.new("RGB", (31, 29), RED)), limits)
    assert (picture.factor, picture.reduced_size) == (2, (16, 15))
    # The last pixel of the reduced picture stands for one of the full one, not for two.
    assert locate_crop(parse_crop("9px"), Point(30, 28), picture) == (14, 12, 31, 29)
    assert locate_crop(parse_crop("9px"), Point(0, 0), picture) == (0, 0, 18, 18)


def test_a_picture_smaller_than_the_patch_is_enlarged_by_repeating_its_edges() -> None:
    image = Image.new("RGB", (3, 2), GREEN)
    image.paste(RED, (0, 0, 1, 2))
    image.paste(BLUE, (2, 0, 3, 1))
    picture = read_picture(encode(image), LIMITS)
    pixels = cut_crop(parse_crop("9px"), Point(1, 1), picture, size=(9, 9), resize="stretch")
    # As much on either side, so that the picture stays in the middle.
    upper = [list(RED)] * 4 + [list(GREEN)] + [list(BLUE)] * 4
    lower = [list(RED)] * 4 + [list(GREEN)] * 5
    assert pixels.astype(int).tolist() == [upper] * 4 + [lower] * 5


@pytest.mark.parametrize(
    ("crop", "picture", "factor"),
    [
        # Twice 32 pixels are left of 80 % of both sides, and of no side less.
        ("80%", (640, 640), 8),
        ("80%", (639, 640), 4),
        ("80%", (80, 640), 1),
        ("80%", (10, 10), 1),
        ("9px", (6400, 6400), 1),
    ],
)
def test_a_picture_is_decoded_no_smaller_than_twice_the_input(
    crop: str, picture: tuple[int, int], factor: int
) -> None:
    assert find_coarsest_factor([(parse_crop(crop), (32, 32))], picture) == factor


def test_the_height_of_the_input_is_asked_of_the_height_of_the_picture() -> None:
    # The input is given by height and width, the picture by width and height.
    views = [(parse_crop("100%"), (50, 100))]
    assert find_coarsest_factor(views, (800, 400)) == 4
    assert find_coarsest_factor(views, (400, 800)) == 2
