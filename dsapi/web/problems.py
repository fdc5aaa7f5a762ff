"""Problems: the one place where an error becomes a response (RFC 9457)."""

import http
import logging
import sys
from collections.abc import Mapping

import cherrypy
from pydantic import BaseModel, ConfigDict, Field

from dsapi.errors import (
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RequestError,
    Unauthorized,
    quote,
)

_LOGGER = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
# Names of RFC 9110 that Python has since 3.13: answers are not to differ with the version. And that
# of nginx for a caller who has hung up, which no RFC names.
_NAMES = {
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    499: "Client Closed Request",
}


class ProblemAnswer(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field("about:blank", description="Always about:blank: the code tells the kind")
    title: str = Field(description="The status in words")
    status: int = Field(ge=400, le=599)
    code: str = Field(description="Stable; for programs")
    detail: str = Field(description="The field, its value and what is permitted; for people")
    request_id: str = Field(description="Also in X-Request-ID and in every log line")


def status_in_words(status: int) -> str:
    """Give a status's name."""
    return _NAMES.get(status) or http.HTTPStatus(status).phrase


def _body(error: RequestError, request_id: str) -> bytes:
    """Write the contract's error body."""
    problem = ProblemAnswer(
        title=status_in_words(error.status),
        status=error.status,
        code=error.code,
        # Half a character of JSON, quoted by an error, must not be the end of the error.
        detail=error.detail.encode(errors="backslashreplace").decode(),
        request_id=request_id,
    )
    return problem.model_dump_json().encode()


def raw_problem(
    error: RequestError, *, request_id: str, headers: Mapping[str, str], to_head: bool
) -> bytes:
    """Write a whole response, for a request that no handler sees; the connection closes.

    Args:
        error: what is told.
        request_id: of the request.
        headers: further ones.
        to_head: whether it was a HEAD request, whose answer ends with its head.
    """
    body = _body(error, request_id)
    head = [
        f"HTTP/1.1 {error.status} {status_in_words(error.status)}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {request_id}",
        "Server: dsapi",
        "Connection: close",
        *(f"{name}: {value}" for name, value in {**_headers(error), **headers}.items()),
    ]
    return "\r\n".join((*head, "", "")).encode("latin-1") + (b"" if to_head else body)


def respond_to_exception() -> None:
    """Answer the exception that is being handled."""
    error = sys.exc_info()[1]
    request = cherrypy.serving.request
    if not isinstance(error, RequestError):
        _LOGGER.error("request %s failed", request.unique_id, exc_info=error)
        error = InternalError("the service failed on this request; its log has the reason")
    _respond(error)


def understand(error: cherrypy.HTTPError) -> RequestError:
    """Say in the contract's words what the framework refuses in its own."""
    # Forbidden: a path that leaves the folder of files, where nothing is to be found either.
    if error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.FORBIDDEN):
        return NotFound(f"there is no {quote(cherrypy.serving.request.path_info)}")
    if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalError("the service failed on this request")
    return BadRequest(error.args[1] or error.reason)


def begin_response(error: RequestError) -> None:
    """Set an error's status and headers on the response, whatever form its body takes."""
    response = cherrypy.serving.response
    cherrypy.serving.request.error_code = error.code
    response.status = f"{error.status} {status_in_words(error.status)}"
    response.headers.update(_headers(error))


def _headers(error: RequestError) -> dict[str, str]:
    """Give the headers that an error needs beside its body."""
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.permitted
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return headers


def _respond(error: RequestError) -> None:
    begin_response(error)
    response = cherrypy.serving.response
    response.headers["Content-Type"] = CONTENT_TYPE
    response.headers.pop("Content-Length", None)
    response.body = _body(error, str(cherrypy.serving.request.unique_id))
