import gc
from pathlib import Path

from PIL import Image

from dsapi.prediction.deadline import Deadline
from dsapi.prediction.predictor import PictureFacts, PredictionRequest, predict
from dsapi.process.service import load_models
from dsapi.settings import load_settings
from tests.pictures import encode

SIZE = (123, 77)


def test_a_prediction_does_not_keep_the_pixels(tiny_config: Path) -> None:
    settings = load_settings(tiny_config)
    models = {name: model.open() for name, model in load_models(settings).items()}
    encoded = encode(Image.new("RGB", SIZE, "teal"))
    prediction = predict(
        PredictionRequest(encoded, points=(None,), models=tuple(models)),
        models=models,
        limits=settings.limits,
        deadline=Deadline.within(60.0),
    )
    assert prediction.picture == PictureFacts(*SIZE, format="PNG", bytes=len(encoded))
    # While the prediction is held, as by a slow caller's answer.
    assert [
        each for each in gc.get_objects() if isinstance(each, Image.Image) and each.size == SIZE
    ] == []
