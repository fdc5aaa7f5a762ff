"""Request threads: each reads one request at a time and writes its answer.

Two lanes: health and metrics have threads of their own, so that they answer while every other
thread waits for a slow upload or for predictions. Called by `dsapi.web.http_server`.
"""

import logging
import threading
import time
from collections.abc import Callable

from dsapi.web.connections import Connection
from dsapi.workers.queues import WarmQueue

_LOGGER = logging.getLogger(__name__)
_FAST_THREADS = 2
# After its socket was closed, a thread has this long to notice.
_AFTERMATH_S = 1.0

_Lane = WarmQueue[Connection | None]


class RequestThreads:
    """The threads that serve connections.

    Args:
        count: threads for everything but the fast lane.
        queue_size: connections that may wait for a thread, in each lane.
        stay: waits for a connection's next request; whether the same thread is to serve it.
        keep: takes a connection that stays open.
        hang_up: takes one that does not.
    """

    def __init__(
        self,
        count: int,
        *,
        queue_size: int,
        stay: Callable[[Connection], bool],
        keep: Callable[[Connection], None],
        hang_up: Callable[[Connection], None],
    ) -> None:
        self._count = count
        self._queue_size = queue_size
        self._stay = stay
        self._keep = keep
        self._hang_up = hang_up
        self._main = _Lane()
        self._fast = _Lane()
        self._serving: dict[threading.Thread, Connection | None] = {}
        self._staying: set[threading.Thread] = set()

    @property
    def have_spare(self) -> bool:
        """Whether at least half of the threads have nothing to do."""
        return self._main.idle * 2 >= self._count

    @property
    def busy(self) -> int:
        """Number of threads that serve a connection."""
        return sum(connection is not None for connection in list(self._serving.values()))

    def count_in_flight(self) -> int:
        """Count the connections of the main lane that a thread serves, or that wait for one."""
        # Asked for each request: not by looking at a hundred threads.
        return self._count - self._main.idle - len(self._staying) + self._main.qsize()

    def start(self) -> None:
        """Start the threads."""
        for lane, count, name in (
            (self._main, self._count, "http"),
            (self._fast, _FAST_THREADS, "http-fast"),
        ):
            for number in range(count):
                thread = threading.Thread(
                    target=self._serve, args=(lane,), name=f"{name}-{number}", daemon=True
                )
                self._serving[thread] = None
                thread.start()

    def put(self, connection: Connection, *, fast: bool = False) -> bool:
        """Queue a connection that has sent something; whether there was room."""
        lane = self._fast if fast else self._main
        if lane.qsize() >= self._queue_size:
            return False
        lane.put(connection)
        return True

    def stop(self, timeout_s: float) -> bool:
        """Let the threads finish what is queued; then hang up on who is left.

        Returns:
            Whether all finished in time.
        """
        end_s = time.monotonic() + timeout_s
        for lane in (self._main, self._fast):
            lane.put(None)
        for thread in self._serving:
            thread.join(max(0.0, end_s - time.monotonic()))
        late = [thread for thread in self._serving if thread.is_alive()]
        for thread in late:
            connection = self._serving[thread]
            if connection is not None:
                connection.abort()
        end_s = time.monotonic() + _AFTERMATH_S
        for thread in late:
            thread.join(max(0.0, end_s - time.monotonic()))
        return not late

    def _serve(self, lane: _Lane) -> None:
        """Serve connections until told to stop."""
        thread = threading.current_thread()
        while (connection := lane.get()) is not None:
            try:
                while keep := self._serve_one(thread, connection):
                    if lane is self._fast or not self._wait_for_next(thread, connection):
                        break
                (self._keep if keep else self._hang_up)(connection)
            except Exception:  # whatever one caller did, the thread is there for the next
                _LOGGER.exception("a connection from %s failed", connection.remote_addr)
                connection.close()
        lane.put(None)  # each passes it on to the next

    def _serve_one(self, thread: threading.Thread, connection: Connection) -> bool:
        """Serve one request; whether the connection is kept."""
        self._serving[thread] = connection
        try:
            return connection.communicate()  # type: ignore[no-any-return,no-untyped-call]
        finally:
            self._serving[thread] = None

    def _wait_for_next(self, thread: threading.Thread, connection: Connection) -> bool:
        """Wait for the next request, as nothing in flight; whether this thread is to serve it."""
        self._staying.add(thread)
        try:
            return self._stay(connection)
        finally:
            self._staying.discard(thread)
