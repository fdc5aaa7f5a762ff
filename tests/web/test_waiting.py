"""Waiting connections: callers are accepted, whatever became of those before them."""

import os
import queue
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dsapi.web.connections import Connection
from dsapi.web.waiting import WaitingConnections
from tests.waiting import eventually

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


@contextmanager
def running(waiting: WaitingConnections) -> Iterator[None]:
    """Accept and wait in a thread of its own, until the block ends."""
    thread = threading.Thread(target=waiting.run)
    thread.start()
    try:
        yield
    finally:
        waiting.stop()
        thread.join(_PATIENCE_S)
        assert not thread.is_alive()


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), timeout=_PATIENCE_S)


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
    with ExitStack() as stack:
        callers = [stack.enter_context(connect(listener)) for _ in range(8)]
        for caller in callers:
            caller.sendall(b"ask")
        stack.enter_context(running(waiting))
        for _ in callers:
            served.get(timeout=_PATIENCE_S)
        assert len(waiting) == 3
        for caller in callers[:5]:
            assert caller.recv(1) == b"", "the longest silent was not hung up on"


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
    with running(waiting), connect(listener) as bad, connect(listener) as good:
        bad.sendall(b"bad")
        assert bad.recv(1) == b"", "nobody hung up on the bad caller"
        good.sendall(b"good")
        assert served.get(timeout=_PATIENCE_S) == b"good"


def serve_once(served: "queue.Queue[bytes]") -> Callable[[Connection], bool]:
    """Note what a caller sends, and hang up."""

    def process(connection: Connection) -> bool:
        served.put(connection.peek(10))
        connection.socket.recv(10)
        connection.close()
        return True

    return process


def test_where_no_more_files_can_be_opened_the_longest_silent_makes_room(
    listener: socket.socket,
) -> None:
    served: queue.Queue[bytes] = queue.Queue()
    waiting = wait_on(listener, serve_once(served), limit=10)
    with running(waiting), connect(listener) as silent, socket.socket() as asking:
        assert eventually(lambda: len(waiting) == 1)
        free = os.dup(silent.fileno())
        os.close(free)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
        try:
            asking.connect(listener.getsockname())
            asking.sendall(b"ask")
            assert silent.recv(1) == b"", "the silent one was not hung up on"
            assert served.get(timeout=_PATIENCE_S) == b"ask"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_time_that_a_caller_may_be_silent_begins_with_its_last_answer(
    listener: socket.socket,
) -> None:
    held: queue.Queue[Connection] = queue.Queue()

    def process(connection: Connection) -> bool:
        connection.socket.recv(10)
        held.put(connection)
        return True

    waiting = wait_on(listener, process, limit=10)
    with running(waiting), connect(listener) as caller, connect(listener) as silent:
        connections = []
        for each in (caller, silent):
            each.sendall(b"ask")
            connections.append(held.get(timeout=_PATIENCE_S))
        # An answer that took longer than callers may be silent.
        connections[0].last_used_s -= 100
        for connection in connections:
            waiting.put(connection)
        connections[1].last_used_s -= 100
        assert silent.recv(1) == b""
        caller.sendall(b"more")
        assert held.get(timeout=_PATIENCE_S) is connections[0]
        connections[0].close()


def test_a_refused_caller_that_does_not_hang_up_is_hung_up_on_long_before_a_silent_one(
    listener: socket.socket,
) -> None:
    refusals: queue.Queue[Connection] = queue.Queue()

    def process(connection: Connection) -> bool:
        waiting.linger(connection)
        refusals.put(connection)
        return False

    waiting = wait_on(listener, process, limit=10)
    with running(waiting), connect(listener) as silent:
        assert eventually(lambda: len(waiting) == 1)
        with connect(listener) as refused:
            refused.sendall(b"refuse me")
            refusals.get(timeout=_PATIENCE_S)
            assert refused.recv(1) == b"", "it is not told that no more will come"
            assert eventually(lambda: len(waiting) == 1)
        readable, _, _ = select.select([silent], [], [], 0)
        assert not readable


