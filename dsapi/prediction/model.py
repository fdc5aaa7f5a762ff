"""Models: a graph, its labels and how a crop becomes its input, all by configuration.

`ModelSpec` is a ``[models.NAME]`` section of the configuration; `Model` is that graph loaded;
`OpenModel` is one worker's session on it. Called by the workers and the command line.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dsapi.engines import EngineName, EngineOptions, Graph, Session, load_graph
from dsapi.errors import ModelError, StartupError, first_line
from dsapi.prediction.crops import Crop, Resize, parse_crop
from dsapi.prediction.labels import read_labels
from dsapi.prediction.ranking import Activation, activate

Dtype = Literal["float32", "uint8"]


def _crop_from_text(value: Any) -> Any:
    return parse_crop(value) if isinstance(value, str) else value


class ModelSpec(BaseModel):
    """One model, as configured. The field descriptions are the documentation of the section."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    graph: Path = Field(description="Frozen TensorFlow graph (`.pb`)")
    labels: Path = Field(description="Text file, one label a line, in the order of the output")
    crop: Annotated[Crop, BeforeValidator(_crop_from_text)] = Field(
        description="Part of the picture around the point: `80%` of both sides, or `9px`"
    )
    resize: Resize = Field(
        "stretch", description="How a crop gets the input's shape: stretch, center-crop, letterbox"
    )
    input_size: int | None = Field(
        None, ge=1, description="Side of the input in pixels; needed if the graph leaves it open"
    )
    dtype: Dtype = Field("float32", description="Type of the input: float32 or uint8")
    scale: float = Field(
        1.0, allow_inf_nan=False, description="The graph is fed pixel × scale + offset …"
    )
    offset: float = Field(
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
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Expected hash of the graph file; another file stops the start",
    )
    url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="Where the graph is downloaded from if it is missing; needs sha256",
    )

    @model_validator(mode="after")
    def _check_download(self) -> "ModelSpec":
        """Nothing is downloaded that cannot be verified."""
        if self.url is not None and self.sha256 is None:
            raise ValueError("url needs sha256: a download that cannot be verified is not used")
        return self


@dataclass(frozen=True)
class Model:
    """A loaded model, shared by all workers.

    Attributes:
        name: as configured.
        spec: as configured.
        labels: one per output of the graph.
        size: height and width of the input, in pixels.
        flat: whether the graph takes ``[n, height * width * 3]``, rows first, RGB last.
        version: first 12 hex digits of the SHA-256 of the graph file.
        engine: what runs it.
        loaded_since: when loading ended, UTC.
        load_ms: how long reading and importing took.
    """

    name: str
    spec: ModelSpec
    graph: Graph
    labels: tuple[str, ...]
    size: tuple[int, int]
    flat: bool
    version: str
    engine: EngineName
    loaded_since: datetime
    load_ms: float

    def open(self) -> "OpenModel":
        """Open a session for the calling thread and run it once, so that no caller waits for it.

        Raises:
            StartupError: the graph does not run, or gives another number of scores than labels.
        """
        model = OpenModel(self, self.graph.open_session())
        height, width = self.size
        try:
            model.score(np.zeros((1, height, width, 3), np.uint8))
        except ModelError as error:
            raise StartupError(f"[models.{self.name}] {error}") from error
        return model


