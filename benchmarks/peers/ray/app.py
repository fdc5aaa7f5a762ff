"""Ray Serve; see https://docs.ray.io/en/latest/serve/tutorials/serve-ml-models.html."""

from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=2)
class Pictures:
    """Both models in each replica."""

    def __init__(self):
        from work import Classifier

        self.classifier = Classifier()

    async def __call__(self, request: Request):
        form = await request.form()
        return self.classifier.predict(
            await form["image"].read(), int(form["x"]), int(form["y"])
        )


app = Pictures.bind()
