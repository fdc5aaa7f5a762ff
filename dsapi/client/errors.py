"""Why there is no prediction.

::

    ClientError
    ├── Rejected            the request is at fault (4xx)
    └── Unavailable         the service is: 5xx, garbage …
        ├── Refused         … nobody listens, it hung up, or its name is unknown
        ├── TimedOut        … no answer in time
        └── CircuitOpen     … not even asked, after failures in a row
"""

from functools import partial


class ClientError(Exception):
    """There is no prediction. Either `Rejected` or `Unavailable`."""


class Rejected(ClientError):
    """The service refused the request (4xx): asking again at once is no use.

    Attributes:
        status: HTTP status.
        code: the service's stable code, such as ``bad_point``.
        detail: in words: the field, the value, what is permitted.
    """

    def __init__(self, *, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[partial["Rejected"], tuple[()]]:
        # Exceptions are unpickled from their positional arguments, and this takes none: a pool of
        # processes that gets one from a task would wait for ever.
        return partial(Rejected, status=self.status, code=self.code, detail=self.detail), ()


class Unavailable(ClientError):
    """The service did not answer, or not usefully."""


class Refused(Unavailable):
    """Nobody took the request, or whoever did hung up; worth a second try."""


class TimedOut(Unavailable):
    """No answer within ``timeout_s``."""


class CircuitOpen(Unavailable):
    """Not even asked: the last requests failed, and the pause after them is not over."""
