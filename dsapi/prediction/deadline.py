"""Deadlines: how long a request may still take."""

import time
from dataclasses import dataclass

from dsapi.errors import DeadlineExceeded


@dataclass(frozen=True)
class Deadline:
    """A moment by which a request must be answered.

    Attributes:
        timeout_s: time that was given, for the error message.
        at_s: the moment, on `time.monotonic`'s clock.
    """

    timeout_s: float
    at_s: float

    @classmethod
    def within(cls, timeout_s: float) -> "Deadline":
        """Start the clock now."""
        return cls(timeout_s, time.monotonic() + timeout_s)

    @classmethod
    def far(cls) -> "Deadline":
        """Start a clock for a caller who is in no hurry: an hour."""
        return cls.within(3600.0)

    @property
    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - time.monotonic())

    @property
    def spent_s(self) -> float:
        """Seconds since the clock was started."""
        return time.monotonic() - self.at_s + self.timeout_s

    def check(self) -> None:
        """Give up if the time is over.

        Raises:
            DeadlineExceeded: it is.
        """
        if time.monotonic() >= self.at_s:
            raise self.exceeded()

    def exceeded(self) -> DeadlineExceeded:
        """Make the error that says so."""
        return DeadlineExceeded(f"not answered within request_timeout = {self.timeout_s:g} s")
