"""The protocol: cheroot's request and gateway to WSGI, with the contract's error body.

Used by `dsapi.web.http_server`.
"""

import http
import logging
from typing import Any

from cheroot import server as cheroot
from cheroot import wsgi

from dsapi.errors import (
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RequestError,
    quote,
)
from dsapi.prediction.deadline import Deadline
from dsapi.web.connections import Connection
from dsapi.web.framing import ChunkedBody, LengthBody
from dsapi.web.heads import find_header, read_head

_LOGGER = logging.getLogger(__name__)
#: Of a request's first line and headers together.
MAX_HEAD_BYTES = 32 * 1024
_MAX_UNREAD_BYTES = 8192
# Both mean the head: what a body may have is none of cheroot's business here.
_TOO_LONG = (http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE, http.HTTPStatus.REQUEST_URI_TOO_LONG)
_PROTOCOLS = (b"HTTP/1.0", b"HTTP/1.1")
_METHODS = "GET, HEAD, OPTIONS, POST"


class ApiHTTPRequest(cheroot.HTTPRequest):
    """A request whose malformed head is answered with the contract's error body."""

    header_reader = staticmethod(read_head)
    # The first line, as it was read.
    line = b""

    def read_request_line(self) -> bool:
        """Read the first line, and keep it: what is wrong with it is told by quoting it."""
        reader = self.rfile
        self.rfile = _FirstLines(self, reader)
        try:
            understood = bool(super().read_request_line())  # type: ignore[no-untyped-call]
        finally:
            self.rfile = reader
        if not understood:
            return False
        # Another server may take it for a space or for the line's end (RFC 9112, section 2.2).
        if b"\r" in self.line:
            self.simple_response(400, "its first line has a line break in it")
            return False
        # cheroot takes any numbers that int() does, such as with a sign; CherryPy fails on them.
        if self.request_protocol not in _PROTOCOLS:
            came = quote(self.request_protocol.decode("latin-1"))
            self.simple_response(400, f"its protocol must be HTTP/1.0 or HTTP/1.1, got {came}")
            return False
        return True

    def respond(self) -> None:
        """Call the application and send its answer."""
        reader = self.conn.rfile
        length = int(self.inheaders.get(b"Content-Length", 0))
        if b"Transfer-Encoding" in self.inheaders and not self.chunked_read:
            # HTTP/1.0 has no chunks: where the body ends is not known (RFC 9112, section 6.1).
            self.close_connection = self.conn.unread = True
        self.rfile = ChunkedBody(reader) if self.chunked_read else LengthBody(reader, length)
        self.server.gateway(self).respond()
        if self.ready:
            self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")
        self.conn.wfile.flush()

    def send_headers(self) -> None:
        """Send the head of the answer; hang up after it if the body was not read."""
        if not self.rfile.exhausted:
            # It would be taken for the next request.
            self.close_connection = self.conn.unread = True
        super().send_headers()

    def simple_response(self, status: str | int, msg: str = "") -> None:
        """Answer and close; called by cheroot too, as long as no answer has begun."""
        error = _transport_error(
            int(str(status)[:3]),
            msg or str(status)[4:],
            line=self.line.decode("latin-1"),
            deadline=self.conn.deadline,
        )
        self.close_connection = self.conn.unread = True
        self.sent_headers = True
        # What stands behind the fault is not read any more, but may say who asks.
        unread = b"\r\n" + self.conn.peek(_MAX_UNREAD_BYTES)
        asked_id, origin = (
            self.inheaders.get(name, b"").decode("latin-1") or find_header(unread, name)
            for name in (b"X-Request-Id", b"Origin")
        )
        answer = self.server.write_refusal(
            self.conn, error, line=self.line or b"-", asked_id=asked_id, origin=origin
        )
        try:
            self.conn.wfile.write(answer)
            self.conn.wfile.flush()
        except OSError as gone:
            _LOGGER.debug("the caller of %r has gone: %s", self.line[:200], gone)


class ApiConnection(Connection):
    """A connection of such requests."""

    RequestHandlerClass = ApiHTTPRequest


class _FirstLines:
    """Reads for a request, and keeps its first line.

    It is the last line read, as an empty one may come first (RFC 9112, section 2.2).
    """

    def __init__(self, request: ApiHTTPRequest, reader: Any) -> None:
        self._request = request
        self._reader = reader

    def readline(self) -> bytes:
        line: bytes = self._reader.readline()
        self._request.line = line.rstrip(b"\n").removesuffix(b"\r")
        return line


class Gateway(wsgi.Gateway_10):
    """WSGI, with what its environment does not tell about the caller and its time."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """Give what PEP 3333 asks for, and more."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ["dsapi.deadline"] = self.req.conn.deadline
        environ["dsapi.from_this_machine"] = self.req.conn.from_this_machine
        environ["dsapi.caller_gone"] = self.req.conn.caller_gone
        return environ

    def write(self, chunk: bytes) -> None:
        """Write a part of the answer; send it before the journal is written if it is all of it."""
        super().write(chunk)
        if len(chunk) == self.remaining_bytes_out:
            self.req.conn.wfile.flush()


def _transport_error(status: int, detail: str, *, line: str, deadline: Deadline) -> RequestError:
    """Say in the contract's words what cheroot refuses."""
    if status == http.HTTPStatus.REQUEST_TIMEOUT:
        if deadline.left_s <= 0:
            return deadline.exceeded()
        return BadRequest("the request stalled: nothing came for socket_timeout seconds")
    if status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalError("the service failed on this request")
    if status in _TOO_LONG:
        return BadRequest(f"the request's head has over {MAX_HEAD_BYTES} bytes")
    method, target, protocol = line.split(" ") if line.count(" ") == 2 else (line, "", "")
    if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(
            f"this is no proxy: there are {_METHODS}, not {quote(method)}", permitted=_METHODS
        )
    if status == http.HTTPStatus.HTTP_VERSION_NOT_SUPPORTED:
        return BadRequest(f"the protocol must be HTTP/1.0 or HTTP/1.1, got {quote(protocol)}")
    if target.startswith("//"):  # which looks like another host's address
        return NotFound(f"there is no {quote(target)}")
    return BadRequest(f"the request's head is malformed: {detail}")
