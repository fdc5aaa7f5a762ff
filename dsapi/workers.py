"""Prediction workers: the threads that decode and run graphs, behind one bounded queue.

Request threads wait for sockets: many and cheap. Decoding and inference wait for nobody: exactly
as many workers as cores, each with sessions of its own. Between the two, a queue that refuses
work at once when it is full. Called by `dsapi.web`; calls `dsapi.prediction`.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Full, Queue

from dsapi.errors import NotReady, Overloaded
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import Model, OpenModel
from dsapi.prediction.picture import Limits
from dsapi.prediction.predictor import Prediction, PredictionRequest, predict

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """A request in the queue, and where its answer goes."""

    request: PredictionRequest
    deadline: Deadline
    answer: "Future[Prediction]"
    submitted_s: float = field(default_factory=time.perf_counter)


class PredictionWorkers:
    """A fixed number of threads that answer prediction requests, once started with models.

    Args:
        limits: what a picture may cost.
        count: number of threads; 0: as many as the process may use cores.
        queue_size: requests that may wait; one more is refused.
    """

    def __init__(self, limits: Limits, *, count: int = 0, queue_size: int = 64) -> None:
        self.models: Mapping[str, Model] = {}
        self._limits = limits
        self._queue: Queue[_Job | None] = Queue(maxsize=queue_size)
        self._count = count or len(os.sched_getaffinity(0))
        self._threads: list[threading.Thread] = []
        self._accepting = False
        # Smoothed seconds of work a request, for Retry-After.
        self._busy_s = 0.05

    @property
    def ready(self) -> bool:
        """Whether every worker is there to answer."""
        return self._accepting and all(thread.is_alive() for thread in self._threads)

    def start(self, models: Mapping[str, Model]) -> None:
        """Start the workers; return when each has opened and warmed up a session on each model.

        Raises:
            StartupError: a graph does not run.
        """
        self.models = models
        opened: list[Future[None]] = [Future() for _ in range(self._count)]
        self._threads = [
            threading.Thread(target=self._work, args=(future,), name=f"prediction-{i}", daemon=True)
            for i, future in enumerate(opened)
        ]
        for thread in self._threads:
            thread.start()
        for future in opened:
            future.result()
        self._accepting = True

    def stop(self) -> None:
        """Refuse new work, let each worker finish what is queued, and wait for them."""
        self._accepting = False
        for thread in self._threads:
            if thread.is_alive():
                self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def predict(self, request: PredictionRequest, deadline: Deadline) -> Prediction:
        """Queue a request and wait for its answer.

        Returns:
            The prediction; its timings also tell the time in the queue and in all.

        Raises:
            Overloaded: the queue is full.
            NotReady: the workers are starting or stopping.
            DeadlineExceeded: no answer in time; the work is dropped.
            RequestError: as `dsapi.prediction.predictor.predict`.
        """
        job = _Job(request, deadline, Future())
        self._enqueue(job)
        try:
            return job.answer.result(timeout=deadline.left_s)
        except TimeoutError:
            job.answer.cancel()
            raise deadline.exceeded() from None

    def _enqueue(self, job: _Job) -> None:
        if not self._accepting:
            raise NotReady("the service is starting or shutting down", retry_after_s=1)
        try:
            self._queue.put_nowait(job)
        except Full:
            waiting = self._queue.maxsize
            retry_after_s = max(1, math.ceil(waiting * self._busy_s / self._count))
            raise Overloaded(
                f"{waiting} requests are waiting already (queue_size = {waiting})",
                retry_after_s=retry_after_s,
            ) from None

    def _work(self, opened: "Future[None]") -> None:
        """Open this thread's sessions, then answer until told to stop."""
        try:
            models = {name: model.open() for name, model in self.models.items()}
        except Exception as error:  # handed to start(), which raises it
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (job := self._queue.get()) is not None:
            self._answer(job, models)
        for model in models.values():
            model.session.close()

    def _answer(self, job: _Job, models: Mapping[str, OpenModel]) -> None:
        """Answer one job, unless nobody waits for it any more."""
        if not job.answer.set_running_or_notify_cancel():
            return
        started_s = time.perf_counter()
        try:
            job.deadline.check()
            prediction = predict(
                job.request, models=models, limits=self._limits, deadline=job.deadline
            )
        except Exception as error:  # whatever it is, it belongs to the caller, not to this thread
            job.answer.set_exception(error)
            return
        ended_s = time.perf_counter()
        self._busy_s += 0.1 * (ended_s - started_s - self._busy_s)
        timing_ms = {
            "queue": (started_s - job.submitted_s) * 1000,
            **prediction.timing_ms,
            "total": (ended_s - job.submitted_s) * 1000,
        }
        job.answer.set_result(replace(prediction, timing_ms=timing_ms))
