"""Answers: what the core says, as the JSON of the contract.

The models' schemas, descriptions and examples are also what ``/openapi.json`` says of them.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import cherrypy
from pydantic import BaseModel, ConfigDict, Field

from dsapi.prediction.model import Model
from dsapi.prediction.predictor import PointPrediction, Prediction

Probability = Annotated[
    float,
    # Said, not checked: a float32 may miss 1 by its last bit, until it is rounded.
    Field(json_schema_extra={"minimum": 0, "maximum": 1}, description="0 to 1, 4 decimals"),
]
Milliseconds = Annotated[float, Field(json_schema_extra={"minimum": 0})]
Box = tuple[int, int, int, int]

_IMAGE: dict[str, Any] = {"width": 1600, "height": 1200, "format": "JPEG", "bytes": 307200}
_VERSIONS = {"themes": "3f2a9c1d0b7e", "colors": "77aa01c2e3d4"}
_RESULT: dict[str, Any] = {
    "point": {"x": 120, "y": 340},
    "predictions": {
        "themes": [{"label": "Gardening", "probability": 0.8123}],
        "colors": [{"label": "green", "probability": 0.9012}],
    },
    "crops": {"themes": [0, 0, 1280, 960], "colors": [116, 336, 125, 345]},
    "errors": {},
}
_TIMING_MS = {"queue": 0.1, "decode": 5.6, "themes": 6.6, "colors": 0.3, "total": 12.9}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class LabelAnswer(_Answer):
    """A label and its probability."""

    label: str
    probability: Probability


class ImageAnswer(_Answer):
    """The picture as it was understood: upright size in pixels, format and encoded size."""

    model_config = _example(_IMAGE)

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    format: str = Field(description="JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF or HEIC")
    bytes: int = Field(ge=1)


class PointAnswer(_Answer):
    """A pixel of the upright picture."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)


Predictions = Annotated[
    dict[str, list[LabelAnswer]],
    Field(description="By model: its labels, best first, ties by label index"),
]
Crops = Annotated[
    dict[str, Box],
    Field(
        description="By model: the box it saw, [left, top, right, bottom] in pixels of the full "
        "upright picture, right and bottom exclusive"
    ),
]
Versions = Annotated[
    dict[str, str],
    Field(description="By model: its version, the first 12 hex digits of the graph's SHA-256"),
]
Errors = Annotated[
    dict[str, str],
    Field(description="By model: why it failed and has no labels, while others answered"),
]
Timing = Annotated[
    dict[str, Milliseconds],
    Field(description="Milliseconds of each step: queue, decode, every model, total"),
]


class ResultAnswer(_Answer):
    """What every model sees at one point."""

    model_config = _example(_RESULT)

    point: PointAnswer
    predictions: Predictions
    crops: Crops
    errors: Errors


class PredictionAnswer(_Answer):
    """The answer to one point."""

    model_config = _example(
        {"id": "0193e1f2-7a6b-7c3d-8e4f-5a6b7c8d9e0f", "image": _IMAGE, **_RESULT}
        | {"models": _VERSIONS, "timing_ms": _TIMING_MS}
    )

    id: str
    image: ImageAnswer
    point: PointAnswer
    predictions: Predictions
    crops: Crops
    models: Versions
    errors: Errors
    timing_ms: Timing


class BatchAnswer(_Answer):
    """The answer to many points of one picture, in the order asked."""

    model_config = _example(
        {"id": "0193e1f2-7a6b-7c3d-8e4f-5a6b7c8d9e0f", "image": _IMAGE, "models": _VERSIONS}
        | {"results": [_RESULT], "timing_ms": _TIMING_MS}
    )

    id: str
    image: ImageAnswer
    models: Versions
    results: list[ResultAnswer]
    timing_ms: Timing


class ModelAnswer(_Answer):
    """A loaded model."""

    name: str
    version: str = Field(description="The first 12 hex digits of the graph's SHA-256")
    labels: list[str] = Field(description="In the order of the graph's output")
    input_size: tuple[int, int] = Field(description="Height and width in pixels")
    crop: str = Field(description="What it sees around the point: 80% of the picture, or 9px")
    engine: str
    default: bool = Field(description="Whether it runs when a request names no models")
    loaded_since: str = Field(description="ISO 8601, UTC")
    load_ms: Milliseconds


class ModelsAnswer(_Answer):
    """All loaded models."""

    models: list[ModelAnswer]


class StatusAnswer(_Answer):
    """That the service is there."""

    status: str


def respond(answer: BaseModel) -> bytes:
    """Write an answer as the body of the current response."""
    cherrypy.serving.response.headers["Content-Type"] = "application/json"
    return answer.model_dump_json().encode()


def answer_prediction(prediction: Prediction, prediction_id: str) -> PredictionAnswer:
    """Shape the answer to a single point."""
    # One call validates the whole tree: a tenth of the time of a call for each label.
    return PredictionAnswer.model_validate(
        {**_shared(prediction, prediction_id), **_result(prediction.results[0])}
    )


def answer_batch(prediction: Prediction, prediction_id: str) -> BatchAnswer:
    """Shape the answer to many points."""
    results = [_result(result) for result in prediction.results]
    return BatchAnswer.model_validate({**_shared(prediction, prediction_id), "results": results})


def answer_models(models: Mapping[str, Model]) -> ModelsAnswer:
    """Describe the loaded models."""
    return ModelsAnswer(
        models=[
            ModelAnswer(
                name=model.name,
                version=model.version,
                labels=list(model.labels),
                input_size=model.size,
                crop=str(model.spec.crop),
                engine=model.engine,
                default=model.spec.default,
                loaded_since=model.loaded_since.isoformat(timespec="seconds"),
                load_ms=round(model.load_ms, 1),
            )
            for model in models.values()
        ]
    )


def _shared(prediction: Prediction, prediction_id: str) -> dict[str, Any]:
    """Give what answers to one and to many points have in common."""
    picture = prediction.picture
    return {
        "id": prediction_id,
        "image": {
            "width": picture.width,
            "height": picture.height,
            "format": picture.format,
            "bytes": picture.bytes,
        },
        "models": prediction.versions,
        "timing_ms": {step: round(value, 1) for step, value in prediction.timing_ms.items()},
    }


def _result(result: PointPrediction) -> dict[str, Any]:
    return {
        "point": {"x": result.point.x, "y": result.point.y},
        "predictions": {
            name: [
                {"label": best.label, "probability": round(best.probability, 4)} for best in ranked
            ]
            for name, ranked in result.labels.items()
        },
        "crops": result.crops,
        "errors": result.errors,
    }
