"""Settings of a training on one's own labels, from a YAML file.

Enters: a YAML file or nothing. Leaves: `ImageConfig`. Called by ``dsapi train image``. An
unknown or wrong setting stops the training and is named.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from dsapi.errors import StartupError, first_line
from dsapi.prediction.crops import parse_crop

_DECIDED = {"include_top", "weights", "input_shape", "input_tensor", "pooling", "classes"}
CROP = parse_crop("80%")
"""What a network sees of a photo, in training as in the section that serves it."""

Activation = Literal["softmax", "sigmoid"]
"""What a network ends in: one label a photo, or any number of them."""


class ImageConfig(BaseModel):
    """How to train; every setting has a default that suits a few hundred photos a label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str = Field("MobileNetV2", description="Name of a network in keras.applications")
    backbone_options: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="Further arguments of it, such as alpha: 0.35"
    )
    size: int = Field(224, ge=32, le=1024, description="Side of the network's input in pixels")
    activation: Literal["auto", "softmax", "sigmoid"] = Field(
        "auto", description="softmax: one label a photo; sigmoid: any number; auto: as the data is"
    )
    epochs: int = Field(12, ge=1, description="Most passes over the photos")
    frozen_epochs: int = Field(2, ge=0, description="First passes that train only the new layer")
    patience: int = Field(3, ge=1, description="Stop after so many epochs without a gain")
    batch_size: int = Field(32, ge=1, description="Photos a step")
    learning_rate: float = Field(1e-3, gt=0, lt=1e3, description="Of the new layer")
    backbone_rate: float = Field(
        1e-4, ge=0, lt=1e3, description="Of the backbone; 0: stays as it is"
    )
    label_smoothing: float = Field(0.05, ge=0, lt=0.5, description="Pull of targets to the middle")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of features left out in a step")
    augmentation: Literal["strong", "crop"] = Field(
        "strong", description="crop: random points only, colors and sharpness stay"
    )
    class_weights: bool = Field(True, description="Count rare labels more")
    seed: int = Field(0, ge=0, lt=2**32, description="Of everything random")

    @field_validator("backbone_options")
    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Leave to the training what it decides itself."""
        if taken := sorted(set(options) & _DECIDED):
            raise PydanticCustomError("decided", f"{', '.join(taken)} cannot be chosen")
        return options


def read_config(path: Path | None) -> ImageConfig:
    """Read settings, or give the defaults without a file.

    Raises:
        StartupError: The file cannot be read, or a setting is unknown or out of range.
    """
    if path is None:
        return ImageConfig()
    import yaml

    try:
        text = path.read_text("utf-8-sig")
        values = yaml.safe_load(text)
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        # A parser's message has the place of the problem in lines of its own.
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or first_line(error)
        where = f" on line {mark.line + 1}" if mark is not None else ""
        raise StartupError(f"cannot read the training settings {path}: {reason}{where}") from error
    if values is None:
        return ImageConfig()
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise StartupError(f"{path} must hold lines such as 'epochs: 12'")
    _check_repeated(top.value, path)
    try:
        return ImageConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(ImageConfig.model_fields)
            raise StartupError(f"{path}: unknown setting {name!r}; known are {known}") from error
        got = repr(first["input"])[:60]
        raise StartupError(f"{path}: {name}: {first['msg']}, not {got}") from error


def _check_repeated(pairs: list[tuple[Any, Any]], path: Path) -> None:
    """Refuse a setting that stands there twice: PyYAML takes the last one without a word."""
    for (first, _), (second, _) in combinations(pairs, 2):
        if first.value == second.value:
            lines = f"{first.start_mark.line + 1} and {second.start_mark.line + 1}"
            raise StartupError(f"{path}: {first.value} stands on lines {lines}; remove one")
