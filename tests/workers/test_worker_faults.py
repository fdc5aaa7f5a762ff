"""Workers that die or stall, callers that leave, and models that are replaced under load."""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dsapi.engines import Session
from dsapi.engines.batching import BatchingGraph
from dsapi.errors import (
    BadParameter,
    CallerGone,
    DeadlineExceeded,
    InternalError,
    NotReady,
    Overloaded,
    RequestError,
    StartupError,
)
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits
from dsapi.prediction.predictor import Prediction, PredictionRequest
from dsapi.workers.pool import PredictionWorkers
from dsapi.workers.queues import WarmQueue
from dsapi.workers.worker import Generation, Job, Jobs, Tally, Worker
from tests.engines.gated import GatedGraph, gated_model
from tests.pictures import GREEN, encode, plain
from tests.waiting import eventually

LIMITS = Limits(max_pixels=1_000_000, working_side=0)
PICTURE = encode(plain(GREEN))


class Gate:
    """What runs of a graph wait for; open at first."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.runs = 0
        self.error: BaseException | None = None

    def __call__(self) -> None:
        self.runs += 1
        self.open.wait(60)
        error, self.error = self.error, None
        if error is not None:
            raise error


class _FullGraph(GatedGraph):
    def open_session(self) -> Session:
        raise RuntimeError("no memory for one more session")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def graph(gate: Gate) -> GatedGraph:
    return GatedGraph(gate)


@pytest.fixture
def one(graph: GatedGraph) -> Iterator[PredictionWorkers]:
    """One worker that counts as stalled after half a second."""
    workers = PredictionWorkers(LIMITS, count=1, queue_size=3, stall_timeout_s=0.5)
    workers.start({"themes": gated_model(graph)})
    yield workers
    workers.stop(5)


def ask(
    workers: PredictionWorkers,
    timeout_s: float = 30,
    caller_gone: Callable[[], bool] = lambda: False,
) -> Prediction:
    request = PredictionRequest(PICTURE, points=(None,), models=("themes",), id="asked-here")
    return workers.predict(request, Deadline.within(timeout_s), caller_gone=caller_gone)


def test_a_worker_that_dies_is_replaced_and_counted_however_long_one_may_work(
    graph: GatedGraph, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    workers = PredictionWorkers(LIMITS, count=1, stall_timeout_s=3600)
    workers.start({"themes": gated_model(graph)})
    gate.error = SystemExit("the engine ends its thread")
    with pytest.raises(InternalError):
        ask(workers)
    assert eventually(lambda: workers.status.replaced == {"died": 1, "stalled": 0})
    assert "request asked-here: prediction-0 died" in caplog.text
    assert "request asked-here: worker prediction-0 died and is replaced" in caplog.text
    assert ask(workers).results[0].labels["themes"][0].label == "yes"
    assert workers.ready
    workers.stop()


def test_workers_that_die_one_after_another_are_replaced_for_good(
    graph: GatedGraph, gate: Gate
) -> None:
    workers = PredictionWorkers(LIMITS, count=1, stall_timeout_s=0.05)
    workers.start({"themes": gated_model(graph)})
    for number in range(1, 19):  # more than may be left behind at a time
        gate.error = SystemExit("the engine ends its thread")
        with pytest.raises(InternalError):
            ask(workers)
        assert eventually(lambda: sum(workers.status.replaced.values()) >= number)  # noqa: B023
    assert not workers.lost
    assert ask(workers).results[0].labels["themes"][0].label == "yes"
    workers.stop()


def test_a_worker_that_finds_no_thread_is_replaced_as_soon_as_there_is_one(
    one: PredictionWorkers, gate: Gate, graph: GatedGraph, caplog: pytest.LogCaptureFixture
) -> None:
    before = threading.stack_size(1 << 47)  # more than a process can address
    try:
        gate.error = SystemExit("the engine ends its thread")
        with pytest.raises(InternalError):
            ask(one)
        assert eventually(lambda: "died and cannot be replaced yet" in caplog.text)
        assert eventually(lambda: graph.open_sessions == 0)
    finally:
        threading.stack_size(before)
    assert eventually(lambda: one.status.replaced == {"died": 1, "stalled": 0})
    assert ask(one).results[0].labels["themes"][0].label == "yes"


def test_a_worker_that_cannot_go_over_to_new_models_tells_its_caller_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs: Jobs = WarmQueue()
    old = Generation({"themes": gated_model(GatedGraph(Gate()))}, LIMITS, {})
    new = Generation({"themes": gated_model(_FullGraph(Gate()))}, LIMITS, {})
    in_force = [old]
    worker = Worker(0, jobs=jobs, current=lambda: in_force[0], tally=Tally())
    in_force[0] = new
    request = PredictionRequest(PICTURE, points=(None,), models=("themes",), id="asked-here")
    job = Job(request, Deadline.within(30), lambda: False)
    jobs.put(job)
    worker.start()
    with pytest.raises(InternalError):
        job.answer.result(timeout=20)
    worker.join(20)
    assert not worker.is_alive()
    assert "request asked-here: prediction-0 died" in caplog.text


def test_a_worker_that_stalls_is_replaced_and_its_sessions_go_when_it_ends(
    one: PredictionWorkers, gate: Gate, graph: GatedGraph, caplog: pytest.LogCaptureFixture
) -> None:
    gate.open.clear()
    with pytest.raises(DeadlineExceeded):
        ask(one, timeout_s=0.2)
    assert eventually(lambda: one.status.replaced == {"died": 0, "stalled": 1})
    assert "request asked-here: worker prediction-0 stalled and is replaced" in caplog.text
    assert eventually(lambda: one.ready)
    assert graph.open_sessions == 2
    gate.open.set()
    assert ask(one).results[0].labels["themes"][0].label == "yes"
    assert eventually(lambda: graph.open_sessions == 1)


def test_work_of_a_caller_who_left_is_never_begun(one: PredictionWorkers, gate: Gate) -> None:
    with pytest.raises(CallerGone):
        ask(one, caller_gone=lambda: True)
    assert gate.runs == 0
    assert one.status.dropped == {"caller_gone": 1, "deadline": 0}


def test_work_past_its_deadline_is_counted_as_dropped(one: PredictionWorkers, gate: Gate) -> None:
    gate.open.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, one)
        assert eventually(lambda: gate.runs == 1)
        with pytest.raises(DeadlineExceeded):
            ask(one, timeout_s=0.1)
        gate.open.set()
        first.result()
    assert eventually(lambda: one.status.dropped == {"caller_gone": 0, "deadline": 1})
    assert gate.runs == 1


def test_work_past_its_deadline_is_dropped_also_while_its_caller_has_not_noticed() -> None:
    jobs: Jobs = WarmQueue()
    tally = Tally()
    models = {"themes": gated_model(GatedGraph(Gate()))}
    worker = Worker(0, jobs=jobs, current=lambda: Generation(models, LIMITS, {}), tally=tally)
    request = PredictionRequest(PICTURE, points=(None,), models=("themes",))
    job = Job(request, Deadline.within(0), lambda: False)
    jobs.put(job)
    jobs.put(None)
    worker.start()
    with pytest.raises(DeadlineExceeded):
        job.answer.result(timeout=20)
    worker.join(20)
    assert tally.dropped == {"caller_gone": 0, "deadline": 1}


def test_what_would_be_answered_too_late_is_refused_before_the_queue_is_full(
    graph: GatedGraph, gate: Gate
) -> None:
    workers = PredictionWorkers(LIMITS, count=2, queue_size=1000)
    workers.start({"themes": gated_model(graph)})
    gate.open.clear()
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask, workers) for _ in range(2)]
        assert eventually(lambda: gate.runs == 2)
        assert workers.refusal(within_s=0.001) is None, "nobody waits, and it may be a quick one"
        asked += [pool.submit(ask, workers) for _ in range(3)]
        assert eventually(lambda: workers.status.waiting == 3)
        # At 0.02 s each, the estimate before anything is measured, two workers need 0.04 s for
        # four, and may need half as much again.
        with pytest.raises(
            Overloaded, match=r"3 requests are waiting already \(too many"
        ) as refused:
            ask(workers, timeout_s=0.059)
        assert refused.value.retry_after_s == 1
        assert workers.refusal(within_s=0.061) is None
        with_slow_uploads = workers.refusal(within_s=1, in_flight=lambda: 2000)
        assert isinstance(with_slow_uploads, Overloaded)
        assert "503 requests are waiting already" in str(with_slow_uploads)
        assert with_slow_uploads.retry_after_s == math.ceil(504 * 0.02 / 2)
        gate.open.set()
        assert all(future.result().results for future in asked)
    workers.stop()


def test_models_are_replaced_between_two_requests_and_the_old_sessions_close(
    one: PredictionWorkers, gate: Gate, graph: GatedGraph
) -> None:
    gate.open.clear()
    newer = GatedGraph(lambda: None)
    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(ask, one)
        assert eventually(lambda: gate.runs == 1)
        waiting = pool.submit(ask, one)
        assert eventually(lambda: one.status.waiting == 1)
        one.replace({"themes": gated_model(newer, version="1" * 12)}, LIMITS)
        gate.open.set()
        assert begun.result().versions == {"themes": "0" * 12}
        assert waiting.result().versions == {"themes": "1" * 12}
    assert eventually(lambda: graph.open_sessions == 0)
    assert newer.open_sessions == 1


def test_an_idle_worker_lets_old_models_go(one: PredictionWorkers, graph: GatedGraph) -> None:
    newer = GatedGraph(lambda: None)
    for number in range(3):
        one.replace({"themes": gated_model(newer, version=f"{number:012}")}, LIMITS)
    assert eventually(lambda: graph.open_sessions == 0 and newer.open_sessions == 1)
    assert ask(one).versions == {"themes": f"{2:012}"}


def test_no_session_is_closed_in_which_a_graph_still_runs(
    one: PredictionWorkers, gate: Gate
) -> None:
    second = GatedGraph(gate)
    one.replace({"themes": gated_model(second)}, LIMITS)
    gate.open.clear()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, one)
        assert eventually(lambda: gate.runs == 1)
        one.replace({"themes": gated_model(GatedGraph(lambda: None))}, LIMITS)
        assert second.open_sessions == 1
        gate.open.set()
        assert asked.result().results
    assert eventually(lambda: second.open_sessions == 0)


def test_sessions_that_cannot_be_closed_keep_no_other_open_and_end_no_worker(
    one: PredictionWorkers,
) -> None:
    class Stuck(GatedGraph):
        def open_session(self) -> Session:
            session = super().open_session()
            vars(session)["close"] = self.fail
            return session

        def fail(self) -> None:
            raise RuntimeError("the device is gone")

    other = GatedGraph(lambda: None)
    one.replace({"colors": gated_model(Stuck(lambda: None)), "themes": gated_model(other)}, LIMITS)
    assert ask(one).results
    one.replace({"themes": gated_model(GatedGraph(lambda: None))}, LIMITS)
    assert eventually(lambda: other.open_sessions == 0)
    assert ask(one).results
    assert one.status.replaced == {"died": 0, "stalled": 0}


def test_models_that_do_not_run_are_not_put_into_service(
    one: PredictionWorkers, graph: GatedGraph
) -> None:
    class Broken(GatedGraph):
        output_size = 3

    broken = Broken(lambda: None)
    wrong = gated_model(broken)
    vars(wrong)["labels"] = ("a", "b", "c")
    with pytest.raises(StartupError, match=r"shape \(1, 2\) for 1 crops"):
        one.replace({"themes": wrong}, LIMITS)
    assert ask(one).versions == {"themes": "0" * 12}
    assert graph.open_sessions == 1


class _Scarce(GatedGraph):
    """A graph on which one session can be opened."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.opened = 0

    def open_session(self) -> Session:
        with self.lock:
            self.opened += 1
            if self.opened > 1:
                raise StartupError("no memory for one more session")
        return super().open_session()


