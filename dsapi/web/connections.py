"""Connections: one caller's socket, on which every wait has an end.

cheroot's timeout is per read, so that a caller who sends a byte now and then holds a thread for
good. Here each read gets no more time than its request has left. Made by `dsapi.web.http_server`,
served by `dsapi.web.threads`.
"""

import contextlib
import fcntl
import io
import ipaddress
import select
import socket
import sys
import termios
import threading
import time
from typing import Any

from cheroot import server as cheroot

from dsapi.prediction.deadline import Deadline

# A head and the first piece of a body, in one call to the kernel.
_BUFFER_BYTES = 16 * 1024
_MAX_UNSENT_BYTES = 64 * 1024
# Several times what /metrics takes.
_ROOM_BYTES = 128 * 1024


class _Outgoing:
    """What goes to a caller, head and body in one packet where they are small."""

    def __init__(self, sock: socket.socket, silence_s: float) -> None:
        self._socket = sock
        self._silence_s = silence_s
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    def write(self, data: bytes) -> int:
        """Take bytes; send them if there are many."""
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > _MAX_UNSENT_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what was written.

        Raises:
            TimeoutError: the caller does not take it.
            OSError: the caller has gone.
        """
        if not self._unsent:
            return
        data = b"".join(self._unsent)
        self._unsent, self._unsent_bytes = [], 0
        # The time is for all of it, not for each packet (Python's sendall since 3.5).
        self._socket.settimeout(self._silence_s)
        self._socket.sendall(data)


class _Incoming(io.RawIOBase):
    """What a caller sends.

    Attributes:
        deadline: when reading ends with TimeoutError, however much still comes.
        dry: while set, reads give nothing, as if nothing had come.
    """

    def __init__(self, sock: socket.socket, outgoing: _Outgoing, silence_s: float) -> None:
        super().__init__()
        self._socket = sock
        self._outgoing = outgoing
        self._silence_s = silence_s
        self.deadline = Deadline.within(silence_s)
        self.dry = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.dry:
            return None
        # Send what is pending first: the caller may be waiting for it ("100 Continue").
        self._outgoing.flush()
        left_s = self.deadline.left_s
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(min(self._silence_s, left_s))
        return self._socket.recv_into(buffer)


class Connection(cheroot.HTTPConnection):
    """A caller's connection, for one request after the other.

    Attributes:
        last_used_s: when it began to wait for a request, or to linger, on `time.monotonic`'s clock.
        lingers: whether it has had its last answer, and is about to be closed.
        fresh: whether it has not brought a request yet.
        unread: whether something of the last request may be left in the socket. Closing then
            would reset the connection and take the answer away from the caller.
    """

    def __init__(
        self, server: Any, sock: socket.socket, *, address: tuple[Any, ...], silence_s: float
    ) -> None:
        # Not cheroot's constructor: its per-connection caches are reference cycles.
        self.server = server
        self.socket = sock
        self.remote_addr, self.remote_port = address[:2]
        self.ssl_env: dict[str, str] = {}
        self.requests_seen = 0
        self.wfile = _Outgoing(sock, silence_s)
        self._incoming = _Incoming(sock, self.wfile, silence_s)
        self.rfile = io.BufferedReader(self._incoming, _BUFFER_BYTES)
        self.last_used_s = time.monotonic()
        self.lingers = False
        self.fresh = True
        self.unread = False
        self._closing = threading.Lock()
        self._closed = False

    @property
    def deadline(self) -> Deadline:
        """Deadline of the current request, from its first byte to its answer."""
        return self._incoming.deadline

    @deadline.setter
    def deadline(self, deadline: Deadline) -> None:
        self._incoming.deadline = deadline

    def has_data(self) -> bool:
        """Tell whether the start of the next request has been read already (pipelining)."""
        return bool(self._read_ahead())

    def wait(self, timeout_s: float) -> bool:
        """Wait for the next request; whether something of it, or the end, has come."""
        if self.has_data():
            return True
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def peek(self, size: int) -> bytes:
        """Look at what the caller has sent; nothing if it has hung up. Never waits."""
        if not self.fresh and (ahead := self._read_ahead()):
            return ahead[:size]
        self.socket.settimeout(0)
        try:
            data: bytes = self.socket.recv(size, socket.MSG_PEEK)
        except OSError:
            return b""
        return data

    def caller_gone(self) -> bool:
        """Tell whether the caller has hung up; called by another thread while this one waits."""
        fd = self.socket.fileno()
        if fd < 0:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLRDHUP)
        return bool(poll.poll(0))

    def make_room(self) -> bool:
        """Tell whether the system will take a small answer at once, however slow the caller is.

        It does not where the caller has yet to take an answer before.
        """
        with contextlib.suppress(OSError):  # closed, or a system that cannot tell
            unsent = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
            if int.from_bytes(unsent, sys.byteorder):
                return False
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM_BYTES)
        return True

    def from_this_machine(self) -> bool:
        """Tell whether the caller's address is one of this machine's own."""
        own = self.socket.getsockname()[0]
        return self.remote_addr == own or ipaddress.ip_address(self.remote_addr).is_loopback

    def _read_ahead(self) -> bytes:
        """Give what was read beyond the last request."""
        self._incoming.dry = True
        try:
            data: bytes = self.rfile.peek(1)
        finally:
            self._incoming.dry = False
        return data

    def abort(self) -> None:
        """Hang up from another thread: whoever reads or writes gets an error."""
        with self._closing, contextlib.suppress(OSError):
            if not self._closed:
                # Not close(): that would not wake who waits in a read.
                self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        with self._closing:
            if not self._closed:
                self._closed = True
                super().close()
