"""The protocol: cheroot's request and gateway to WSGI, with the contract's error body.

Used by `dsapi.web.http_server`.
"""

import http
import logging
from typing import Any

from cheroot import server as cheroot
from cheroot import wsgi

from dsapi.errors import BadRequest, InternalError, RequestError
from dsapi.prediction.deadline import Deadline
from dsapi.web.connections import Connection
from dsapi.web.framing import ChunkedBody, LengthBody
from dsapi.web.heads import HeadReader
from dsapi.web.problems import raw_problem
from dsapi.web.request_ids import choose_request_id

_LOGGER = logging.getLogger(__name__)


class ApiHTTPRequest(cheroot.HTTPRequest):
    """A request whose malformed head is answered with the contract's error body."""

    header_reader = HeadReader()

    def respond(self) -> None:
        """Call the application and send its answer."""
        reader = self.conn.rfile
        length = int(self.inheaders.get(b"Content-Length", 0))
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
        """Answer and close; called by cheroot before any handler is."""
        request_id = choose_request_id(self.inheaders.get(b"X-Request-Id", b"").decode("latin-1"))
        error = _transport_error(
            int(str(status)[:3]), msg or str(status)[4:], deadline=self.conn.deadline
        )
        self.close_connection = self.conn.unread = True
        self.sent_headers = True
        line = b" ".join(getattr(self, name, b"-") for name in ("method", "uri"))
        self.server.write_refusal(self.conn, error, request_id=request_id, line=line)
        try:
            self.conn.wfile.write(raw_problem(error, request_id=request_id))
            self.conn.wfile.flush()
        except OSError as gone:
            _LOGGER.debug("request %s: the caller has gone: %s", request_id, gone)


class ApiConnection(Connection):
    """A connection of such requests."""

    RequestHandlerClass = ApiHTTPRequest


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
        """Write a part of the answer; send it before the journal is written if it is the last."""
        super().write(chunk)
        if len(chunk) == self.remaining_bytes_out:
            self.req.conn.wfile.flush()


def _transport_error(status: int, detail: str, *, deadline: Deadline) -> RequestError:
    """Say in the contract's words what cheroot refuses."""
    if status == http.HTTPStatus.REQUEST_TIMEOUT:
        if deadline.left_s <= 0:
            return deadline.exceeded()
        return BadRequest("the request stalled: nothing came for socket_timeout seconds")
    if status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalError("the service failed on this request")
    return BadRequest(f"the request's head is malformed: {detail}")
