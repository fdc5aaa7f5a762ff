"""A real engine whose graph waits, fails or ends its thread when a test says so."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.engines import Graph, Session
from dsapi.prediction.crops import parse_crop
from dsapi.prediction.model import Model
from dsapi.prediction.spec import ModelSpec


class GatedGraph:
    """Two labels; every run after the warm-up passes through `gate`."""

    input_shape = (4, 4, 3)
    input_dtype = "float32"
    output_size = 2
    gains_from_batches = False

    def __init__(self, gate: Callable[[], None]) -> None:
        self.gate = gate
        self.open_sessions = 0
        self.lock = threading.Lock()

    def open_session(self) -> Session:
        with self.lock:
            self.open_sessions += 1
        return GatedSession(self)


class GatedSession(Session):
    """One worker's session."""

    def __init__(self, graph: GatedGraph) -> None:
        self._graph = graph
        self._runs = 0

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        self._runs += len(batch) == 1
        if self._runs > 3 and len(batch) == 1:  # neither the warm-up nor the golden check
            self._graph.gate()
        return np.tile(np.array([0.75, 0.25], np.float32), (len(batch), 1))

    def close(self) -> None:
        with self._graph.lock:
            self._graph.open_sessions -= 1


def gated_model(graph: Graph, *, version: str = "0" * 12) -> Model:
    spec = ModelSpec(graph=Path("none.pb"), labels=Path("none.txt"), crop=parse_crop("80%"))
    return Model(
        "themes",
        spec,
        graph,
        labels=("yes", "no"),
        size=(4, 4),
        flat=False,
        version=version,
        engine="tensorflow",
        loaded_since=datetime.now(UTC),
        load_ms=0.0,
    )