@dataclass(frozen=True)
class OpenModel:
    """A model with a session of one thread."""

    model: Model
    session: Session

    def score(self, crops: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the graph on crops and wait for it; as `start`, whose return value it calls."""
        return self.start(crops)()

    def start(
        self, crops: NDArray[np.uint8] | NDArray[np.float32]
    ) -> Callable[[], NDArray[np.float32]]:
        """Begin to run the graph on crops.

        Args:
            crops: ``[n, height, width, 3]``, RGB, 0 to 255, at the model's `size`. A graph that
                takes integers gets them rounded.

        Returns:
            What waits for the end and gives the probabilities, ``float32 [n, labels]``.

        Raises:
            ModelError: also from what is returned: the engine failed, or the output has another
                shape.
        """
        spec = self.model.spec
        scaled: NDArray[np.generic] = crops
        if (spec.scale, spec.offset) != (1.0, 0.0):
            scaled = crops * np.float32(spec.scale) + np.float32(spec.offset)
        batch = (np.rint(scaled) if spec.dtype == "uint8" else scaled).astype(spec.dtype)
        if self.model.flat:
            batch = batch.reshape(len(batch), -1)
        with _naming_failures():
            scores = self.session.start(batch)
        return partial(self._finish, scores, len(crops))

    def _finish(self, scores: Callable[[], NDArray[np.float32]], count: int) -> NDArray[np.float32]:
        with _naming_failures():
            found = scores()
        if found.shape != (count, len(self.model.labels)):
            raise ModelError(
                f"the graph gives {found.shape[-1]} scores a picture, "
                f"{self.model.spec.labels} has {len(self.model.labels)} labels"
            )
        return activate(found, self.model.spec.activation)


@contextmanager
def _naming_failures() -> Iterator[None]:
    """Make a `ModelError` of whatever an engine raises: each has its own exceptions."""
    try:
        yield
    except Exception as error:
        raise ModelError(f"the graph failed: {first_line(error)}") from error


def load_model(
    name: str,
    spec: ModelSpec,
    *,
    engine: EngineName,
    options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
) -> Model:
    """Load a model's graph and labels.

    Args:
        name: as configured.
        spec: as configured.
        engine: what runs the graph.
        options: how.

    Raises:
        StartupError: a file is missing, corrupt or not the expected one, the graph's ends are
            ambiguous, its input is no RGB picture, or labels and scores differ in number.
    """
    started = time.perf_counter()
    try:
        labels = read_labels(spec.labels)
        digest = _hash(spec)
        graph = load_graph(
            spec.graph,
            engine=engine,
            input_tensor=spec.input_tensor,
            output_tensor=spec.output_tensor,
            input_size=spec.input_size,
            options=options,
        )
        size, flat = _input_layout(graph.input_shape, spec)
        if graph.output_size is not None and graph.output_size != len(labels):
            raise StartupError(
                f"{spec.graph} gives {graph.output_size} scores, {spec.labels} has {len(labels)} "
                "labels; use the labels that the graph was trained with"
            )
    except StartupError as error:
        raise StartupError(f"[models.{name}] {error}") from error
    return Model(
        name,
        spec,
        graph,
        labels=labels,
        size=size,
        flat=flat,
        version=digest[:12],
        engine=engine,
        loaded_since=datetime.now(UTC),
        load_ms=(time.perf_counter() - started) * 1000,
    )


def _hash(spec: ModelSpec) -> str:
    try:
        digest = hashlib.sha256(spec.graph.read_bytes()).hexdigest()
    except OSError as error:
        raise StartupError(
            f"cannot read the graph {spec.graph}: {error.strerror}; "
            "check `graph` in the model's section"
        ) from error
    if spec.sha256 not in (None, digest):
        raise StartupError(
            f"{spec.graph} has SHA-256 {digest}, but sha256 = {spec.sha256!r}; "
            "put the expected file there, or correct the setting"
        )
    return digest


def _input_layout(
    shape: tuple[int | None, ...] | None, spec: ModelSpec
) -> tuple[tuple[int, int], bool]:
    """Find height and width of the input, and whether the graph takes it flat."""
    asked = spec.input_size
    if shape is not None and len(shape) == 1 and shape[0] is not None:
        side = asked or math.isqrt(shape[0] // 3)
        if side * side * 3 != shape[0]:
            raise StartupError(
                f"the flat input of {shape[0]} values is no square RGB picture"
                + (f" of input_size = {asked}" if asked else "")
            )
        return (side, side), True
    if shape is not None and len(shape) == 3:
        height, width, channels = shape
        if channels not in (3, None):
            raise StartupError(f"the graph takes {channels} channels, not RGB")
        fixed = (height or asked, width or asked)
        if asked and fixed != (asked, asked):
            raise StartupError(f"input_size = {asked}, but the graph takes {height} × {width}")
        if fixed[0] and fixed[1]:
            return (fixed[0], fixed[1]), False
    elif shape is None and asked:
        return (asked, asked), False
    elif shape is not None and asked and len(shape) == 1:
        return (asked, asked), True
    raise StartupError(
        f"the graph leaves its input size open (shape {shape}); set input_size in pixels"
    )
