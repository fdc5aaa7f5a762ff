"""Batching: what several threads want from one device at a time runs as one batch.

For devices on which a batch of n takes less than n times as long as one input: GPUs. On a CPU
it does not (measured: 8 inputs take 8 times as long as 1), so `dsapi.engines.load_graph` puts it
around a graph only where the engine asks for it.

There is no timer and no thread: whoever comes while the device is free runs at once and alone;
whoever comes while it is busy waits, and the first to get it next runs for all who wait.
"""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsapi.engines import Graph, Session

# Bounds the memory of one run. More than any number of workers that keeps a device busy.
_MAX_INPUTS = 64


@dataclass(frozen=True)
class _Waiting:
    """A thread's inputs, and where their scores go."""

    batch: NDArray[np.generic]
    scores: "Future[NDArray[np.float32]]" = field(default_factory=Future)


class _Device:
    """One session that many threads share, one at a time, with the inputs that wait for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._free = threading.Lock()
        self._changing = threading.Lock()
        self._waiting: list[_Waiting] = []

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run a batch together with all that wait, or find that another thread has done so."""
        mine = _Waiting(batch)
        with self._changing:
            self._waiting.append(mine)
        with self._free:
            while not mine.scores.done():
                self._run_together(self._take())
        return mine.scores.result()

    def close(self) -> None:
        self._session.close()

    def _take(self) -> list[_Waiting]:
        """Take the oldest that fit into one run; at least one."""
        with self._changing:
            count, inputs = 0, 0
            for waiting in self._waiting:
                inputs += len(waiting.batch)
                if count and inputs > _MAX_INPUTS:
                    break
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _run_together(self, group: list[_Waiting]) -> None:
        try:
            scores = self._session.run(np.concatenate([waiting.batch for waiting in group]))
        except BaseException as error:  # each engine has its own
            for waiting in group:
                # Whose inputs are to blame shows when each runs alone, unless the thread is to end.
                if len(group) > 1 and isinstance(error, Exception):
                    self._run_together([waiting])
                else:
                    waiting.scores.set_exception(error)
            return
        start = 0
        for waiting in group:
            end = start + len(waiting.batch)
            waiting.scores.set_result(scores[start:end])
            start = end


class BatchingSession(Session):
    """One thread's way to the shared device."""

    def __init__(self, graph: "BatchingGraph", device: _Device) -> None:
        """Share a graph's device."""
        self._graph = graph
        self._device = device

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map inputs ``[n, …]`` to scores ``float32 [n, labels]``."""
        return self._device.run(batch)

    def close(self) -> None:
        """Let go of the device; the last one to do so closes it."""
        self._graph.release()


class BatchingGraph:
    """A graph whose sessions share one session of `graph`."""

    def __init__(self, graph: Graph) -> None:
        """Wrap a loaded graph."""
        self._graph = graph
        self._changing = threading.Lock()
        self._device: _Device | None = None
        self._users = 0
        self.input_shape = graph.input_shape
        self.input_dtype = graph.input_dtype
        self.output_size = graph.output_size
        self.gains_from_batches = graph.gains_from_batches

    def open_session(self) -> BatchingSession:
        """Open a session for the calling thread."""
        with self._changing:
            if self._device is None:
                self._device = _Device(self._graph.open_session())
            self._users += 1
            return BatchingSession(self, self._device)

    def release(self) -> None:
        """Count a session less; close the device after the last."""
        with self._changing:
            self._users -= 1
            if self._users == 0 and self._device is not None:
                self._device.close()
                self._device = None