def test_of_workers_that_cannot_all_start_no_session_stays_open() -> None:
    scarce = _Scarce()
    with pytest.raises(StartupError, match="no memory"):
        PredictionWorkers(LIMITS, count=3).start({"themes": gated_model(scarce)})
    assert scarce.open_sessions == 0


def test_of_models_that_cannot_all_be_opened_no_session_stays_open(graph: GatedGraph) -> None:
    scarce = _Scarce()
    scarce.open_session()
    models = {"themes": gated_model(graph), "colors": gated_model(scarce)}
    with pytest.raises(StartupError, match="no memory"):
        PredictionWorkers(LIMITS, count=1).start(models)
    assert graph.open_sessions == 0


def test_a_model_that_a_reload_took_away_is_told_as_if_it_had_never_been(
    one: PredictionWorkers, gate: Gate
) -> None:
    gate.open.clear()
    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(ask, one)
        assert eventually(lambda: gate.runs == 1)
        waiting = pool.submit(ask, one)
        assert eventually(lambda: one.status.waiting == 1)
        one.replace({"shapes": gated_model(GatedGraph(lambda: None))}, LIMITS)
        gate.open.set()
        assert begun.result().versions == {"themes": "0" * 12}
        with pytest.raises(BadParameter, match="among shapes; got 'themes'"):
            waiting.result()


