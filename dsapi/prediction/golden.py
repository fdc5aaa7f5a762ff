"""Golden checks: a graph that loads and runs may still be the wrong one.

Called by `dsapi.workers` before a model is put into service, at the start and at every reload.
"""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from dsapi.errors import ModelError, RequestError, StartupError
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import OpenModel
from dsapi.prediction.picture import Limits
from dsapi.prediction.points import Unit
from dsapi.prediction.predictor import PredictionRequest, predict

_TIMEOUT_S = 60.0
# Probabilities computed in float32, or lower precision by setting, may end a little outside.
_TOLERANCE = 0.01


class GoldenSample(BaseModel):
    """A picture and what a model must say about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Path = Field(description="A picture, relative to the golden file")
    x: float | None = Field(None, description="The point; its center without")
    y: float | None = Field(None, description="The point; its center without")
    unit: Unit = Field("px", description="Unit of x and y: px or percent")
    label: str = Field(description="The label that must come first")
    min_probability: float = Field(0.0, ge=0, le=1, description="Its least probability")

    @model_validator(mode="after")
    def _check_point(self) -> Self:
        if (self.x is None) != (self.y is None):
            raise PydanticCustomError(
                "half_a_point", "x and y go together: give both, or neither for the center"
            )
        return self


_Samples = TypeAdapter(Annotated[list[GoldenSample], Field(min_length=1)])


def check_golden(model: OpenModel, limits: Limits) -> None:
    """See that a model gives probabilities, and the right label for each of its golden samples.

    Raises:
        StartupError: it does not; the message says what came instead.
    """
    name = model.model.name
    try:
        _check_numbers(model)
        if (path := model.model.spec.golden) is not None:
            for sample in _read_samples(path):
                _check_sample(model, sample, folder=path.parent, limits=limits)
    except (ModelError, RequestError, StartupError) as error:
        raise StartupError(f"[models.{name}] golden check: {error}") from error


def _check_numbers(model: OpenModel) -> None:
    """Score black, white and noise, all at once: every score must be a probability."""
    height, width = model.model.size
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    crops = np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise])
    scores = model.score(crops)
    # NaN compares false with everything.
    if not np.all((scores >= -_TOLERANCE) & (scores <= 1 + _TOLERANCE)):
        raise StartupError(
            f"{model.model.spec.graph} gives scores that are no probabilities "
            f"(from {scores.min():.4g} to {scores.max():.4g}); "
            "set activation to softmax or sigmoid, or freeze the graph again"
        )


def _read_samples(path: Path) -> list[GoldenSample]:
    try:
        return _Samples.validate_json(path.read_bytes())
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise StartupError(f"{path}: {where}: {problem['msg']}") from error


def _check_sample(model: OpenModel, sample: GoldenSample, *, folder: Path, limits: Limits) -> None:
    name = model.model.name
    try:
        data = (folder / sample.image).read_bytes()
    except OSError as error:
        raise StartupError(f"cannot read {folder / sample.image}: {error.strerror}") from error
    point = None if sample.x is None or sample.y is None else (sample.x, sample.y)
    request = PredictionRequest(data, points=(point,), models=(name,), unit=sample.unit, top=1)
    prediction = predict(
        request, models={name: model}, limits=limits, deadline=Deadline.within(_TIMEOUT_S)
    )
    best = prediction.results[0].labels[name][:1]
    if not best or best[0].label != sample.label or best[0].probability < sample.min_probability:
        got = f"{best[0].label!r} with {best[0].probability:.3f}" if best else "nothing"
        raise StartupError(
            f"{sample.image} must get {sample.label!r} with {sample.min_probability:g} or more, "
            f"got {got}"
        )
