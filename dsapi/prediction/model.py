"""Models: a graph, its labels and how a crop becomes its input, all by configuration.

`Model` is a graph that a `ModelSpec` names, loaded; `OpenModel` is one worker's session on it.
Called by the workers and the command line.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dsapi.engines import (
    EngineName,
    EngineOptions,
    Graph,
    Session,
    load_graph,
    refuse_other_formats,
)
from dsapi.errors import ModelError, StartupError, first_line
from dsapi.prediction.labels import read_labels
from dsapi.prediction.ranking import PROBABILITY_TOLERANCE, activate, are_probabilities
from dsapi.prediction.spec import Dtype, ModelSpec


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
        """Open a session for the calling thread and run it, so that no caller waits for it.

        Raises:
            StartupError: the graph does not run, gives another number of scores than labels,
                scores that are no probabilities, or probabilities although an activation is set.
        """
        model = OpenModel(self, self.graph.open_session())
        bare = self.spec.model_copy(update={"activation": "none"})
        unactivated = OpenModel(replace(self, spec=bare), model.session)
        try:
            scores = [unactivated.run(crops) for crops in warm_up_crops(*self.size)]
            _check_scores(np.concatenate(scores), self.spec)
        except (ModelError, StartupError) as error:
            model.session.close()
            raise StartupError(f"[models.{self.name}] {error}") from error
        return model


@dataclass(frozen=True)
class OpenModel:
    """A model with a session of one thread."""

    model: Model
    session: Session

    def run(self, crops: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the graph on crops and wait for it; as `start`, whose return value it calls."""
        return self.start(crops)()

    def start(
        self, crops: NDArray[np.uint8] | NDArray[np.float32]
    ) -> Callable[[], NDArray[np.float32]]:
        """Begin to run the graph on crops.

        Args:
            crops: ``[n, height, width, 3]``, RGB, 0 to 255, at the model's `size`. A graph that
                takes integers gets them scaled, rounded and kept within 0 to 255.

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
        if spec.dtype == "uint8":
            scaled = np.rint(scaled).clip(0, 255)
        batch = scaled.astype(spec.dtype, copy=False)
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
                f"the graph gives scores of shape {found.shape} for {count} crops, "
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


def warm_up_crops(height: int, width: int) -> list[NDArray[np.uint8]]:
    """Black, white and noise.

    One by one, as most callers ask: sessions of TensorFlow that have run two at a time are slower
    ever after (0.96 times the answers of a server with two such, 6 rounds side by side).
    """
    noise = np.random.default_rng(1).integers(0, 256, (1, height, width, 3), np.uint8)
    return [np.zeros_like(noise), np.full_like(noise, 255), noise]


def _check_scores(scores: NDArray[np.float32], spec: ModelSpec) -> None:
    """See that scores, ``float32 [n, labels]``, are probabilities or are made some, but not both.

    A softmax of probabilities gives all labels nearly the same, in the right order: no answer
    looks wrong, but none is sure. Logits that happen to be from 0 to 1 do not sum to 1 each time.
    """
    if not are_probabilities(activate(scores, spec.activation)):
        raise StartupError(
            f"{spec.graph} gives scores that are no probabilities "
            f"(from {scores.min():.4g} to {scores.max():.4g}); "
            "set activation to softmax or sigmoid, or freeze the graph again"
        )
    summed = scores.shape[1] > 1 and np.allclose(
        scores.sum(axis=1), 1, rtol=0, atol=PROBABILITY_TOLERANCE
    )
    if spec.activation != "none" and summed and are_probabilities(scores):
        raise StartupError(
            f"{spec.graph} gives probabilities already (from {scores.min():.4g} to "
            f"{scores.max():.4g}, they sum to 1), but activation = {spec.activation!r}; "
            'set it to "none"'
        )


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
            ambiguous, its input is no RGB picture of the configured type, or labels and scores
            differ in number.
    """
    started = time.perf_counter()
    try:
        labels = read_labels(spec.labels)
        refuse_other_formats(spec.graph)
        digest = _hash(spec)
        graph = load_graph(
            spec.graph,
            engine=engine,
            input_tensor=spec.input_tensor,
            output_tensor=spec.output_tensor,
            input_size=spec.input_size,
            options=options,
        )
        if _hash(spec) != digest:  # the engine has read the file by itself
            raise StartupError(f"{spec.graph} has changed while it was loaded; load it again")
        size, flat = _input_layout(graph, spec)
        _check_output(graph, spec, labels=len(labels))
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


def _check_output(graph: Graph, spec: ModelSpec, *, labels: int) -> None:
    if graph.output_size not in (None, labels):
        raise StartupError(
            f"{spec.graph} gives {graph.output_size} scores, {spec.labels} has {labels} "
            "labels; use the labels that the graph was trained with"
        )


def _input_layout(graph: Graph, spec: ModelSpec) -> tuple[tuple[int, int], bool]:
    """Find height and width of the input, and whether the graph takes it flat."""
    if graph.input_dtype != spec.dtype:
        possible = graph.input_dtype in get_args(Dtype)
        raise StartupError(
            f"{spec.graph} takes {graph.input_dtype}, but dtype = {spec.dtype!r}; "
            + (
                f"set dtype to {graph.input_dtype!r}"
                if possible
                else f"a graph can be fed {' or '.join(get_args(Dtype))}: freeze it with such an "
                "input, which it may cast itself"
            )
        )
    shape, asked = graph.input_shape, spec.input_size
    axes = (None, None, 3) if shape is None else shape
    size: tuple[int | None, int | None]
    if len(axes) == 1:
        values = axes[0] or 3 * (asked or 0) ** 2
        side = asked or math.isqrt(values // 3)
        if 3 * side**2 != values:
            raise StartupError(
                f"the flat input of {values} values is no square RGB picture"
                + (f" of input_size = {asked}" if asked else "")
            )
        size = (side, side)
    elif len(axes) == 3 and axes[2] in (3, None):
        size = (axes[0] or asked, axes[1] or asked)
        if asked and size != (asked, asked):
            raise StartupError(f"input_size = {asked}, but the graph takes {axes[0]} × {axes[1]}")
    else:
        raise StartupError(
            f"the graph takes [{', '.join(['n', *(str(each or 'any') for each in axes)])}], not "
            "[n, height, width, 3]"
            + ("; freeze it with a transposition before it" if axes[:1] == (3,) else ", RGB")
        )
    if not (size[0] and size[1]):
        raise StartupError(
            f"the graph leaves its input size open (shape {shape}); set input_size in pixels"
        )
    return (size[0], size[1]), len(axes) == 1
