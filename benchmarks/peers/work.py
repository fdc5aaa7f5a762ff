"""The work that every peer does for one picture, as tutorials write it.

Pillow decodes, crops and resizes; TensorFlow's migration guide tells how to call a frozen graph
(https://www.tensorflow.org/guide/migrate, "wrap_function"); defaults everywhere.
"""

import io
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from PIL import Image

ROOT = Path(os.environ["DSAPI_BENCH_MODELS"])


def _load_graph(path):
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(definition, name=""), []
    )
    feed = next(node.name for node in definition.node if node.op == "Placeholder")
    read = {name.split(":")[0].lstrip("^") for node in definition.node for name in node.input}
    fetch = next(node.name for node in definition.node if node.name not in read and node.input)
    graph = wrapped.graph
    return wrapped.prune(graph.as_graph_element(f"{feed}:0"), graph.as_graph_element(f"{fetch}:0"))


class Classifier:
    """Both models, loaded."""

    def __init__(self):
        self.themes = _load_graph(ROOT / "models/themeClassifier.pb")
        self.colors = _load_graph(ROOT / "models/colorClassifier.pb")
        self.theme_labels = (ROOT / "labels/themes.txt").read_text().split("\n")
        self.color_labels = (ROOT / "labels/colors.txt").read_text().split("\n")

    def predict(self, data, x, y):
        return self.predict_image(Image.open(io.BytesIO(data)), x, y)

    def predict_image(self, image, x, y):
        image = image.convert("RGB")
        width, height = image.size
        box_width, box_height = int(width * 0.8), int(height * 0.8)
        left = min(max(x - box_width // 2, 0), width - box_width)
        top = min(max(y - box_height // 2, 0), height - box_height)
        crop = image.crop((left, top, left + box_width, top + box_height)).resize((224, 224))
        left, top = min(max(x - 4, 0), width - 9), min(max(y - 4, 0), height - 9)
        patch = image.crop((left, top, left + 9, top + 9))
        return {
            "themes": _best(self.themes, crop, self.theme_labels),
            "colors": _best(self.colors, patch, self.color_labels),
        }


def _best(graph, image, labels):
    batch = np.asarray(image, dtype=np.float32)[np.newaxis]
    probabilities = graph(tf.constant(batch)).numpy()[0]
    return [
        {"label": labels[index], "probability": float(probabilities[index])}
        for index in np.argsort(probabilities)[::-1][:5]
    ]
