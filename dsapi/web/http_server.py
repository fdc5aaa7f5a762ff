"""The HTTP server: cheroot's protocol, with waits that end and the contract's error body.

A connection waits in `dsapi.web.waiting` until its caller sends something, is then served by one
of `dsapi.web.threads`, and waits again. cheroot reads heads, calls the WSGI application and
writes answers. Built by `dsapi.server`.
"""

import http
import logging
import re
import socket
from collections.abc import Callable
from typing import Any

from cheroot import server as cheroot
from cheroot import wsgi

from dsapi.errors import BadRequest, InternalError, Overloaded, RequestError
from dsapi.prediction.deadline import Deadline
from dsapi.web.connections import Connection
from dsapi.web.framing import ChunkedBody, LengthBody
from dsapi.web.heads import HeadReader
from dsapi.web.journal import Journal, RequestRecord
from dsapi.web.problems import raw_problem
from dsapi.web.request_ids import choose_request_id
from dsapi.web.threads import RequestThreads
from dsapi.web.waiting import WaitingConnections

_LOGGER = logging.getLogger(__name__)
_MAX_HEAD_BYTES = 32 * 1024
_BACKLOG = 1024
# Connections that may wait for a thread, per thread.
_QUEUE_PER_THREAD = 4
_PEEK_BYTES = 2048
_FAST = (b"GET /health/", b"GET /metrics")
_PREDICTION = b"POST /v1/predictions"
_REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)


class _Request(cheroot.HTTPRequest):
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


class _Connection(Connection):
    RequestHandlerClass = _Request


class _Gateway(wsgi.Gateway_10):
    """WSGI, with what its environment does not tell about the caller and its time."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
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


class HTTPServer(wsgi.Server):
    """A threaded HTTP/1.1 server of a WSGI application.

    Args:
        bind_addr: host and port.
        wsgi_app: the application.
        threads: how many requests are read and answered at a time.
        timeout_s: how long a connection may be silent.
        shutdown_timeout_s: how long a stop waits for requests in flight.
        max_connections: connections that may wait for a request.
        request_timeout_s: tells the seconds that the next request gets, from its first byte.
        refusal: tells whether predictions would be refused now, and how; it gets what counts the
            requests that were let in and not answered.
        journal: where requests are written down that no handler sees.
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
        max_connections: int,
        request_timeout_s: Callable[[], float],
        refusal: Callable[[Callable[[], int]], RequestError | None],
        journal: Journal,
        reuse_port: bool = False,
    ) -> None:
        super().__init__(
            bind_addr,
            wsgi_app,
            reuse_port=reuse_port,
            server_name="dsapi",
            request_queue_size=_BACKLOG,
            timeout=timeout_s,  # type: ignore[arg-type] # fractions are fine
            shutdown_timeout=shutdown_timeout_s,  # type: ignore[arg-type]
        )
        self.gateway = _Gateway
        self.max_request_header_size = _MAX_HEAD_BYTES
        self._threads = self.requests = RequestThreads(
            threads,
            queue_size=threads * _QUEUE_PER_THREAD,
            keep=self.put_conn,
            hang_up=self._hang_up,
        )
        self._max_connections = max_connections
        self._request_timeout_s = request_timeout_s
        self._refusal = refusal
        self._journal = journal

    def prepare(self) -> None:
        """Listen and start the threads.

        Raises:
            OSError: the address is taken or not this machine's.
        """
        super().prepare()
        # cheroot's own, which it made of the same listening socket.
        self._connections._selector.close()  # type: ignore[attr-defined]
        self._waiting = WaitingConnections(
            self.socket,
            make=self._make_connection,
            process=self.admit,
            silence_s=self.timeout,
            limit=self._max_connections,
        )

    def serve(self) -> None:
        """Serve until `stop` is called in another thread."""
        self._waiting.run()

    def stop(self) -> None:
        """Stop listening, finish the requests in flight, hang up on those that take too long."""
        if self.ready:
            # From now on answers say `Connection: close`.
            self.ready = False
            self._waiting.stop()
            if not self._threads.stop(self.shutdown_timeout):
                _LOGGER.warning("hung up on requests that did not end within shutdown_timeout")

    @property
    def waiting_connections(self) -> int:
        """Connections that wait for a request."""
        return len(self._waiting)

    @property
    def busy_threads(self) -> int:
        """Request threads that serve a connection."""
        return self._threads.busy

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether a caller may keep its connection after this answer."""
        return bool(self.ready)

    def put_conn(self, conn: Connection) -> None:
        """Let a connection wait for its next request, unless the server stops."""
        if self.ready:
            self._waiting.put(conn)
        else:
            conn.close()

    def admit(self, conn: Connection) -> bool:
        """Give a connection that has sent something to a thread, or refuse it here and now.

        Returns:
            Whether it was not refused.
        """
        pipelined = not conn.fresh and conn.has_data()
        conn.fresh = False
        conn.deadline = Deadline.within(self._request_timeout_s())
        if pipelined:
            head = b""
        elif not (head := conn.peek(_PEEK_BYTES)):
            conn.close()
            return True
        # Refusing before the body is read, in this thread, costs a hundredth of a prediction;
        # what the peek does not show is refused at the workers' queue.
        if head.startswith(_PREDICTION) and (error := self._refusal(self._threads.count_in_flight)):
            self._refuse(conn, head, error)
            return False
        if not self._threads.put(conn, fast=head.startswith(_FAST)):
            self._refuse(conn, head, Overloaded("too many requests at a time", retry_after_s=1))
            return False
        return True

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what cheroot has to say where everything else is logged."""
        _LOGGER.log(level, "%s", msg, exc_info=traceback)

    def write_refusal(
        self, conn: Connection, error: RequestError, *, request_id: str, line: bytes
    ) -> None:
        """Write a request into the journal that no handler saw."""
        self._journal.write(
            RequestRecord(
                request_id=request_id,
                client=str(conn.remote_addr),
                request=line[:200].decode("latin-1"),
                status=error.status,
                code=error.code,
                form="",
                size=None,
                took_ms=conn.deadline.spent_s * 1000,
            )
        )

    def _make_connection(self, sock: socket.socket, address: tuple[object, ...]) -> Connection:
        return _Connection(self, sock, address=address, silence_s=self.timeout)

    def _hang_up(self, conn: Connection) -> None:
        if conn.unread:
            self._waiting.linger(conn)
        else:
            conn.close()

    def _refuse(self, conn: Connection, head: bytes, error: RequestError) -> None:
        found = _REQUEST_ID.search(head)
        request_id = choose_request_id(found[1].decode("latin-1") if found else "")
        self.write_refusal(conn, error, request_id=request_id, line=head.partition(b"\r\n")[0])
        try:
            conn.socket.settimeout(0)
            conn.socket.send(raw_problem(error, request_id=request_id))
        except OSError:
            conn.close()
        else:
            self._waiting.linger(conn)


def _transport_error(status: int, detail: str, *, deadline: Deadline) -> RequestError:
    """Say in the contract's words what cheroot refuses."""
    if status == http.HTTPStatus.REQUEST_TIMEOUT:
        if deadline.left_s <= 0:
            return deadline.exceeded()
        return BadRequest("the request stalled: nothing came for socket_timeout seconds")
    if status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalError("the service failed on this request")
    return BadRequest(f"the request's head is malformed: {detail}")
