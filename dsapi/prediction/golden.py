"""Golden checks: a graph that loads and runs may still be the wrong one, or be fed wrongly.

Called by `dsapi.workers.pool` before a model is put into service, at the start and at every reload,
by ``dsapi check``, and by ``dsapi evaluate``.
"""

import logging
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from dsapi.errors import ModelError, RequestError, StartupError, tell_cause
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import OpenModel, warm_up_crops
from dsapi.prediction.picture import Limits
from dsapi.prediction.points import Unit
from dsapi.prediction.predictor import PredictionRequest, predict

_LOGGER = logging.getLogger(__name__)
# What the shipped graphs say of black, white and noise differs by more than half.
_NOTHING = 0.01
# In low precision another batch may be off by 0.02; what pictures do to each other is more.
_ROUNDING = 0.05


class GoldenSample(BaseModel):
    """A picture and what a model must say about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Path = Field(description="A picture, relative to the golden file")
    x: float | None = Field(None, description="The point; the picture's center if left out")
    y: float | None = Field(None, description="The point; the picture's center if left out")
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
    """See that a model takes several pictures at a time, each for itself, and knows its samples.

    A model that tells nothing apart is warned of in the log.

    Raises:
        StartupError: it does not; the message says what came instead.
    """
    where = f"[models.{model.model.name}] golden check"
    try:
        probabilities = run_together(model)
        if (most := float(np.ptp(probabilities, axis=0).max())) < _NOTHING:
            _LOGGER.warning(
                "[models.%s] black, white and noise get nearly the same answer (probabilities "
                "differ by %.2g at most); check scale, offset, dtype and activation",
                model.model.name,
                most,
            )
        if (path := model.model.spec.golden) is None:
            return
        for number, sample in enumerate(_read_samples(path), start=1):
            where = f"[models.{model.model.name}] golden check, {path} sample {number}"
            _check_sample(model, sample, folder=path.parent, limits=limits)
    except (ModelError, RequestError, StartupError) as error:
        raise StartupError(f"{where}: {error}") from error


def run_together(model: OpenModel) -> NDArray[np.float32]:
    """Run a model on black, white and noise at once, as several points of a picture.

    Returns:
        Probabilities, ``float32 [3, labels]``.

    Raises:
        ModelError: the model takes one picture at a time only.
        StartupError: what it says of one depends on those beside it, which are other points of the
            picture or, where requests run as one batch, other callers' pictures.
    """
    crops = np.concatenate(warm_up_crops(*model.model.size))
    probabilities = model.run(crops)
    most = float(np.abs(probabilities[1:] - model.run(crops[1:])).max())
    if not most <= _ROUNDING:  # NaN is not
        raise StartupError(
            "a picture gets other probabilities from run to run, or beside other pictures "
            f"(they differ by {most:.2g}); freeze the inference graph, without dropout and with "
            "trained batch normalization, and the output's first axis the pictures"
        )
    return probabilities


def _read_samples(path: Path) -> list[GoldenSample]:
    try:
        return _Samples.validate_json(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot read {path}: {tell_cause(error)}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = [f"sample {part + 1}" if isinstance(part, int) else part for part in problem["loc"]]
        where = " ".join(place) or "as a whole"
        raise StartupError(f"{path}: {where}: {problem['msg']}") from error


def _check_sample(model: OpenModel, sample: GoldenSample, *, folder: Path, limits: Limits) -> None:
    name = model.model.name
    if sample.label not in model.model.labels:
        raise StartupError(f"{sample.label!r} is no label of {model.model.spec.labels}")
    try:
        data = (folder / sample.image).read_bytes()
    except (OSError, ValueError) as error:
        raise StartupError(
            f"cannot read the image {str(sample.image)!r}: {tell_cause(error)}"
        ) from error
    point = None if sample.x is None or sample.y is None else (sample.x, sample.y)
    request = PredictionRequest(data, points=(point,), models=(name,), unit=sample.unit, top=1)
    prediction = predict(request, models={name: model}, limits=limits, deadline=Deadline.far())
    best = prediction.results[0].labels[name][:1]
    if not best or best[0].label != sample.label or best[0].probability < sample.min_probability:
        got = f"{best[0].label!r} with {best[0].probability:.3f}" if best else "nothing"
        raise StartupError(
            f"{sample.image} must get {sample.label!r} with {sample.min_probability:g} or more, "
            f"got {got}"
        )
