import numpy as np
from PIL import Image

from dsapi.prediction.crops import locate_crop, parse_crop
from dsapi.prediction.picture import Picture
from dsapi.prediction.points import Point
from dsapi.training.augmentation import augment, random_point_box, replace_plain_background


def test_the_same_generator_gives_the_same_pixels() -> None:
    image = Image.effect_noise((90, 70), 60).convert("RGB")
    first = augment(image, np.random.default_rng(5), side_px=64)
    again = augment(image, np.random.default_rng(5), side_px=64)
    other = augment(image, np.random.default_rng(6), side_px=64)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_change_keeps_the_shape() -> None:
    image = Image.effect_noise((33, 140), 60).convert("RGB")
    behind = [Image.new("RGB", (50, 50), "green")]
    for seed in range(60):
        pixels = augment(image, np.random.default_rng(seed), side_px=48, backgrounds=behind)
        assert pixels.shape == (48, 48, 3)


def test_random_boxes_are_those_of_the_server() -> None:
    size = (213, 160)
    picture = Picture(
        image=Image.new("RGB", size), width=213, height=160, factor=1, format="PNG", bytes=1
    )
    crop = parse_crop("80%")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        point = Point(int(rng.integers(213)), int(rng.integers(160)))
        box = random_point_box(size, np.random.default_rng(seed))
        assert box == locate_crop(crop, point, picture)


def test_a_plain_background_is_replaced_and_the_subject_stays() -> None:
    image = Image.new("RGB", (60, 60), "white")
    image.paste((200, 20, 20), (20, 20, 40, 40))
    changed = replace_plain_background(image, Image.new("RGB", (9, 9), (0, 0, 255)))
    assert changed.getpixel((2, 2)) == (0, 0, 255)
    assert changed.getpixel((30, 30)) == (200, 20, 20)


def test_a_photo_without_a_plain_border_keeps_its_background() -> None:
    image = Image.effect_noise((60, 60), 90).convert("RGB")
    assert replace_plain_background(image, Image.new("RGB", (9, 9))) is image
