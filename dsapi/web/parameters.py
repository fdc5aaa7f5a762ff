"""Parameters: defined once, validated once, whatever form they came in."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from dsapi.errors import BadParameter, BadPoint, BadRequest, quote
from dsapi.prediction.points import Unit
from dsapi.web.fields import load_json

MAX_POINTS = 64
# More than anybody has models; a name takes twenty times the memory of its text.
_MAX_NAMES = 1024
POINT_FIELDS = ("x", "y", "points")
_COORDINATE = "a finite number"
# What an error says is permitted: of a parameter, and of what is inside it, level by level.
_PERMITTED: Mapping[str, tuple[str, ...]] = {
    "x": (_COORDINATE,),
    "y": (_COORDINATE,),
    "points": (f"a JSON list [[x, y], …] of 1 to {MAX_POINTS} points", "[x, y]", _COORDINATE),
    "unit": ("'px' or 'percent'",),
    "models": ("one or more names, comma separated", "a name"),
    "top": ("a whole number between 1 and 50",),
    "min_probability": ("a number between 0 and 1",),
}


def _number(value: Any) -> Any:
    """Refuse what Python counts as a number and nobody else: JSON's true and false, and 1_0."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError("no number")
    return value


def _names(value: Any) -> Any:
    """Take ``themes,colors`` as well as a JSON list."""
    if isinstance(value, str) and value.count(",") >= _MAX_NAMES:
        raise ValueError("too many names")
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _json_list(value: Any) -> Any:
    """Take the text of a JSON list, as forms and query strings carry it."""
    return load_json(value) if isinstance(value, str) else value


# That it is not negative is told to the schema's readers; the core checks it, by the picture.
Coordinate = Annotated[
    float,
    BeforeValidator(_number),
    Field(allow_inf_nan=False, json_schema_extra={"minimum": 0}),
]
Names = Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]
PointList = Annotated[
    list[tuple[Coordinate, Coordinate]],
    BeforeValidator(_json_list),
    Field(min_length=1, max_length=MAX_POINTS),
]


class Parameters(BaseModel):
    """What both kinds of prediction take, beside the picture."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Unit = Field("px", description="Unit of the coordinates: px or percent")
    models: Names | None = Field(
        None, description="Which models to run, comma separated; all that are marked default"
    )
    top: Annotated[int, BeforeValidator(_number)] = Field(
        5, ge=1, le=50, description="How many labels each, 1 to 50"
    )
    min_probability: Annotated[float, BeforeValidator(_number)] = Field(
        0.0, ge=0, le=1, description="Leave out labels below this, 0 to 1"
    )


class PointParameters(Parameters):
    """Parameters of a prediction at one point."""

    x: Coordinate | None = Field(None, description="The point, from the left edge")
    y: Coordinate | None = Field(None, description="The point, from the top edge")

    @property
    def asked_points(self) -> tuple[tuple[float, float] | None, ...]:
        """The one point, ``None`` for the center."""
        return (None if self.x is None or self.y is None else (self.x, self.y),)

    @model_validator(mode="after")
    def _both_or_neither(self) -> "PointParameters":
        if (self.x is None) != (self.y is None):
            missing, given = ("x", "y") if self.x is None else ("y", "x")
            raise BadPoint(f"x and y go together: {given} came without {missing}")
        return self


class BatchParameters(Parameters):
    """Parameters of a prediction at many points."""

    points: PointList = Field(
        description="A JSON list [[x, y], …] of 1 to 64 points", examples=[[[120, 340], [5, 6]]]
    )

    @property
    def asked_points(self) -> tuple[tuple[float, float] | None, ...]:
        """The points in the order asked."""
        return tuple(self.points)


AnyParameters = TypeVar("AnyParameters", PointParameters, BatchParameters)


def read_parameters(kind: type[AnyParameters], values: Mapping[str, Any]) -> AnyParameters:
    """Validate parameters.

    Raises:
        BadPoint: a coordinate is no number, or comes alone.
        BadParameter: a parameter is out of its range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _explain(error) from error


def _explain(error: ValidationError) -> BadRequest:
    """Name the first parameter that is wrong, its value and what is permitted."""
    problem = error.errors(include_url=False)[0]
    name, *inside = (str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        if not inside:
            return BadPoint(f"{name} is missing: it must be {_PERMITTED[name][0]}")
        inside.pop()  # it is the pair that is wrong, not the number that it lacks
    permitted = _PERMITTED[name][len(inside)]
    if name == "points" and len(inside) == 2:
        inside[1] = "xy"[int(inside[1])]  # as the core names it, where it is outside the picture
    what = ".".join((name, *inside))
    got = quote(problem["input"])
    if name == "points" and problem["type"] == "too_long" and not inside:
        got = f"{problem['ctx']['actual_length']} points"  # the list itself is cut before its end
    detail = f"{what} must be {permitted}, got {got}"
    return BadPoint(detail) if name in POINT_FIELDS else BadParameter(detail)