def test_who_comes_after_a_refused_caller_is_not_taken_for_it(listener: socket.socket) -> None:
    """The system gives the next connection the same number."""
    served: queue.Queue[bytes] = queue.Queue()

    def process(connection: Connection) -> bool:
        sent = connection.peek(10)
        if sent == b"refuse me":
            waiting.linger(connection)
        else:
            connection.socket.recv(10)
            waiting.put(connection)
        served.put(sent)
        return True

    waiting = wait_on(listener, process, limit=10)
    with running(waiting):
        with connect(listener) as refused:
            refused.sendall(b"refuse me")
            assert served.get(timeout=_PATIENCE_S) == b"refuse me"
        assert eventually(lambda: len(waiting) == 0)
        with connect(listener) as caller:
            for _ in range(2):
                caller.sendall(b"ask")
                assert served.get(timeout=_PATIENCE_S) == b"ask"


def test_who_asks_in_the_moment_that_others_come_is_neither_hung_up_on_nor_mistaken_for_them(
    listener: socket.socket,
) -> None:
    """The system gives a new connection the number of one that was closed for it."""
    served: queue.Queue[bytes] = queue.Queue()
    go_on = threading.Event()

    def process(connection: Connection) -> bool:
        sent = connection.peek(10)
        connection.close()
        served.put(sent)
        return sent != b"long" or go_on.wait(_PATIENCE_S)

    waiting = wait_on(listener, process, limit=2)
    with running(waiting), connect(listener) as asking, connect(listener) as busy:
        assert eventually(lambda: len(waiting) == 2)
        busy.sendall(b"long")
        assert served.get(timeout=_PATIENCE_S) == b"long"
        # While the one thread is busy so many come that the longest silent must go, and it asks.
        with connect(listener), connect(listener), connect(listener) as last:
            asking.sendall(b"ask")
            go_on.set()
            assert served.get(timeout=_PATIENCE_S) == b"ask"
            last.sendall(b"more")
            assert served.get(timeout=_PATIENCE_S) == b"more"


def test_a_stop_serves_who_has_asked_before_and_hangs_up_on_the_others(
    listener: socket.socket,
) -> None:
    served: queue.Queue[bytes] = queue.Queue()
    go_on = threading.Event()

    def process(connection: Connection) -> bool:
        sent = connection.socket.recv(10)
        connection.fresh = False
        waiting.put(connection)
        served.put(sent)
        return sent != b"long" or go_on.wait(_PATIENCE_S)

    waiting = wait_on(listener, process, limit=10)
    address = listener.getsockname()
    with (
        running(waiting),
        connect(listener) as kept,
        connect(listener) as idle,
        connect(listener) as busy,
    ):
        for each in (kept, idle, busy):
            each.sendall(b"ask")
            assert served.get(timeout=_PATIENCE_S) == b"ask"
        assert eventually(lambda: len(waiting) == 3)
        busy.sendall(b"long")
        assert served.get(timeout=_PATIENCE_S) == b"long"
        # While the one thread is busy a new and a known caller ask, and then the stop begins.
        with connect(listener) as late:
            late.sendall(b"late")
            kept.sendall(b"again")
            stop = threading.Thread(target=waiting.stop)
            stop.start()
            assert eventually(lambda: waiting._stopping)
            go_on.set()
            stop.join(_PATIENCE_S)
            asked = {served.get(timeout=_PATIENCE_S) for _ in range(2)}
            assert asked == {b"late", b"again"}
            assert idle.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=_PATIENCE_S)


def test_a_stop_serves_all_who_have_asked_before_however_many(listener: socket.socket) -> None:
    served: queue.Queue[bytes] = queue.Queue()
    go_on = threading.Event()

    def process(connection: Connection) -> bool:
        sent = connection.socket.recv(10)
        connection.close()
        served.put(sent)
        return sent != b"long" or go_on.wait(_PATIENCE_S)

    listener.listen(200)
    waiting = wait_on(listener, process, limit=10)
    with ExitStack() as stack:
        stack.enter_context(running(waiting))
        stack.enter_context(connect(listener)).sendall(b"long")
        assert served.get(timeout=_PATIENCE_S) == b"long"
        for _ in range(150):
            stack.enter_context(connect(listener)).sendall(b"ask")
        stop = threading.Thread(target=waiting.stop)
        stop.start()
        assert eventually(lambda: waiting._stopping)
        go_on.set()
        stop.join(_PATIENCE_S)
        assert served.qsize() == 150
