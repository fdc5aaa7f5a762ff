"""LitServe; see https://lightning.ai/docs/litserve/."""

import os

import litserve as ls
from work import Classifier


class PictureAPI(ls.LitAPI):
    """Decode, predict, encode."""

    def setup(self, device):
        self.classifier = Classifier()

    def decode_request(self, request):
        return request["image"].file.read(), int(request["x"]), int(request["y"])

    def predict(self, asked):
        return self.classifier.predict(*asked)

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    server = ls.LitServer(PictureAPI(), accelerator="cpu", workers_per_device=os.cpu_count())
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False)
