"""The HTTP server: cheroot's protocol, with waits that end and the contract's error body.

A connection waits in `dsapi.web.waiting` until its caller sends something, is then served by one
of `dsapi.web.threads`, and waits again. cheroot reads heads, calls the WSGI application and
writes answers (`dsapi.web.protocol`). Built by `dsapi.process.service`.
"""

import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from cheroot import wsgi

from dsapi.errors import Overloaded, RequestError
from dsapi.prediction.deadline import Deadline
from dsapi.web.connections import Connection
from dsapi.web.heads import find_header
from dsapi.web.journal import Journal, RequestRecord
from dsapi.web.problems import raw_problem
from dsapi.web.protocol import MAX_HEAD_BYTES, ApiConnection, Gateway
from dsapi.web.request_ids import choose_request_id
from dsapi.web.threads import RequestThreads
from dsapi.web.waiting import BACKLOG, WaitingConnections

_LOGGER = logging.getLogger(__name__)
# Connections that may wait for a thread, per thread.
_QUEUE_PER_THREAD = 4
_PEEK_BYTES = 2048
# A caller who has an answer often asks again at once. Then no other thread need be woken.
_STAY_S = 0.005
_FAST = (b"GET /health/", b"HEAD /health/", b"GET /metrics", b"HEAD /metrics")
_PREDICTION = b"POST /v1/predictions"


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
        origin_headers: gives the headers that let a page of an origin read an answer.
        journal: where requests are written down that no handler sees.
        reuse_port: whether other processes may listen on the same port.
    """

    ConnectionClass = ApiConnection

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
        origin_headers: Callable[[str], Mapping[str, str]],
        journal: Journal,
        reuse_port: bool,
    ) -> None:
        super().__init__(
            bind_addr,
            wsgi_app,
            reuse_port=reuse_port,
            server_name="dsapi",
            request_queue_size=BACKLOG,
            timeout=timeout_s,  # type: ignore[arg-type] # fractions are fine
            shutdown_timeout=shutdown_timeout_s,  # type: ignore[arg-type]
        )
        self.gateway = Gateway
        self.max_request_header_size = MAX_HEAD_BYTES
        self._threads = self.requests = RequestThreads(
            threads,
            queue_size=threads * _QUEUE_PER_THREAD,
            stay=self._stay,
            keep=self._keep,
            hang_up=self._hang_up,
        )
        self.max_connections = max_connections
        self._request_timeout_s = request_timeout_s
        self._refusal = refusal
        self._origin_headers = origin_headers
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
            limit=self.max_connections,
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

    def admit(self, conn: Connection) -> bool:
        """Give a connection that has sent something to a thread, or refuse it here and now.

        Returns:
            Whether it was not refused.
        """
        head = self._begin(conn)
        if not head:
            conn.close()
            return True
        # Refusing before the body is read, in this thread, costs a hundredth of a prediction;
        # what the peek does not show is refused at the workers' queue.
        if error := self._find_refusal(head):
            self._refuse(conn, head, error)
            return False
        # A caller slow to finish its head, or to take its answers, must not hold one of the few
        # threads of the fast lane.
        fast = head.startswith(_FAST) and b"\r\n\r\n" in head and conn.make_room()
        if not self._threads.put(conn, fast=fast):
            self._refuse(conn, head, Overloaded("too many requests at a time", retry_after_s=1))
            return False
        return True

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what cheroot has to say where everything else is logged."""
        _LOGGER.log(level, "%s", msg, exc_info=traceback)

    def write_refusal(
        self, conn: Connection, error: RequestError, *, line: bytes, asked_id: str, origin: str
    ) -> bytes:
        """Write a request into the journal that no handler saw, and the answer to it.

        Args:
            conn: where it came from.
            error: why it is refused.
            line: its first line.
            asked_id: its ``X-Request-ID``, empty for none.
            origin: its ``Origin``, empty for none.
        """
        request_id = choose_request_id(asked_id)
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
        return raw_problem(
            error,
            request_id=request_id,
            headers=self._origin_headers(origin),
            to_head=line.startswith(b"HEAD "),
        )

    def _stay(self, conn: Connection) -> bool:
        """Wait a moment for the next request; whether the thread that answered the last serves it.

        Otherwise the connection waits with the others, and is refused or closed there.
        """
        if not (self.ready and self._threads.have_spare and conn.wait(_STAY_S)):
            return False
        head = self._begin(conn)
        return bool(head) and self._find_refusal(head) is None

    def _begin(self, conn: Connection) -> bytes:
        """Begin a connection's next request: look at its head; nothing if the caller has gone."""
        head = conn.peek(_PEEK_BYTES)
        conn.fresh = False
        conn.deadline = Deadline.within(self._request_timeout_s())
        return head

    def _find_refusal(self, head: bytes) -> RequestError | None:
        """Tell whether and why a request that begins with `head` would be refused now."""
        if head.startswith(_PREDICTION):
            return self._refusal(self._threads.count_in_flight)
        return None

    def _make_connection(self, sock: socket.socket, address: tuple[object, ...]) -> Connection:
        return ApiConnection(self, sock, address=address, silence_s=self.timeout)

    def _keep(self, conn: Connection) -> None:
        """Let a connection wait for its next request, unless the server stops."""
        if self.ready:
            self._waiting.put(conn)
        else:
            conn.close()

    def _hang_up(self, conn: Connection) -> None:
        if conn.unread or conn.peek(1):
            self._waiting.linger(conn)
        else:
            conn.close()

    def _refuse(self, conn: Connection, head: bytes, error: RequestError) -> None:
        if b"\r\n\r\n" not in head:
            # The caller's id may stand behind more than it takes to see what is asked.
            head = conn.peek(MAX_HEAD_BYTES) or head
        answer = self.write_refusal(
            conn,
            error,
            line=head.partition(b"\r\n")[0],
            asked_id=find_header(head, b"X-Request-ID"),
            origin=find_header(head, b"Origin"),
        )
        try:
            conn.socket.settimeout(0)
            conn.socket.send(answer)
        except OSError:
            conn.close()
        else:
            self._waiting.linger(conn)
