"""How much a theme's probabilities change when a picture is decoded at a fraction of its size.

Reads labeled photos below ``--data/val``, enlarges them to sizes that cameras give, encodes them
as JPEG, and compares the themes of reduced decoding with those of full decoding at random points.

    python -m benchmarks.scaled_decoding --data DIR

`--config` names another configuration, and with it another graph.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from PIL import Image

from dsapi.prediction.crops import cut_crop, find_coarsest_factor
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import OpenModel, load_model
from dsapi.prediction.picture import Limits, open_picture
from dsapi.prediction.points import Point
from dsapi.settings import load_settings
from tests.pictures import encode

_LONG_SIDES = (640, 1280, 1600, 2048, 4000)
# What reduced decoding may change at most, and how often the top label has to stay.
_MAX_DIFFERENCE, _MIN_SAME_LABEL = 0.03, 0.98


def main() -> None:
    """Print the largest and typical differences, by size of the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with val/LABEL/*.jpg")
    parser.add_argument("--count", type=int, default=400, help="photos")
    parser.add_argument("--config", type=Path, help="configuration with the graph to measure")
    arguments = parser.parse_args()
    settings = load_settings(arguments.config)
    model = load_model("themes", settings.models["themes"], engine=settings.engine).open()
    photos = sorted((arguments.data / "val").glob("*/*.jpg"))
    chosen = random.Random(4).sample(photos, min(arguments.count, len(photos)))
    print(f"themes {model.model.version}, {len(chosen)} photos")
    print("long side  factor  largest difference  99th percentile  same top label")
    found = [
        _compare(model, chosen, long_side=long_side, limits=settings.limits)
        for long_side in _LONG_SIDES
    ]
    largest = max(difference for difference, _ in found)
    same = min(share for _, share in found)
    verdict = _judge(largest <= _MAX_DIFFERENCE)
    print(f"largest difference {largest:.4f} (at most {_MAX_DIFFERENCE}): {verdict}")
    verdict = _judge(same >= _MIN_SAME_LABEL)
    print(f"same top label {same:.1%} (at least {_MIN_SAME_LABEL:.0%}): {verdict}")


def _judge(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def _compare(
    model: OpenModel, photos: list[Path], *, long_side: int, limits: Limits
) -> tuple[float, float]:
    """Compare full and reduced decoding of every photo at one size.

    A picture over `working_side` is reduced in both, as callers are promised.

    Returns:
        The largest difference of a probability, and the share of photos that keep the top label.
    """
    chance = random.Random(long_side)
    crop, size = model.model.spec.crop, model.model.size
    full, reduced, factors = [], [], set()
    for photo in photos:
        opened = open_picture(_enlarge(photo, long_side), limits)
        point = Point(chance.randrange(opened.width), chance.randrange(opened.height))
        factor = find_coarsest_factor([(crop, size)], (opened.width, opened.height))
        for crops, by in ((full, 1), (reduced, factor)):
            picture = opened.decode(by, Deadline.within(60))
            crops.append(cut_crop(crop, point, picture, size=size, resize="stretch"))
        factors.add(picture.factor)
    before, after = (_score(model, crops) for crops in (full, reduced))
    differences = np.abs(before - after).max(axis=1)
    same = float((before.argmax(axis=1) == after.argmax(axis=1)).mean())
    print(
        f"{long_side:9d}  {'/'.join(map(str, sorted(factors))):>6}  "
        f"{differences.max():18.4f}  {np.percentile(differences, 99):15.4f}  {same:14.1%}",
        flush=True,
    )
    return float(differences.max()), same


def _enlarge(photo: Path, long_side: int) -> bytes:
    """Encode a photo enlarged, as a JPEG of good quality."""
    with Image.open(photo) as image:
        scale = long_side / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        large = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.BICUBIC)
    return encode(large, "JPEG", quality=88)


def _score(model: OpenModel, crops: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(
        [model.run(np.stack(crops[at : at + 16])) for at in range(0, len(crops), 16)]
    )


if __name__ == "__main__":
    main()
