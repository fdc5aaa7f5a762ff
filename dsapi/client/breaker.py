"""A circuit breaker: a service that failed several times in a row is left alone for a while."""

import logging
import threading
import time

from dsapi.client.errors import CircuitOpen, Rejected, Unavailable

_LOGGER = logging.getLogger("dsapi.client")


class Breaker:
    """A circuit breaker: after failures in a row it stops asking for a while.

    Used as a context around a request. What the service refuses for good reason is no failure.
    """

    def __init__(self, failures_to_open: int, pause_s: float) -> None:
        self._failures_to_open = failures_to_open
        self._pause_s = pause_s
        self._failures = 0
        self._closed_again_s = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._failures < self._failures_to_open:
                return
            left_s = self._closed_again_s - time.monotonic()
            if left_s > 0:
                raise CircuitOpen(
                    f"the service failed {self._failures} times; asked again in {left_s:.1f} s"
                )
            # This request tries; the others go on waiting for what becomes of it.
            self._closed_again_s = time.monotonic() + self._pause_s

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        with self._lock:
            if error is None or isinstance(error, Rejected):
                self._failures = 0
            if not isinstance(error, Unavailable):
                return
            self._failures += 1
            self._closed_again_s = time.monotonic() + self._pause_s
            if self._failures == self._failures_to_open:
                _LOGGER.warning("%s; left alone for %g s", error, self._pause_s)
