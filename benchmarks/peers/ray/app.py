"""Ray Serve; see https://docs.ray.io/en/latest/serve/tutorials/serve-ml-models.html."""

import os
import signal

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=os.cpu_count(), ray_actor_options={"num_cpus": 1})
class Pictures:
    """Both models in each replica."""

    def __init__(self):
        from work import Classifier

        self.classifier = Classifier()

    async def __call__(self, request: Request):
        form = await request.form()
        data = await form["image"].read()
        return self.classifier.predict(data, int(form["x"]), int(form["y"]))


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=os.cpu_count() + 1)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Pictures.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
