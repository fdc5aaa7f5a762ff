"""How far OpenVINO is from TensorFlow: ``python -m benchmarks.engine_agreement FOLDER``.

Every picture under a folder is asked at one random point with both engines.
"""

import argparse
from pathlib import Path

import numpy as np

from dsapi.engines import EngineName, Precision
from dsapi.prediction.crops import cut_crop
from dsapi.prediction.model import OpenModel
from dsapi.prediction.picture import read_picture
from dsapi.prediction.points import Point
from dsapi.process.service import load_models
from dsapi.settings import load_settings

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    """Compare, and print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16", "f16"])
    asked = parser.parse_args()
    reference = _open("tensorflow", "f32")
    other = _open("openvino", asked.precision)
    limits = load_settings().limits
    rng = np.random.default_rng(20)
    files = sorted(path for path in asked.folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    worst = dict.fromkeys(reference, 0.0)
    same = dict.fromkeys(reference, 0)
    for file in files:
        picture = read_picture(file.read_bytes(), limits)
        point = Point(int(rng.integers(picture.width)), int(rng.integers(picture.height)))
        for name, open_model in reference.items():
            model = open_model.model
            crop = cut_crop(
                model.spec.crop, point, picture, size=model.size, resize=model.spec.resize
            )[np.newaxis]
            expected, found = open_model.run(crop)[0], other[name].run(crop)[0]
            worst[name] = max(worst[name], float(np.abs(expected - found).max()))
            same[name] += int(expected.argmax() == found.argmax())
    for name in reference:
        print(
            f"{name}: {len(files)} pictures, largest difference of a probability "
            f"{worst[name]:.2g}, the same top label in {same[name] / len(files):.2%}"
        )


def _open(engine: EngineName, precision: Precision) -> dict[str, OpenModel]:
    models = load_models(load_settings(engine=engine, precision=precision))
    return {name: model.open() for name, model in models.items()}


if __name__ == "__main__":
    main()
