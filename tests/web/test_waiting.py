"""Waiting connections: callers are accepted, whatever became of those before them."""

import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from dsapi.web.connections import Connection
from dsapi.web.waiting import WaitingConnections

_PATIENCE_S = 20.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


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

    waiting = WaitingConnections(
        listener,
        make=lambda sock, address: Connection(None, sock, address=address, silence_s=_PATIENCE_S),
        process=process,
        silence_s=_PATIENCE_S,
        limit=10,
    )
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
