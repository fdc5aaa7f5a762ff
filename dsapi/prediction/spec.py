"""The ``[models.NAME]`` section of the configuration: what is to be known of a model.

Called by `dsapi.settings`, which reads it, by `dsapi.prediction.model`, which loads the graph, and
by whoever is asked for some of the models.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dsapi.errors import BadParameter, quote
from dsapi.prediction.crops import Crop, Resize, parse_crop
from dsapi.prediction.ranking import Activation

Dtype = Literal["float32", "uint8"]


# Fewer steps than this between black and white are no picture.
_LEAST_STEPS = 2


def _read_crop(value: Any) -> Crop:
    if isinstance(value, Crop):
        return value
    if not isinstance(value, str):
        raise ValueError("a crop is text: a share such as '80%' or a size such as '9px'")
    return parse_crop(value)


def _refuse_channels(value: Any) -> Any:
    if isinstance(value, list | tuple):
        raise ValueError(
            "one number for all channels; put per-channel normalization into the graph"
        )
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


#: One number for all three channels.
_Number = Annotated[float, BeforeValidator(_refuse_channels)]


class ModelSpec(BaseModel):
    """One model, as configured. The field descriptions are the documentation of the section."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    graph: Path = Field(description="Frozen TensorFlow graph (`.pb`)")
    labels: Path = Field(description="Text file, one label a line, in the order of the output")
    crop: Annotated[Crop, BeforeValidator(_read_crop)] = Field(
        description="Part of the picture around the point: `80%` of both sides, or `9px`"
    )
    resize: Resize = Field(
        "stretch", description="How a crop gets the input's shape: stretch, center-crop, letterbox"
    )
    input_size: int | None = Field(
        None, ge=1, description="Side of the input in pixels; needed if the graph leaves it open"
    )
    dtype: Dtype = Field("float32", description="Type of the input: float32 or uint8")
    scale: _Number = Field(
        1.0, allow_inf_nan=False, description="The graph is fed pixel × scale + offset …"
    )
    offset: _Number = Field(
        0.0,
        allow_inf_nan=False,
        description="… of RGB 0–255; for a mean m and a std s: scale = 1/s, offset = -m/s",
    )
    input_tensor: str | None = Field(
        None, description="Tensor to feed; needed unless the graph has one placeholder"
    )
    output_tensor: str | None = Field(
        None, description="Tensor to fetch; needed unless the graph has one output"
    )
    activation: Activation = Field(
        "none",
        description="What turns the output into probabilities: none (the graph does), "
        "softmax (one label is right), sigmoid (each label by itself)",
    )
    min_probability: float = Field(
        0.0, ge=0, le=1, description="Labels below this are never returned"
    )
    golden: Path | None = Field(
        None,
        description="JSON list of pictures and the labels that they must get; a graph that gives "
        "others is not put into service",
    )
    default: bool = Field(True, description="Whether requests that name no models get this one")
    sha256: Annotated[str | None, BeforeValidator(_lower)] = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Expected hash of the graph file; another file stops the start",
    )
    url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="Where the graph is downloaded from if it is missing; needs sha256",
    )

    @field_validator("scale")
    @classmethod
    def _check_steps(cls, scale: float, info: ValidationInfo) -> float:
        """Refuse what would leave all pictures alike, or black and white after rounding."""
        if scale == 0:
            raise PydanticCustomError("steps", "makes all pictures alike; it must not be 0")
        if info.data.get("dtype") == "uint8" and abs(255 * scale) < _LEAST_STEPS:
            raise PydanticCustomError(
                "steps",
                "leaves nothing of a picture that is rounded to whole numbers; a graph with "
                "dtype = 'uint8' takes 0-255 and scales inside: leave scale out",
            )
        return scale

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        """Refuse now what a download would fail on."""
        try:
            parts = urlsplit(url or "http://host")
            usable = bool(parts.hostname) and parts.port != 0 and parts.username is None
            usable = usable and parts.geturl().isascii()
        except ValueError:
            usable = False
        if not usable:
            raise PydanticCustomError(
                "url", "must be http(s)://HOST[:PORT]/PATH in ASCII, without a user"
            )
        return url

    @model_validator(mode="after")
    def _check_download(self) -> "ModelSpec":
        """Nothing is downloaded that cannot be verified."""
        if self.url is not None and self.sha256 is None:
            raise ValueError("url needs sha256: a download that cannot be verified is not used")
        return self


def choose_models(names: Sequence[str] | None, specs: Mapping[str, ModelSpec]) -> tuple[str, ...]:
    """Take the models asked for, each once, or, where none is named, those that are default.

    Raises:
        BadParameter: there is no such model, or none is default.
    """
    if names is None:
        names = [name for name, spec in specs.items() if spec.default]
        if not names:
            raise BadParameter(f"models must name some of {', '.join(specs)}")
    for name in names:
        if name not in specs:
            known = ", ".join(specs)
            raise BadParameter(f"models must be among {known}; got {quote(name)}")
    return tuple(dict.fromkeys(names))