def test_the_time_in_the_queue_is_no_time_of_work(one: PredictionWorkers, gate: Gate) -> None:
    gate.open.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, one)
        assert eventually(lambda: gate.runs == 1)
        second = pool.submit(ask, one)
        assert eventually(lambda: one.status.waiting == 1)
        gate.open.set()
        told = [each.result().timing_ms for each in (first, second)]
    expected = 0.02
    for timing_ms in told:
        work_s = (timing_ms["total"] - timing_ms["queue"]) / 1000
        expected += 0.1 * (work_s - expected)
    assert one.status.work_s == pytest.approx(expected)


def test_a_stop_that_takes_too_long_refuses_what_is_left(graph: GatedGraph, gate: Gate) -> None:
    workers = PredictionWorkers(LIMITS, count=1)
    workers.start({"themes": gated_model(graph)})
    gate.open.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, workers, 20) for _ in range(2)]
        assert eventually(lambda: workers.status.waiting == 1 and gate.runs == 1)
        with pytest.raises(DeadlineExceeded):
            ask(workers, timeout_s=0.3)
        assert workers.status.waiting == 2
        # One that is worked on and one that waits; nobody waits for the third.
        assert workers.stop(0.1) == 2
        assert not workers.ready, "its thread is alive, and takes nothing more"
        gate.open.set()
        outcomes = [future.exception() for future in asked]
    (refused,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(refused, NotReady)
    assert "shutting down" in str(refused)


def test_a_request_that_is_let_in_just_before_a_stop_is_answered(graph: GatedGraph) -> None:
    let_in, stopped = threading.Event(), threading.Event()

    class Hesitating(PredictionWorkers):
        def refusal(
            self, within_s: float, *, in_flight: Callable[[], int] | None = None
        ) -> RequestError | None:
            found = super().refusal(within_s, in_flight=in_flight)
            let_in.set()
            stopped.wait(0.5)
            return found

    workers = Hesitating(LIMITS, count=1)
    workers.start({"themes": gated_model(graph)})
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, workers, 20)
        assert let_in.wait(20)
        assert workers.stop(20) == 0
        stopped.set()
        assert asked.result().results


