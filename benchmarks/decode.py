"""From the bytes of a JPEG to the models' inputs, compared with the plain way.

The plain way is ``Image.open(…).convert("RGB")``, ``crop`` and ``resize`` with LANCZOS for themes,
and a crop of 9 × 9 pixels for colors. Both are timed in turn, so that a busy machine slows both;
the ratio is that of the medians.

    python -m benchmarks.decode --rounds 40
"""

import argparse
import statistics
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

from dsapi.prediction.crops import Crop, cut_crop, find_coarsest_factor, find_seen
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, open_picture
from dsapi.prediction.points import Point
from tests.pictures import encode, photo

_LIMITS = Limits()
_THEMES, _COLORS = (Crop(80, "%"), (224, 224)), (Crop(9, "px"), (9, 9))
Views = tuple[tuple[Crop, tuple[int, int]], ...]


def main() -> None:
    """Print milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    print("JPEG          kB  models          plain ms  dsapi ms  times as fast")
    for width, height, quality in ((1600, 1200, 72), (4000, 3000, 72)):
        data = encode_photo(width, height, quality=quality)
        for name, views in (("themes, colors", (_THEMES, _COLORS)), ("themes", (_THEMES,))):
            plain, ours = time_in_turn(
                lambda data=data, views=views: prepare_plainly(data, views),
                lambda data=data, views=views: prepare(data, views),
                rounds=rounds,
            )
            print(
                f"{width} × {height} {len(data) // 1000:5d}  {name:14s} {plain:9.1f} {ours:9.1f} "
                f"{plain / ours:14.2f}",
                flush=True,
            )


def prepare(data: bytes, views: Views) -> list[np.ndarray]:
    """Do what `dsapi.prediction.predictor.predict` does before it asks the models."""
    opened = open_picture(data, _LIMITS)
    whole = (opened.width, opened.height)
    factor = find_coarsest_factor(views, whole)
    point = Point(opened.width // 2, opened.height // 2)
    seen = find_seen(views, [point], opened)
    picture = opened.decode(factor, Deadline.within(60), seen=seen)
    return [cut_crop(crop, point, picture, size=size, resize="stretch") for crop, size in views]


def prepare_plainly(data: bytes, views: Views) -> list[np.ndarray]:
    """Decode everything, copy the crop, resize it as well as Pillow can."""
    image = Image.open(BytesIO(data)).convert("RGB")
    width, height = image.size
    crops = []
    for crop, size in views:
        across, down = (9, 9) if crop.unit == "px" else (width * 8 // 10, height * 8 // 10)
        left, top = (width - across) // 2, (height - down) // 2
        cut = image.crop((left, top, left + across, top + down))
        resized = cut if crop.unit == "px" else cut.resize(size, Image.Resampling.LANCZOS)
        crops.append(np.asarray(resized))
    return crops


def time_in_turn(*ways: Callable[[], object], rounds: int) -> list[float]:
    """Median milliseconds of each, run one after the other in every round."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, taken in zip(ways, times, strict=True):
            started = time.perf_counter()
            way()
            taken.append((time.perf_counter() - started) * 1000)
    return [statistics.median(taken) for taken in times]


def encode_photo(width: int, height: int, *, quality: int) -> bytes:
    """Make a JPEG that costs a decoder about what a photo does: waves and fine noise."""
    return encode(photo(width, height), "JPEG", quality=quality)


if __name__ == "__main__":
    main()
