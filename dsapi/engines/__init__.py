"""Engines load graph files and run them; what answers requests imports their libraries only here.

A graph file is loaded once per process (`load_graph`); every prediction worker opens a session
of its own on it. Called by `dsapi.prediction.model`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["tensorflow", "openvino"]
Precision = Literal["f32", "bf16", "f16"]
Batching = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is to run graphs.

    Attributes:
        precision: of the arithmetic. TensorFlow computes in the graph's own, ``f32``.
        batching: whether the inputs of sessions that wait at the same time run as one batch;
            ``auto``: if the engine says that its device gains from it.
        sessions: how many are to run at a time; more may be opened.
    """

    precision: Precision = "f32"
    batching: Batching = "auto"
    sessions: int = 1


class Session(Protocol):
    """One thread's means of running a graph."""

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map inputs ``[n, …]`` to scores ``float32 [n, labels]``."""

    def start(self, batch: NDArray[np.generic]) -> Callable[[], NDArray[np.float32]]:
        """Begin a run; what is returned waits for its end and gives the scores.

        An engine that computes in the calling thread has done so by then; one with threads of its
        own goes on meanwhile.
        """
        scores = self.run(batch)
        return lambda: scores

    def close(self) -> None:
        """Give back what the session holds."""


class Graph(Protocol):
    """A graph file in memory, shared by all sessions on it."""

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of one input without the batch axis; ``None`` for an open axis or rank."""

    @property
    def input_dtype(self) -> str:
        """Type of the input's values as NumPy names it: ``float32``, ``uint8``."""

    @property
    def output_size(self) -> int | None:
        """Number of scores per input; ``None`` if the graph leaves it open."""

    @property
    def gains_from_batches(self) -> bool:
        """Whether a batch of n takes less than n times as long as one input."""

    def open_session(self) -> Session:
        """Open a session for the calling thread."""


def load_graph(
    path: Path,
    *,
    engine: EngineName,
    input_tensor: str | None,
    output_tensor: str | None,
    input_size: int | None = None,
    options: EngineOptions = EngineOptions(),
) -> Graph:
    """Load a frozen graph with the named engine.

    Args:
        path: a frozen TensorFlow ``GraphDef`` (``.pb``).
        engine: which library runs it.
        input_tensor: name of the tensor to feed (``image`` or ``image:0``); ``None``: the
            graph's only placeholder.
        output_tensor: name of the tensor to fetch; ``None``: the only output that nothing reads.
        input_size: side of the input in pixels, for engines that must know what the graph may
            leave open.
        options: how it is to run.

    Raises:
        StartupError: the file is missing or no graph, a tensor is missing or ambiguous, or the
            engine is not installed or lacks an option.
    """
    from dsapi.engines.batching import BatchingGraph

    graph = _loader(engine)(
        path,
        options,
        input_tensor=input_tensor,
        output_tensor=output_tensor,
        input_size=input_size,
    )
    if options.batching == "on" or (options.batching == "auto" and graph.gains_from_batches):
        return BatchingGraph(graph)
    return graph


def _loader(engine: EngineName) -> Callable[..., Graph]:
    """Import the engine's module only now: its library is large and perhaps not fork-safe."""
    if engine == "openvino":
        from dsapi.engines import openvino

        return openvino.load
    from dsapi.engines import tensorflow

    return tensorflow.load
