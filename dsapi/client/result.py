"""Results: what the service said, checked and typed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsapi.client.errors import Rejected, Unavailable


@dataclass(frozen=True)
class Label:
    """A label and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Result:
    """What the models see at a point; or, with `empty`, that nobody could say.

    Attributes:
        predictions: by model: its labels, best first. A model that failed has none.
        point: the pixel of the upright picture that was asked about.
        size: width and height of the upright picture.
        crops: by model: the box it saw, ``(left, top, right, bottom)``.
        versions: by model: its version.
        errors: by model: why it failed.
        timing_ms: by step: milliseconds in the service.
        id: the prediction's.
        reason: of an empty result: why there is no prediction.
    """

    predictions: Mapping[str, tuple[Label, ...]] = field(default_factory=dict)
    point: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    crops: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    id: str = ""
    reason: str = ""

    @property
    def empty(self) -> bool:
        """Whether there was no answer at all."""
        return bool(self.reason)

    def labels(self, model: str) -> tuple[Label, ...]:
        """Labels of a model, best first; none if it did not answer."""
        return self.predictions.get(model, ())


def read_answer(status: int, answer: bytes) -> Result:
    """Read what the service said.

    Raises:
        Rejected: it refused.
        Unavailable: it failed, or this is no answer of the service.
    """
    try:
        fields = json.loads(answer)
        if status == 200:
            return _read_result(fields)
        code, detail = str(fields["code"]), str(fields["detail"])
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise Unavailable(
            f"the service answered {status} with something else than its JSON"
        ) from error
    if 400 <= status < 500:
        raise Rejected(status=status, code=code, detail=detail)
    raise Unavailable(f"the service answered {status}, {code}: {detail}")


def _read_result(fields: Mapping[str, Any]) -> Result:
    return Result(
        predictions={
            str(model): tuple(
                Label(str(best["label"]), float(best["probability"])) for best in ranked
            )
            for model, ranked in fields["predictions"].items()
        },
        point=(int(fields["point"]["x"]), int(fields["point"]["y"])),
        size=(int(fields["image"]["width"]), int(fields["image"]["height"])),
        crops={str(model): _read_box(box) for model, box in fields["crops"].items()},
        versions={str(model): str(version) for model, version in fields["models"].items()},
        errors={str(model): str(error) for model, error in fields["errors"].items()},
        timing_ms={str(step): float(value) for step, value in fields["timing_ms"].items()},
        id=str(fields["id"]),
    )


def _read_box(box: Sequence[Any]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(edge) for edge in box)
    return left, top, right, bottom
