"""The HTTP server: cheroot, with the contract's error body for what never reaches a handler."""

import logging
from collections.abc import Callable
from typing import Any

import uuid_utils
from cheroot import server as cheroot
from cheroot import wsgi

from dsapi.errors import BadRequest, DeadlineExceeded, InternalError, Overloaded, TooLarge
from dsapi.web.problems import CONTENT_TYPE, problem_body

_LOGGER = logging.getLogger(__name__)
# What cheroot itself may answer, and the contract's code for it.
_CODES = {408: DeadlineExceeded, 413: TooLarge, 500: InternalError, 503: Overloaded}


class _Request(cheroot.HTTPRequest):
    """A request whose malformed head is answered with the contract's error body."""

    def simple_response(self, status: str | int, msg: str = "") -> None:
        """Answer and close; called by cheroot before any handler is."""
        number = int(str(status)[:3])
        request_id = str(uuid_utils.uuid7())
        body = problem_body(
            status=number,
            code=_CODES.get(number, BadRequest).code,
            detail=msg or str(status)[4:],
            request_id=request_id,
        )
        head = (
            f"{self.server.protocol} {status}\r\nContent-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n"
            "Connection: close\r\n\r\n"
        )
        self.close_connection = True
        try:
            self.conn.wfile.write(head.encode("latin-1") + body)
        except OSError as error:
            _LOGGER.debug("request %s: the caller has gone: %s", request_id, error)


class _Connection(cheroot.HTTPConnection):
    RequestHandlerClass = _Request


class _Gateway(wsgi.Gateway_10):
    """WSGI, with a way for `dsapi.web.bodies` to give a connection up."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ["dsapi.close_connection"] = self._close_connection
        if self.req.chunked_read:
            # cheroot reads a chunk whole, however large its caller says it is.
            self.req.rfile.maxlen = self.req.server.max_body_bytes
        return environ

    def _close_connection(self) -> None:
        self.req.close_connection = True


class HTTPServer(wsgi.Server):
    """A threaded HTTP/1.1 server of a WSGI application.

    Args:
        bind_addr: host and port.
        wsgi_app: the application.
        threads: how many requests are read and answered at a time.
        timeout_s: how long a connection may be silent.
        shutdown_timeout_s: how long a stop waits for requests in flight.
        max_body_bytes: largest request body.
    """

    ConnectionClass = _Connection

    def __init__(
        self,
        bind_addr: tuple[str, int],
        wsgi_app: Callable[..., Any],
        *,
        threads: int,
        timeout_s: float,
        shutdown_timeout_s: float,
        max_body_bytes: int,
    ) -> None:
        super().__init__(
            bind_addr,
            wsgi_app,
            numthreads=threads,
            server_name="dsapi",
            request_queue_size=128,
            timeout=timeout_s,  # type: ignore[arg-type] # fractions are fine
            shutdown_timeout=shutdown_timeout_s,  # type: ignore[arg-type]
            # Unbounded by default, and a full queue would block the acceptor for its timeout.
            accepted_queue_size=threads * 4,
            accepted_queue_timeout=0.1,  # type: ignore[arg-type]
        )
        self.gateway = _Gateway
        self.max_body_bytes = max_body_bytes

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what cheroot has to say where everything else is logged."""
        _LOGGER.log(level, "%s", msg, exc_info=traceback)
