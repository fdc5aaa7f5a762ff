"""Every error that dsapi raises on purpose.

::

    DsapiError
    ├── StartupError                 the operator's: configuration, graph, port …; exit code 2
    ├── ModelError                   a model's: it answered no usable scores
    ├── WorkersLost                  the process cannot go on and ends; another is to be started
    └── RequestError                 anything a caller is told
        ├── BadRequest           400
        │   ├── BadPoint
        │   ├── BadParameter
        │   └── MissingImage
        ├── Unauthorized         401
        ├── Forbidden            403
        ├── PathForbidden        403
        ├── NotFound             404
        │   └── PathNotFound
        ├── MethodNotAllowed     405
        ├── ReloadFailed         409
        ├── LengthRequired       411
        ├── TooLarge             413
        ├── UnsupportedMediaType 415
        ├── UnreadableImage      422
        ├── RateLimited          429
        ├── CallerGone           499
        ├── InternalError        500
        ├── Overloaded           503
        ├── NotReady             503
        └── DeadlineExceeded     504

A request error carries its HTTP status and its stable code; `dsapi.web.problems` alone turns it
into a response. The message is what the caller reads: the field, the value, the permitted range.
"""

from typing import ClassVar


class DsapiError(Exception):
    """The root: anything that dsapi raises on purpose."""


class StartupError(DsapiError):
    """The service cannot start as configured. The message says what to do next."""


class ModelError(DsapiError):
    """A model gave no usable scores for a crop."""


class WorkersLost(DsapiError):
    """Prediction workers hang and will not be replaced: the process is to be started anew."""


class RequestError(DsapiError):
    """A request that gets an error instead of an answer."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        """Keep what the caller is told, and when trying again makes sense (whole seconds)."""
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class BadRequest(RequestError):
    """The request is malformed."""

    status = 400
    code = "bad_request"


class BadPoint(BadRequest):
    """The point is no number, incomplete or outside the picture."""

    code = "bad_point"


class BadParameter(BadRequest):
    """A parameter is unknown, repeated or out of its range."""

    code = "bad_parameter"


class MissingImage(BadRequest):
    """No picture came, or more than one."""

    code = "missing_image"


class Unauthorized(RequestError):
    """Keys are configured and none or a wrong one came."""

    status = 401
    code = "unauthorized"


class Forbidden(RequestError):
    """The caller may not ask this here."""

    status = 403
    code = "forbidden"


class PathForbidden(RequestError):
    """Server paths are off, or the path leaves the image roots."""

    status = 403
    code = "path_forbidden"


class NotFound(RequestError):
    """There is no such endpoint."""

    status = 404
    code = "not_found"


class PathNotFound(NotFound):
    """There is no such regular file under the image roots."""

    code = "path_not_found"


class MethodNotAllowed(RequestError):
    """The endpoint exists and does not take this method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, detail: str, *, permitted: str) -> None:
        """Keep what the caller is told, and the methods that are permitted, comma separated."""
        super().__init__(detail)
        self.permitted = permitted


class LengthRequired(RequestError):
    """A body without a length, neither counted nor chunked."""

    status = 411
    code = "length_required"


class TooLarge(RequestError):
    """More bytes or pixels than permitted."""

    status = 413
    code = "too_large"


class UnsupportedMediaType(RequestError):
    """Not a picture, or a format that is not on the list."""

    status = 415
    code = "unsupported_media_type"


class UnreadableImage(RequestError):
    """A permitted format whose content is truncated or corrupt."""

    status = 422
    code = "unreadable_image"


class RateLimited(RequestError):
    """This client asks faster than it may."""

    status = 429
    code = "rate_limited"


class InternalError(RequestError):
    """Our fault. The detail tells a caller nothing about our insides."""


class Overloaded(RequestError):
    """The queue is full."""

    status = 503
    code = "overloaded"


class NotReady(RequestError):
    """Models are loading, or the service is shutting down."""

    status = 503
    code = "not_ready"


class CallerGone(RequestError):
    """The caller hung up before its turn: for logs and metrics, as nobody reads this answer."""

    status = 499
    code = "caller_gone"


class ReloadFailed(RequestError):
    """New models or settings cannot be used; the old ones stay in force."""

    status = 409
    code = "reload_failed"


class DeadlineExceeded(RequestError):
    """The request was not answered in time; its work is dropped."""

    status = 504
    code = "deadline_exceeded"


def quote(value: object, *, most: int = 60) -> str:
    """Show a value in a message, cut where a caller sent too much of it."""
    # Of a text as long as a body not all is spelled out to be thrown away.
    text = repr(value[:most] if isinstance(value, str) else value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def tell_cause(error: Exception) -> str:
    """Give the system's words for why a file cannot be used, else the error's own."""
    # An OSError's own repeat the path, after a number that tells a reader nothing.
    return (isinstance(error, OSError) and error.strerror) or str(error)


def first_line(error: BaseException) -> str:
    """Give the first line of a library's message; the name of its kind where there is none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