class _Filling(GatedGraph):
    """A graph on which opening any session but the first takes until the gate opens."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self.opening = 0

    def open_session(self) -> Session:
        with self.lock:
            self.opening += 1
            first = self.opening == 1
        if not first:
            self.gate()
        return super().open_session()


def test_a_stop_does_not_wait_for_what_hangs_while_a_worker_is_replaced(gate: Gate) -> None:
    graph = _Filling(gate)
    workers = PredictionWorkers(LIMITS, count=1, stall_timeout_s=0.1)
    workers.start({"themes": gated_model(graph)})
    gate.open.clear()
    with pytest.raises(DeadlineExceeded):
        ask(workers, timeout_s=0.2)
    assert eventually(lambda: graph.opening == 2)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(workers.stop, 0.1)
        has_stopped = eventually(stopping.done)
        gate.open.set()
    assert has_stopped
    assert stopping.result() == 1
    assert eventually(lambda: graph.open_sessions == 0)


def test_workers_that_hang_are_lost_only_when_none_takes_the_place_of_one(
    graph: GatedGraph, gate: Gate
) -> None:
    workers = PredictionWorkers(LIMITS, count=2, queue_size=100, stall_timeout_s=0.05)
    workers.start({"themes": gated_model(graph)})
    gate.open.clear()
    lost_with: list[int] = []

    def watch() -> None:
        while not lost_with:
            if workers.lost:
                lost_with.append(workers.status.replaced["stalled"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, workers, 60) for _ in range(17)]
        watcher.join(60)
        assert lost_with == [16], "the seventeenth is not replaced"
        # One of two can still answer, which is not what there should be.
        assert (workers.status.alive, workers.status.busy, workers.ready) == (1, 1, False)
        gate.open.set()
        assert all(future.result().results for future in asked)
    workers.stop()


def test_workers_are_lost_that_hang_on_one_device_together(graph: GatedGraph, gate: Gate) -> None:
    workers = PredictionWorkers(LIMITS, count=1, stall_timeout_s=0.05)
    workers.start({"themes": gated_model(BatchingGraph(graph))})
    gate.open.clear()
    with pytest.raises(DeadlineExceeded):
        ask(workers, timeout_s=0.2)
    # Each that takes the place of another waits for the device when it warms up.
    assert eventually(lambda: workers.lost)
    assert workers.status.replaced["stalled"] == 16
    assert not workers.ready
    workers.stop(0.1)
    gate.open.set()
    assert eventually(lambda: graph.open_sessions == 0)
