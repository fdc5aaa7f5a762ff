"""BentoML; see https://docs.bentoml.com/en/latest/get-started/hello-world.html."""

import bentoml
from PIL.Image import Image


@bentoml.service(workers="cpu_count")
class Pictures:
    """Both models behind one method."""

    def __init__(self):
        from work import Classifier

        self.classifier = Classifier()

    @bentoml.api
    def predict(self, image: Image, x: int, y: int) -> dict:
        return self.classifier.predict_image(image, x, y)
