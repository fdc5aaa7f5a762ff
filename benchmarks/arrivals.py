"""Arrivals: requests at given moments in, what became of each out, whether or not answers come.

One thread, one epoll, a connection for each request, and bytes that are written once: what callers
take of a machine that they share with the server, the server lacks. A caller who is answered before
it has sent everything stops sending, as curl and nginx do. Used by `benchmarks.overload`.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_RECEIVED_BYTES = 64 * 1024
_SENDING = selectors.EVENT_READ | selectors.EVENT_WRITE


@dataclass(frozen=True)
class Fate:
    """What became of a request.

    Attributes:
        status: of the answer, ``hung`` without one, or the name of what went wrong.
        took_s: until the end of the answer.
        ended_s: when that was, after the first moment.
    """

    status: str
    took_s: float
    ended_s: float


class _Caller:
    """One request on a connection of its own."""

    def __init__(self, request: bytes, *, port: int) -> None:
        self.began_s = time.perf_counter()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self.unsent = memoryview(request)
        self._answer = b""

    def send(self) -> None:
        """Send what goes."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # hung up on; what it was told first is still to be read
            self.unsent = self.unsent[:0]

    def receive(self) -> str:
        """Receive what is there; return the status once that is all."""
        try:
            received = self.socket.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return ""
        except OSError as error:
            return type(error).__name__
        self._answer += received
        if received:
            self.unsent = self.unsent[:0]
            return ""
        return self._answer[9:12].decode() or "nothing"


def call_at(
    moments_s: Sequence[float], request: bytes, *, port: int, patience_s: float
) -> list[Fate]:
    """Send a request at each of these moments, and wait for what becomes of them.

    Args:
        moments_s: seconds from now, ascending.
        request: its bytes; it has to ask for the connection's end.
        port: of the server.
        patience_s: how long after the last moment answers are waited for.
    """
    selector = selectors.DefaultSelector()
    began_s = time.perf_counter()
    to_come = deque(moments_s)
    fates: list[Fate] = []

    def end(caller: _Caller, status: str) -> None:
        selector.unregister(caller.socket)
        caller.socket.close()
        now_s = time.perf_counter()
        fates.append(Fate(status, now_s - caller.began_s, now_s - began_s))

    give_up_s = began_s + moments_s[-1] + patience_s
    while (to_come or selector.get_map()) and (now_s := time.perf_counter()) < give_up_s:
        while to_come and began_s + to_come[0] <= now_s:
            to_come.popleft()
            caller = _Caller(request, port=port)
            selector.register(caller.socket, _SENDING, caller)
        until_s = began_s + to_come[0] if to_come else give_up_s
        for key, events in selector.select(max(0.0, until_s - time.perf_counter())):
            caller = key.data
            if events & selectors.EVENT_WRITE:
                caller.send()
            if events & selectors.EVENT_READ and (status := caller.receive()):
                end(caller, status)
            elif not caller.unsent and key.events == _SENDING:
                selector.modify(caller.socket, selectors.EVENT_READ, caller)
    for key in list(selector.get_map().values()):
        end(key.data, "hung")
    selector.close()
    return fates
