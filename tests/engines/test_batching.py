"""Batching: threads that wait for a device share its next run."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsapi.engines import EngineOptions, Session, load_graph
from dsapi.engines.batching import BatchingGraph
from tests.graphs import freeze_brightest_channel

PICTURES = np.random.default_rng(2).uniform(0, 255, (48, 1, 9, 9, 3)).astype(np.float32)


class Gate(Session):
    """A device that waits for a signal before every run and notes the size of each batch."""

    input_shape = (9, 9, 3)
    input_dtype = "float32"
    output_size = 1
    gains_from_batches = True

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.may_run = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.closed = 0

    def open_session(self) -> Session:
        return self

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        self.entered.release()
        self.may_run.acquire()
        self.sizes.append(len(batch))
        if np.isnan(batch.astype(np.float32)).any():
            raise ValueError("not a number")
        return batch.reshape(len(batch), -1)[:, :1].astype(np.float32)

    def close(self) -> None:
        self.closed += 1


def load(path: Path, *, batching: bool) -> object:
    options = EngineOptions(batching="on" if batching else "off")
    return load_graph(
        path, engine="tensorflow", input_tensor=None, output_tensor=None, options=options
    )


def test_on_a_cpu_requests_are_not_batched_by_themselves(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb")
    graph = load_graph(path, engine="tensorflow", input_tensor=None, output_tensor=None)
    assert isinstance(graph, BatchingGraph) == graph.gains_from_batches
    assert isinstance(load(path, batching=True), BatchingGraph)
    assert not isinstance(load(path, batching=False), BatchingGraph)


def test_batched_threads_get_what_each_gets_alone(tmp_path: Path) -> None:
    path = freeze_brightest_channel(tmp_path / "graph.pb")
    alone = load_graph(path, engine="tensorflow", input_tensor=None, output_tensor=None)
    session = alone.open_session()
    expected = [session.run(picture) for picture in PICTURES]
    graph = load(path, batching=True)
    assert isinstance(graph, BatchingGraph)
    assert (graph.input_shape, graph.output_size) == ((9, 9, 3), 3)
    shared = [graph.open_session() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: shared[i % 8].run(PICTURES[i]), range(len(PICTURES))))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def start(graph: BatchingGraph, batch: NDArray[np.float32], pool: ThreadPoolExecutor) -> object:
    return pool.submit(graph.open_session().run, batch)


def wait_until_queued(graph: BatchingGraph, count: int) -> None:
    for _ in range(2000):
        if len(graph._device._waiting) == count:  # type: ignore[union-attr]
            return
        threading.Event().wait(0.005)
    raise AssertionError("the threads did not queue")


def test_who_comes_while_the_device_is_busy_shares_the_next_run() -> None:
    gate = Gate()
    graph = BatchingGraph(gate)
    with ThreadPoolExecutor(8) as pool:
        runs = [start(graph, PICTURES[0], pool)]
        gate.entered.acquire()
        runs += [start(graph, PICTURES[i], pool) for i in range(1, 6)]
        wait_until_queued(graph, 5)
        gate.may_run.release(2)
        scores = [run.result(timeout=30) for run in runs]  # type: ignore[attr-defined]
    assert gate.sizes == [1, 5]
    assert [score[0, 0] for score in scores] == [PICTURES[i].flat[0] for i in range(6)]


def test_a_picture_on_which_the_graph_fails_fails_nobody_who_shared_its_run() -> None:
    gate = Gate()
    graph = BatchingGraph(gate)
    with ThreadPoolExecutor(8) as pool:
        first = start(graph, PICTURES[0], pool)
        gate.entered.acquire()
        good = [start(graph, PICTURES[i], pool) for i in (1, 3)]
        bad = start(graph, PICTURES[2] * np.nan, pool)
        wait_until_queued(graph, 3)
        gate.may_run.release(5)
        assert first.result(timeout=30).shape == (1, 1)  # type: ignore[attr-defined]
        for run, i in zip(good, (1, 3), strict=True):
            assert run.result(timeout=30)[0, 0] == PICTURES[i].flat[0]  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="not a number"):
            bad.result(timeout=30)  # type: ignore[attr-defined]
    assert gate.sizes == [1, 3, 1, 1, 1]


def test_a_run_that_ends_its_thread_fails_for_all_who_shared_it() -> None:
    class Ending(Gate):
        def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
            super().run(batch)
            raise SystemExit("the device library gave up")

    gate = Ending()
    graph = BatchingGraph(gate)
    with ThreadPoolExecutor(2) as pool:
        first = start(graph, PICTURES[0], pool)
        gate.entered.acquire()
        second = start(graph, PICTURES[1], pool)
        wait_until_queued(graph, 1)
        gate.may_run.release(2)
        for run in (first, second):
            with pytest.raises(SystemExit):
                run.result(timeout=30)  # type: ignore[attr-defined]


def test_the_last_session_closes_the_device() -> None:
    gate = Gate()
    graph = BatchingGraph(gate)
    sessions = [graph.open_session() for _ in range(3)]
    for session in sessions:
        assert gate.closed == 0
        session.close()
    assert gate.closed == 1
