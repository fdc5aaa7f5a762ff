"""Answers: what the core says, as the JSON of the contract."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, PlainSerializer

from dsapi.prediction.model import Model
from dsapi.prediction.predictor import PointPrediction, Prediction

Probability = Annotated[float, PlainSerializer(lambda value: round(value, 4))]
Milliseconds = Annotated[float, PlainSerializer(lambda value: round(value, 1))]
Box = tuple[int, int, int, int]


class LabelAnswer(BaseModel):
    """A label and its probability, 0 to 1."""

    label: str
    probability: Probability


class ImageAnswer(BaseModel):
    """The picture as it was understood: upright size in pixels, format and encoded size."""

    width: int
    height: int
    format: str
    bytes: int


class PointAnswer(BaseModel):
    """A pixel of the upright picture."""

    x: int
    y: int


class ResultAnswer(BaseModel):
    """What every model sees at one point."""

    point: PointAnswer
    predictions: dict[str, list[LabelAnswer]]
    crops: dict[str, Box]
    errors: dict[str, str]


class PredictionAnswer(ResultAnswer):
    """The answer to one point."""

    id: str
    image: ImageAnswer
    models: dict[str, str]
    timing_ms: dict[str, Milliseconds]


class BatchAnswer(BaseModel):
    """The answer to many points of one picture, in the order asked."""

    id: str
    image: ImageAnswer
    models: dict[str, str]
    results: list[ResultAnswer]
    timing_ms: dict[str, Milliseconds]


class ModelAnswer(BaseModel):
    """A loaded model."""

    name: str
    version: str
    labels: list[str]
    input_size: tuple[int, int]
    crop: str
    engine: str
    default: bool
    loaded_since: str
    load_ms: Milliseconds


class ModelsAnswer(BaseModel):
    """All loaded models."""

    models: list[ModelAnswer]


def answer_prediction(prediction: Prediction, *, prediction_id: str) -> PredictionAnswer:
    """Shape the answer to a single point."""
    return PredictionAnswer(
        id=prediction_id,
        image=_image(prediction),
        models=dict(prediction.versions),
        timing_ms=dict(prediction.timing_ms),
        **dict(_result(prediction.results[0])),
    )


def answer_batch(prediction: Prediction, *, prediction_id: str) -> BatchAnswer:
    """Shape the answer to many points."""
    return BatchAnswer(
        id=prediction_id,
        image=_image(prediction),
        models=dict(prediction.versions),
        results=[_result(result) for result in prediction.results],
        timing_ms=dict(prediction.timing_ms),
    )


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
                load_ms=model.load_ms,
            )
            for model in models.values()
        ]
    )


def _image(prediction: Prediction) -> ImageAnswer:
    picture = prediction.picture
    return ImageAnswer(
        width=picture.width, height=picture.height, format=picture.format, bytes=picture.bytes
    )


def _result(result: PointPrediction) -> ResultAnswer:
    return ResultAnswer(
        point=PointAnswer(x=result.point.x, y=result.point.y),
        predictions={
            name: [LabelAnswer(label=best.label, probability=best.probability) for best in ranked]
            for name, ranked in result.labels.items()
        },
        crops=dict(result.crops),
        errors=dict(result.errors),
    )
