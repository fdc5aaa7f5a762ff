"""Waiting connections: callers are accepted, whatever became of those before them."""

import queue
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from dsapi.web.connections import Connection
from dsapi.web.waiting import WaitingConnections

_PATIENCE_S = 20.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def wait_on(
    listener: socket.socket, process: Callable[[Connection], bool], *, limit: int
) -> WaitingConnections:
    return WaitingConnections(
        listener,
        make=lambda sock, address: Connection(None, sock, address=address, silence_s=_PATIENCE_S),
        process=process,
        silence_s=_PATIENCE_S,
        limit=limit,
    )


def test_callers_who_were_served_at_once_count_among_those_who_wait(
    listener: socket.socket,
) -> None:
    """A caller whose request is there when it is accepted is not looked at before it waits."""
    served: queue.Queue[Connection] = queue.Queue()

    def process(connection: Connection) -> bool:
        connection.peek(10)
        connection.socket.recv(10)
        waiting.put(connection)
        served.put(connection)
        return True

    waiting = wait_on(listener, process, limit=3)
    callers = [socket.create_connection(listener.getsockname()) for _ in range(8)]
    for caller in callers:
        caller.sendall(b"ask")
    thread = threading.Thread(target=waiting.run)
    thread.start()
    try:
        for _ in callers:
            served.get(timeout=_PATIENCE_S)
        assert len(waiting) == 3
        for caller in callers[:5]:
            caller.settimeout(_PATIENCE_S)
            assert caller.recv(1) == b"", "the longest silent was not hung up on"
    finally:
        waiting.stop()
        thread.join(_PATIENCE_S)
        for caller in callers:
            caller.close()


def test_what_goes_wrong_with_one_caller_does_not_end_the_accepting_of_others(
    listener: socket.socket,
) -> None:
    served: queue.Queue[bytes] = queue.Queue()

    def process(connection: Connection) -> bool:
        sent = connection.peek(10)
        connection.close()
        if sent == b"bad":
            raise OSError("no memory to serve it")
        served.put(sent)
        return True

    waiting = wait_on(listener, process, limit=10)
    thread = threading.Thread(target=waiting.run)
    thread.start()
    address = listener.getsockname()
    with socket.create_connection(address) as bad, socket.create_connection(address) as good:
        bad.sendall(b"bad")
        assert bad.recv(1) == b"", "nobody hung up on the bad caller"
        good.sendall(b"good")
        assert served.get(timeout=_PATIENCE_S) == b"good"
    waiting.stop()
    thread.join(_PATIENCE_S)
    assert not thread.is_alive()
