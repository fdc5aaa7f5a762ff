"""Engines load graph files and run them; only modules in this package import their libraries.

A graph file is loaded once per process (`load_graph`); every prediction worker opens a session
of its own on it. Called by `dsapi.prediction.model`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["tensorflow"]


class Session(Protocol):
    """One thread's means of running a graph."""

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map inputs ``[n, …]`` to scores ``float32 [n, labels]``."""

    def close(self) -> None:
        """Give back what the session holds."""


class Graph(Protocol):
    """A graph file in memory, shared by all sessions on it."""

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of one input without the batch axis; ``None`` for an open axis or rank."""

    @property
    def output_size(self) -> int | None:
        """Number of scores per input; ``None`` if the graph leaves it open."""

    def open_session(self) -> Session:
        """Open a session for the calling thread."""


def load_graph(
    path: Path, *, engine: EngineName, input_tensor: str | None, output_tensor: str | None
) -> Graph:
    """Load a frozen graph with the named engine.

    Args:
        path: a frozen TensorFlow ``GraphDef`` (``.pb``).
        engine: which library runs it.
        input_tensor: name of the tensor to feed (``image`` or ``image:0``); ``None``: the
            graph's only placeholder.
        output_tensor: name of the tensor to fetch; ``None``: the only output that nothing reads.

    Raises:
        StartupError: the file is missing or no graph, or a tensor is missing or ambiguous.
    """
    return _loader(engine)(path, input_tensor=input_tensor, output_tensor=output_tensor)


def _loader(engine: EngineName) -> Callable[..., Graph]:
    """Import the engine's module only now: its library is large and not fork-safe."""
    from dsapi.engines import tensorflow

    return {"tensorflow": tensorflow.load}[engine]
