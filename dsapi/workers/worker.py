"""One prediction worker: a thread that decodes and runs graphs with sessions of its own.

Made, watched and replaced by `dsapi.workers.pool`.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty

from dsapi.errors import BadParameter, CallerGone, InternalError, StartupError, quote
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import Model, OpenModel
from dsapi.prediction.picture import Limits
from dsapi.prediction.predictor import Prediction, PredictionRequest, predict
from dsapi.workers.queues import WarmQueue

_LOGGER = logging.getLogger(__name__)
# An idle worker looks this often whether there are newer models, so that the old ones go.
_IDLE_S = 0.5

Sessions = Mapping[str, OpenModel]


@dataclass(frozen=True)
class Job:
    """A request in the queue, and where its answer goes."""

    request: PredictionRequest
    deadline: Deadline
    caller_gone: Callable[[], bool]
    answer: "Future[Prediction]" = field(default_factory=Future)
    submitted_s: float = field(default_factory=time.perf_counter)


Jobs = WarmQueue[Job | None]


@dataclass(frozen=True)
class Generation:
    """What the workers predict with; a reload replaces it as a whole.

    Attributes:
        models: by name.
        limits: what a picture may cost.
        sessions: sessions that are open and warm, by the worker that will take them.
    """

    models: Mapping[str, Model]
    limits: Limits
    sessions: dict[int, Sessions]


@dataclass
class Tally:
    """What the workers have counted since the start.

    Attributes:
        dropped: work that was not started, by reason: ``deadline``, ``caller_gone``.
        replaced: workers, by reason: ``died``, ``stalled``.
        failed: requests on which a model failed while others answered, by model.
        work_s: smoothed seconds of work a request; an average one until the first is measured.
    """

    # Present from the start: Prometheus sees no increase in a counter that first appears.
    dropped: Counter[str] = field(default_factory=lambda: Counter(deadline=0, caller_gone=0))
    replaced: Counter[str] = field(default_factory=lambda: Counter(died=0, stalled=0))
    failed: Counter[str] = field(default_factory=Counter)
    work_s: float = 0.02


@dataclass(frozen=True)
class WorkerStatus:
    """The workers at one moment.

    Attributes:
        count: workers that there should be.
        alive: workers that can answer.
        busy: workers that work on a request.
        waiting: requests in the queue.
        queue_size: how many may wait.
        work_s: smoothed seconds of work a request.
        dropped: requests that were not started, by reason.
        replaced: workers, by reason.
        failed: requests on which a model failed while others answered, by model.
    """

    count: int
    alive: int
    busy: int
    waiting: int
    queue_size: int
    work_s: float
    dropped: Mapping[str, int]
    replaced: Mapping[str, int]
    failed: Counter[str]


class Worker(threading.Thread):
    """A thread that answers jobs until it is told to stop.

    Args:
        number: which of the workers it is.
        jobs: where work comes from.
        current: tells the generation in force.
        tally: where it counts.

    Attributes:
        request_id: of the job that it works on, or did last.
    """

    def __init__(
        self, number: int, *, jobs: Jobs, current: Callable[[], Generation], tally: Tally
    ) -> None:
        super().__init__(name=f"prediction-{number}", daemon=True)
        self.number = number
        # Set when another has taken its place: it leaves after its job.
        self.retired = False
        self.request_id = "-"
        self._jobs = jobs
        self._current = current
        self._tally = tally
        self._busy_since_s: float | None = None
        self._generation = current()
        self._sessions: Sessions = self._generation.sessions.pop(number, {})

    @property
    def busy(self) -> bool:
        """Whether it works on a job."""
        return self._busy_since_s is not None

    def busy_for(self) -> float:
        """Tell for how many seconds it has worked on its job; 0 without one."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def start(self) -> None:
        """Begin to answer jobs.

        Raises:
            RuntimeError: the system has no more threads.
        """
        try:
            super().start()
        except RuntimeError:
            close_sessions(self._sessions)
            raise

    def run(self) -> None:
        """Answer jobs."""
        try:
            # One that takes another's place opens its sessions here: if the graph hangs again, this
            # worker has stalled, too, and nobody else has.
            self._busy_since_s = time.monotonic()
            self._sessions = self._sessions or open_sessions(self._generation.models)
            self._busy_since_s = None
            while not self.retired:
                try:
                    job = self._jobs.get(_IDLE_S)
                except Empty:
                    self._follow()
                    continue
                if job is None:
                    return
                self.request_id = job.request.id
                self._busy_since_s = time.monotonic()
                self._answer(job)
                del job  # or its picture would be kept until the next one comes
                self._busy_since_s = None
        except BaseException:  # whatever it is; `dsapi.workers.pool` puts another in its place
            _LOGGER.exception("request %s: %s died", self.request_id, self.name)
        finally:
            close_sessions(self._sessions)

    def _follow(self) -> None:
        """Go on with the models in force."""
        current = self._current()
        if current is not self._generation and not self.retired:
            old = self._sessions
            opened = current.sessions.pop(self.number, None)
            self._sessions = opened or open_sessions(current.models)
            self._generation = current
            close_sessions(old)

    def _answer(self, job: Job) -> None:
        """Answer one job, unless nobody waits for it any more."""
        if not job.answer.set_running_or_notify_cancel() or job.deadline.left_s <= 0:
            self._tally.dropped["deadline"] += 1
            if not job.answer.cancelled():
                job.answer.set_exception(job.deadline.exceeded())
            return
        try:
            self._follow()
            self._predict_or_tell(job)
        except BaseException:
            # This thread ends, and is replaced; its caller need not wait for that.
            job.answer.set_exception(InternalError("the service failed on this request"))
            raise
        finally:
            del job  # as below

    def _predict_or_tell(self, job: Job) -> None:
        """Predict, or tell the caller what is wrong with the request."""
        try:
            if job.caller_gone():
                self._tally.dropped["caller_gone"] += 1
                raise CallerGone("the caller has gone before its turn")
            job.answer.set_result(self._predict(job.request, job.deadline, job.submitted_s))
        except Exception as error:  # whatever it is, it belongs to the caller, not to this thread
            job.answer.set_exception(error)
        finally:
            # The error refers to this frame, the frame to the job, and the job's future to the
            # error: a reference cycle, which would keep the picture until Python collects cycles,
            # and it rarely does.
            del job

    def _predict(
        self, request: PredictionRequest, deadline: Deadline, submitted_s: float
    ) -> Prediction:
        started_s = time.perf_counter()
        if missing := [name for name in request.models if name not in self._sessions]:
            # It was configured when the request came, and a reload has taken it away since.
            known = ", ".join(self._sessions)
            raise BadParameter(f"models must be among {known}; got {quote(missing[0])}")
        prediction = predict(
            request,
            models=self._sessions,
            limits=self._generation.limits,
            deadline=deadline,
        )
        self._tally.failed.update({name for each in prediction.results for name in each.errors})
        ended_s = time.perf_counter()
        self._tally.work_s += 0.1 * (ended_s - started_s - self._tally.work_s)
        timing_ms = {
            "queue": (started_s - submitted_s) * 1000,
            **prediction.timing_ms,
            "total": (ended_s - submitted_s) * 1000,
        }
        return replace(prediction, timing_ms=timing_ms)


def open_sessions(models: Mapping[str, Model]) -> Sessions:
    """Open and warm up one worker's sessions.

    Raises:
        StartupError: a graph does not run, or gives no probabilities.
    """
    opened: dict[str, OpenModel] = {}
    try:
        for name, model in models.items():
            opened[name] = model.open()
    except StartupError:
        close_sessions(opened)
        raise
    return opened


def close_sessions(sessions: Sessions) -> None:
    """Give back what a worker's sessions hold."""
    for model in sessions.values():
        try:
            model.session.close()
        except Exception:  # each engine has its own; the memory is all that is lost
            _LOGGER.exception("a session of %s could not be closed", model.model.name)
