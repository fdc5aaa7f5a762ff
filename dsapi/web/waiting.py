"""Waiting connections: thousands of idle callers cost one thread, and none of those that work.

One thread accepts callers, waits until one sends something, and hands it to
`HTTPServer.admit`. cheroot's own gives every new connection to a working thread at once,
where 32 callers that send nothing stop the service. Called by `dsapi.web.http_server`.
"""

import errno
import logging
import select
import socket
import threading
import time
from collections.abc import Callable

from dsapi.web.connections import Connection

_LOGGER = logging.getLogger(__name__)
_TICK_S = 0.5
# So many callers the kernel lets wait until they are accepted.
BACKLOG = 1024
_ACCEPTS_A_ROUND = 64
# The kernel or the process has no more of them; accepting again at once would fail again.
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 0.05
# How long what a refused caller still sends is taken and thrown away. RFC 9112, section 9.6:
# closing at once would reset the connection, and the caller would never see why.
_LINGER_S = 2.0
# It is thrown away in pieces of this size: each wakes the thread.
_SCRAP_BYTES = 256 * 1024
# Pause after a refusal. On a full server it delays nobody who is served, and the next callers are
# refused together: every wake-up takes the interpreter's lock from the workers, and finds what a
# refusal needs gone from the caches.
_REFUSAL_PAUSE_S = 0.025
# Time at a stop for a caller who has connected and whose request is on its way.
_LAST_CALL_S = 0.25


class WaitingConnections:
    """The connections that no thread works on.

    Args:
        listener: the listening socket.
        make: makes a connection of an accepted socket and its address.
        process: takes a connection that has sent something; returns False if it refused it.
        silence_s: a connection that is silent for longer is closed.
        limit: connections that may wait; for one more the longest silent one is closed.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        make: Callable[[socket.socket, tuple[object, ...]], Connection],
        process: Callable[[Connection], bool],
        silence_s: float,
        limit: int,
    ) -> None:
        self._listener = listener
        self._make = make
        self._process = process
        self._silence_s = silence_s
        self._limit = limit
        # Not `selectors`, which takes longer than the kernel for each connection.
        self._epoll = select.epoll()
        # In the order in which they began to wait: the first is the longest silent one.
        self._waiting: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._scrap = bytearray(_SCRAP_BYTES)
        self._stopping = False
        self._stopped = threading.Event()
        self._alarm, self._bell = socket.socketpair()
        listener.setblocking(False)
        self._listening = listener.fileno()
        self._epoll.register(self._listening, select.EPOLLIN)
        self._epoll.register(self._alarm.fileno(), select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, connection: Connection) -> None:
        """Let a connection wait for its next request; called by any thread."""
        connection.last_used_s = time.monotonic()
        if connection.has_data():
            self._process(connection)
        else:
            self._wait(connection)

    def linger(self, connection: Connection) -> None:
        """Close a connection that still sends what nobody will read; called by any thread."""
        sock = connection.socket
        try:
            sock.settimeout(0)
            sock.shutdown(socket.SHUT_WR)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _SCRAP_BYTES)
        except OSError:
            connection.close()
            return
        connection.last_used_s = time.monotonic()
        connection.lingers = True
        self._wait(connection)

    def run(self) -> None:
        """Accept and wait, until `stop`."""
        try:
            expire_s = time.monotonic() + _TICK_S
            while not self._stopping:
                try:
                    if not self._round(_TICK_S):
                        time.sleep(_REFUSAL_PAUSE_S)
                    if (now_s := time.monotonic()) > expire_s:
                        expire_s = now_s + _TICK_S
                        self._expire(now_s)
                except Exception:  # whatever it was: nobody else accepts callers
                    _LOGGER.exception("waiting for callers failed; going on")
                    time.sleep(_PAUSE_S)
            self._finish()
        finally:
            self._stopped.set()

    def stop(self) -> None:
        """Stop listening, hear the callers who are there already, hang up on the others."""
        self._stopping = True
        self._bell.close()
        self._stopped.wait()

    def _round(self, timeout_s: float) -> bool:
        """Wait for callers once, and serve those that are there; whether none was refused."""
        served, new = True, False
        for fd, _ in self._epoll.poll(timeout_s):
            if fd == self._listening:
                new = True
            elif (connection := self._waiting.get(fd)) is None:
                continue  # the alarm, or closed since
            elif connection.lingers:
                self._throw_away(connection)
            elif self._take(connection):
                served &= self._process(connection)
        # Last: it may close one of these to make room, and give its number to a new one.
        if new:
            served &= self._accept(_ACCEPTS_A_ROUND)
        return served

    def _accept(self, most: int) -> bool:
        """Take new callers in; whether none was refused."""
        served = True
        for _ in range(most):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _SHORTAGES:
                    _LOGGER.error("cannot accept a connection: %s", error.strerror)
                    self._close_longest_silent()
                    time.sleep(_PAUSE_S)
                    break
                continue  # this caller has gone before it was its turn
            connection = self._make(sock, address)
            # On a busy server the request has come meanwhile: no need to wait for it.
            if connection.peek(1):
                served &= self._process(connection)
            else:
                self._wait(connection)
        return served

    def _wait(self, connection: Connection) -> None:
        if len(self._waiting) >= self._limit:
            self._close_longest_silent()
        with self._lock:
            fd = connection.socket.fileno()
            if fd < 0 or self._stopped.is_set():
                connection.close()
                return
            try:
                self._epoll.register(fd, select.EPOLLIN)
            except OSError as error:  # epoll_ctl(2): no memory, or too many watches
                _LOGGER.error("cannot wait for a connection: %s", error.strerror)
                connection.close()
                return
            self._waiting[fd] = connection

    def _take(self, connection: Connection) -> bool:
        """Take a connection out; whether it was still waiting."""
        with self._lock:
            fd = connection.socket.fileno()
            if self._waiting.get(fd) is not connection:
                return False
            del self._waiting[fd]
            self._epoll.unregister(fd)
            return True

    def _throw_away(self, connection: Connection) -> None:
        """Read what a lingering caller sends, and forget it."""
        try:
            # The kernel does not even copy it (MSG_TRUNC, tcp(7)).
            gone = not connection.socket.recv_into(self._scrap, 0, socket.MSG_TRUNC)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone and self._take(connection):
            connection.close()

    def _expire(self, now_s: float) -> None:
        """Close what was silent, or lingered, for too long."""
        with self._lock:
            waiting = list(self._waiting.values())
        for connection in waiting:
            patience_s = _LINGER_S if connection.lingers else self._silence_s
            if now_s < connection.last_used_s + patience_s:
                continue
            if connection.lingers:
                # To close before all that has come is read would be a reset.
                self._throw_away(connection)
            if self._take(connection):
                connection.close()

    def _close_longest_silent(self) -> None:
        with self._lock:
            longest = next(iter(self._waiting.values()), None)
        if longest is not None and self._take(longest):
            longest.close()

    def _finish(self) -> None:
        """Serve what has arrived, and close everything."""
        self._accept(BACKLOG)
        for own in (self._listener, self._alarm):
            self._epoll.unregister(own.fileno())
            own.close()
        last_call_s = time.monotonic() + _LAST_CALL_S
        while any(connection.fresh for connection in list(self._waiting.values())):
            left_s = last_call_s - time.monotonic()
            if left_s <= 0:
                break
            self._round(left_s)
        self._round(0)
        with self._lock:
            self._stopped.set()
            for connection in self._waiting.values():
                connection.close()
            self._waiting.clear()
            self._epoll.close()
