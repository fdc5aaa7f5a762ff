"""How much a theme's probabilities change when a picture is decoded at a fraction of its size.

Reads labeled photos below ``--data/val``, enlarges them to sizes that cameras give, encodes them
as JPEG, and compares the themes of reduced decoding with those of full decoding at random points.

    python -m benchmarks.scaled_decoding --data DIR --count 400
"""

import argparse
import random
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dsapi.prediction.crops import coarsest_factor, cut_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import OpenModel, load_model
from dsapi.prediction.picture import Limits, open_picture
from dsapi.prediction.points import Point
from dsapi.settings import load_settings

_LONG_SIDES = (640, 1280, 1600, 2048)


def main() -> None:
    """Print the largest and typical differences, by size of the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with val/LABEL/*.jpg")
    parser.add_argument("--count", type=int, default=400, help="photos")
    arguments = parser.parse_args()
    settings = load_settings()
    model = load_model("themes", settings.models["themes"], engine=settings.engine).open()
    photos = sorted((arguments.data / "val").glob("*/*.jpg"))
    chosen = random.Random(4).sample(photos, min(arguments.count, len(photos)))
    print("long side  factor  photos  largest difference  99th percentile  same top label")
    for long_side in _LONG_SIDES:
        _compare(model, chosen, long_side=long_side, limits=settings.limits)


def _compare(model: OpenModel, photos: list[Path], *, long_side: int, limits: Limits) -> None:
    """Compare full and reduced decoding of every photo at one size."""
    chance = random.Random(long_side)
    crop, size = model.model.spec.crop, model.model.size
    full, reduced, factors = [], [], set()
    for photo in photos:
        opened = open_picture(_enlarge(photo, long_side), limits)
        point = Point(chance.randrange(opened.width), chance.randrange(opened.height))
        factor = coarsest_factor(crop, picture=(opened.width, opened.height), size=size)
        factors.add(factor)
        for crops, by in ((full, 1), (reduced, factor)):
            picture = opened.decode(by, Deadline.within(60))
            crops.append(cut_crop(crop, point, picture, size=size, resize="stretch"))
    before, after = (_score(model, crops) for crops in (full, reduced))
    differences = np.abs(before - after).max(axis=1)
    same = (before.argmax(axis=1) == after.argmax(axis=1)).mean()
    print(
        f"{long_side:9d}  {'/'.join(map(str, sorted(factors))):>6}  {len(photos):6d}  "
        f"{differences.max():18.4f}  {np.percentile(differences, 99):15.4f}  {same:14.1%}",
        flush=True,
    )


def _enlarge(photo: Path, long_side: int) -> bytes:
    """Encode a photo enlarged, as a JPEG of good quality."""
    with Image.open(photo) as image:
        scale = long_side / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        large = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.BICUBIC)
    stream = BytesIO()
    large.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _score(model: OpenModel, crops: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(
        [model.score(np.stack(crops[at : at + 16])) for at in range(0, len(crops), 16)]
    )


if __name__ == "__main__":
    main()
