"""Prediction workers: about as many threads as cores, behind one bounded queue.

Request threads wait for sockets: many and cheap. Decoding and inference wait for nobody: few
workers, each with sessions of its own. Between the two, a queue that refuses work at once when it
is full, or when its answer would come too late. Started by `dsapi.process.server`, called by
`dsapi.web` and `dsapi.operation.reload`; calls `dsapi.prediction`.
"""

import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty

from dsapi.errors import NotReady, Overloaded, RequestError
from dsapi.memory import give_back
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.golden import check_golden
from dsapi.prediction.model import Model
from dsapi.prediction.picture import Limits
from dsapi.prediction.predictor import Prediction, PredictionRequest
from dsapi.workers.worker import (
    Generation,
    Job,
    Jobs,
    Sessions,
    Tally,
    Worker,
    WorkerStatus,
    close_sessions,
    open_sessions,
)

_LOGGER = logging.getLogger(__name__)
_WATCH_S = 0.5
# Requests differ, and a machine slows down: an estimate this much under the deadline is on time.
_MARGIN = 1.5
# A stalled thread cannot be ended, only left behind, and it keeps its memory.
_MAX_LEFT_BEHIND = 16


class PredictionWorkers:
    """A fixed number of threads that answer prediction requests, once started with models.

    Args:
        limits: what a picture may cost.
        count: number of threads.
        queue_size: requests that may wait; one more is refused.
        stall_timeout_s: a worker that works on one request for longer is replaced.

    Attributes:
        count: number of threads.
        queue_size: requests that may wait.
        lost: whether a worker is missing for good: so many hang that no other takes its place.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        count: int,
        queue_size: int = 64,
        stall_timeout_s: float = 60.0,
    ) -> None:
        self.count = count
        self.queue_size = queue_size
        self._generation = Generation({}, limits, {})
        self._stall_timeout_s = stall_timeout_s
        self._jobs: Jobs = Jobs()
        self._submitting = threading.Lock()
        self._tally = Tally()
        self.lost = False
        self._workers: list[Worker] = []
        self._left_behind: list[Worker] = []
        self._replaced: weakref.ref[Generation] | None = None
        self._accepting = False
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def models(self) -> Mapping[str, Model]:
        """The models in force, by name."""
        return self._generation.models

    @property
    def ready(self) -> bool:
        """Whether every worker is there to answer."""
        return self._accepting and all(self._healthy(worker) for worker in self._workers)

    @property
    def status(self) -> WorkerStatus:
        """What the workers do now."""
        workers = list(self._workers)
        return WorkerStatus(
            count=self.count,
            alive=sum(self._healthy(worker) for worker in workers),
            busy=sum(worker.busy for worker in workers),
            waiting=self._jobs.qsize(),
            queue_size=self.queue_size,
            work_s=self._tally.work_s,
            dropped=dict(self._tally.dropped),
            replaced=dict(self._tally.replaced),
            failed=self._tally.failed.copy(),
        )

    def start(self, models: Mapping[str, Model]) -> None:
        """Start the workers; return when each has opened and warmed up a session on each model.

        Raises:
            StartupError: a graph does not run, or does not know its golden samples.
        """
        self._generation = self._prepare(models, self._generation.limits, at_once=True)
        self._workers = [self._make_worker(number) for number in range(self.count)]
        for worker in self._workers:
            worker.start()
        # Made only now: Python 3.13 does not start a thread that was made before a fork.
        self._watcher = threading.Thread(target=self._watch, name="prediction-watch", daemon=True)
        self._watcher.start()
        self._accepting = True

    def replace(self, models: Mapping[str, Model], limits: Limits) -> None:
        """Open and warm up sessions on other models beside the present ones, then change over.

        A request that has begun is finished with the models it began with, every later one gets
        the new ones; none waits for the change.

        Raises:
            StartupError: a graph does not run, or does not know its golden samples; nothing has
                changed.
        """
        old = self._generation
        self._generation = self._prepare(models, limits, at_once=False)
        for number in range(self.count):  # of workers replaced, or busy since the reload before
            close_sessions(old.sessions.pop(number, {}))
        self._replaced = weakref.ref(old)

    def stop(self, timeout_s: float = math.inf) -> int:
        """Refuse new work, let each worker finish what is queued, and wait for them.

        Returns:
            How many predictions were not finished in time; those not begun are refused.
        """
        end_s = time.monotonic() + timeout_s
        with self._submitting:  # one that has found it true has queued its job
            self._accepting = False
        self._stopping.set()
        for _ in self._workers:
            self._jobs.put(None)
        for thread in (*self._workers, self._watcher):
            if thread is not None:
                left_s = max(0.0, end_s - time.monotonic())
                thread.join(None if left_s == math.inf else left_s)
        for worker in self._workers:
            worker.retired = True  # one that is late finds no word to stop in the queue
        unfinished = sum(worker.is_alive() for worker in self._workers)
        with suppress(Empty):
            while True:  # asking first how many there are would race with a worker that is late
                if (job := self._jobs.get(0)) and job.answer.set_running_or_notify_cancel():
                    unfinished += 1
                    job.answer.set_exception(NotReady("the service is shutting down"))
        return unfinished

    def refusal(
        self, within_s: float, *, in_flight: Callable[[], int] | None = None
    ) -> RequestError | None:
        """Tell whether and why a request would be refused now.

        Args:
            within_s: time that the request has.
            in_flight: counts the requests that have been let in and not answered. Those whose
                bodies are still read will wait in the queue too: to let in more than it can take
                means to read some for nothing. They count for half of the queue at most, so that
                slow uploads alone refuse nobody.
        """
        if not self._accepting:
            return NotReady("the service is starting or shutting down", retry_after_s=1)
        waiting = self._jobs.qsize()
        if in_flight is not None and waiting < self.queue_size:
            arriving = max(0, in_flight() - waiting - self.count)
            waiting += min(arriving, self.queue_size // 2)
        wait_s = (waiting + 1) * self._tally.work_s / self.count
        if waiting < self.queue_size and (wait_s * _MARGIN < within_s or not waiting):
            return None
        reason = f"queue_size = {self.queue_size}" if waiting >= self.queue_size else "too many"
        return Overloaded(
            f"{waiting} requests are waiting already ({reason})",
            # When at the measured rate the queue will be empty.
            retry_after_s=math.ceil(wait_s),
        )

    def predict(
        self,
        request: PredictionRequest,
        deadline: Deadline,
        *,
        caller_gone: Callable[[], bool] = lambda: False,
    ) -> Prediction:
        """Queue a request and wait for its answer.

        Args:
            request: what to predict.
            deadline: when the answer is of no use any more.
            caller_gone: tells, when its turn has come, whether nobody waits for the answer.

        Returns:
            The prediction; its timings also tell the time in the queue and in all.

        Raises:
            Overloaded: the queue is full, or so long that the answer would come too late.
            NotReady: the workers are starting or stopping.
            DeadlineExceeded: no answer in time; the work is dropped.
            CallerGone: the caller was not there any more when its turn had come.
            RequestError: as `dsapi.prediction.predictor.predict`.
        """
        job = Job(request, deadline, caller_gone)
        with self._submitting:
            if refusal := self.refusal(deadline.left_s):
                raise refusal
            self._jobs.put(job)
        try:
            return job.answer.result(timeout=deadline.left_s)
        except TimeoutError:
            job.answer.cancel()
            raise deadline.exceeded() from None
        finally:
            del job  # as in `dsapi.workers.worker`: no reference cycle of error, frame and job

    def _prepare(self, models: Mapping[str, Model], limits: Limits, *, at_once: bool) -> Generation:
        """Open sessions for every worker, and see that the models still know what they should."""
        opened: list[Sessions] = []

        def open_one(_: int) -> None:
            opened.append(open_sessions(models))

        try:
            if at_once:
                with ThreadPoolExecutor(self.count, thread_name_prefix="prediction-open") as pool:
                    list(pool.map(open_one, range(self.count)))
            else:
                # In this thread: a stop would wait for one of a pool, even if it hangs in a graph.
                for number in range(self.count):
                    open_one(number)
            for model in opened[0].values():
                check_golden(model, limits)
        except Exception:
            for sessions in opened:
                close_sessions(sessions)
            raise
        return Generation(models, limits, dict(enumerate(opened)))

    def _make_worker(self, number: int) -> Worker:
        return Worker(number, jobs=self._jobs, current=lambda: self._generation, tally=self._tally)

    def _healthy(self, worker: Worker) -> bool:
        return worker.is_alive() and worker.busy_for() < self._stall_timeout_s

    def _watch(self) -> None:
        """Replace workers that died or stalled, and free what a reload replaced, until the stop."""
        while not self._stopping.wait(min(_WATCH_S, self._stall_timeout_s / 2)):
            # One that has ended would keep its models.
            self._left_behind = [worker for worker in self._left_behind if worker.is_alive()]
            for index, worker in enumerate(self._workers):
                if not self._healthy(worker):
                    self._replace_worker(index, worker)
            self._give_back()

    def _give_back(self) -> None:
        """When the models before the last reload have gone, let the system have their memory."""
        if self._replaced is not None and self._replaced() is None:
            self._replaced = None
            give_back()

    def _replace_worker(self, index: int, worker: Worker) -> None:
        if len(self._left_behind) >= _MAX_LEFT_BEHIND:
            self.lost = True
            return
        reason = "stalled" if worker.is_alive() else "died"
        what = f"request {worker.request_id}: worker {worker.name} {reason}"
        worker.retired = True
        try:
            replacement = self._make_worker(worker.number)
            replacement.retired = self._stopping.is_set()  # so late that nobody waits for it
            replacement.start()
        except Exception:  # whatever it is, it is tried again
            _LOGGER.exception("%s and cannot be replaced yet", what)
            return
        _LOGGER.error("%s and is replaced", what)
        self._left_behind.append(worker)
        self._workers[index] = replacement
        self._tally.replaced[reason] += 1
