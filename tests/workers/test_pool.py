"""Prediction workers: bounded, on time, and the same answer whoever gives it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsapi.errors import DeadlineExceeded, NotReady, Overloaded, StartupError, UnreadableImage
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import Model, load_model
from dsapi.prediction.picture import Limits
from dsapi.prediction.predictor import PredictionRequest
from dsapi.prediction.spec import ModelSpec
from dsapi.workers.pool import PredictionWorkers
from tests.graphs import freeze_brightest_channel, write_labels
from tests.pictures import BLUE, GREEN, RED, encode, photo, plain

LIMITS = Limits(max_pixels=50_000_000, working_side=0)
SLOW = encode(photo(3000, 2000), "PNG", compress_level=1)
QUICK = encode(plain(GREEN))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("workers")
    spec = ModelSpec.model_validate(
        {
            "graph": freeze_brightest_channel(folder / "g.pb", side=16),
            "labels": write_labels(folder / "labels.txt"),
            "crop": "80%",
        }
    )
    return {"themes": load_model("themes", spec, engine="tensorflow")}


@pytest.fixture
def one(models: dict[str, Model]) -> Iterator[PredictionWorkers]:
    """One worker, behind a queue for two."""
    workers = PredictionWorkers(LIMITS, count=1, queue_size=2)
    workers.start(models)
    yield workers
    workers.stop()


def ask(image: bytes) -> PredictionRequest:
    return PredictionRequest(image, points=(None,), models=("themes",))


def best(workers: PredictionWorkers, image: bytes, timeout_s: float = 30) -> str:
    prediction = workers.predict(ask(image), Deadline.within(timeout_s))
    return prediction.results[0].labels["themes"][0].label


def test_there_are_as_many_workers_as_asked_for(models: dict[str, Model]) -> None:
    workers = PredictionWorkers(LIMITS, count=3)
    before = set(threading.enumerate())
    workers.start(models)
    names = sorted(thread.name for thread in set(threading.enumerate()) - before)
    assert names == ["prediction-0", "prediction-1", "prediction-2", "prediction-watch"]
    assert workers.ready
    workers.stop()
    assert not set(threading.enumerate()) - before
    assert not workers.ready


def test_before_the_start_and_after_the_stop_nothing_is_taken(models: dict[str, Model]) -> None:
    workers = PredictionWorkers(LIMITS, count=1)
    with pytest.raises(NotReady) as refused:
        best(workers, QUICK)
    assert refused.value.retry_after_s == 1
    workers.start(models)
    assert best(workers, QUICK) == "green"
    workers.stop()
    with pytest.raises(NotReady):
        best(workers, QUICK)


def test_many_callers_get_what_each_would_get_alone(models: dict[str, Model]) -> None:
    workers = PredictionWorkers(LIMITS, count=4, queue_size=100)
    workers.start(models)
    pictures = [encode(plain(color, 20 + i, 30)) for i in range(10) for color in (RED, GREEN, BLUE)]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda picture: best(workers, picture), pictures))
    workers.stop()
    assert together == ["red", "green", "blue"] * 10


def test_a_caller_is_told_of_its_own_error_and_the_worker_goes_on(one: PredictionWorkers) -> None:
    with pytest.raises(UnreadableImage):
        best(one, QUICK[:60])
    assert best(one, QUICK) == "green"
    assert one.ready


def test_the_time_in_the_queue_is_told(one: PredictionWorkers) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(one.predict, ask(SLOW), Deadline.within(60))
        time.sleep(0.02)
        quick = pool.submit(one.predict, ask(QUICK), Deadline.within(60)).result()
    # It came first, and was done before the other one began.
    assert slow.result().timing_ms["total"] > quick.timing_ms["queue"] > 0
    assert quick.timing_ms["total"] >= quick.timing_ms["queue"] + quick.timing_ms["decode"]


def test_a_full_queue_refuses_at_once(one: PredictionWorkers) -> None:
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(best, one, SLOW) for _ in range(12)]
    refused = [future.exception() for future in asked if future.exception()]
    answered = [future.result() for future in asked if not future.exception()]
    assert 1 <= len(answered) <= 11
    assert all(isinstance(error, Overloaded) for error in refused)
    assert all(error.retry_after_s >= 1 for error in refused if isinstance(error, Overloaded))


def test_requests_that_are_still_read_count_for_half_of_the_queue(one: PredictionWorkers) -> None:
    go_on = threading.Event()

    def held_up() -> bool:
        go_on.wait()
        return False

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(one.predict, ask(QUICK), Deadline.within(30), caller_gone=held_up)
        while not (one.status.waiting and one.status.busy):
            time.sleep(0.001)
        with_one_more_to_come = one.refusal(30, in_flight=lambda: 3)
        with_none_to_come = one.refusal(30, in_flight=lambda: 2)
        # Two wait in turn for 0.02 s each, also if their callers are in flight no more.
        with_callers_who_left = one.refusal(0.05, in_flight=lambda: 0)
        go_on.set()
    assert isinstance(with_one_more_to_come, Overloaded)
    assert "2 requests are waiting already (queue_size = 2)" in str(with_one_more_to_come)
    assert isinstance(with_callers_who_left, Overloaded)
    assert with_none_to_come is None
    assert one.refusal(30, in_flight=lambda: 100) is None, "slow uploads alone refuse nobody"


def test_work_whose_deadline_passed_in_the_queue_is_never_begun(one: PredictionWorkers) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(best, one, SLOW)
        time.sleep(0.02)
        with pytest.raises(DeadlineExceeded, match=r"request_timeout = 0\.01 s"):
            best(one, SLOW, timeout_s=0.01)
        slow.result()
    assert best(one, QUICK) == "green"


def test_a_graph_that_does_not_run_stops_the_start(tmp_path: Path) -> None:
    spec = ModelSpec.model_validate(
        {
            "graph": freeze_brightest_channel(tmp_path / "g.pb", side=16),
            "labels": write_labels(tmp_path / "labels.txt"),
            "crop": "80%",
            "input_tensor": "probabilities",
            "input_size": 4,
        }
    )
    with pytest.raises(StartupError):
        PredictionWorkers(LIMITS, count=1).start(
            {"themes": load_model("themes", spec, engine="tensorflow")}
        )
