"""Request threads: who serves which connection, and what counts as in flight."""

import queue
import threading
from collections.abc import Iterator

import pytest

from dsapi.web.threads import RequestThreads

_PATIENCE_S = 20.0


class Requests:
    """A connection that brings one request after the other, and notes which thread served each."""

    remote_addr = "a caller"

    def __init__(self) -> None:
        self.served_by: list[threading.Thread] = []
        self.closed = False

    def communicate(self) -> bool:
        self.served_by.append(threading.current_thread())
        return True

    def close(self) -> None:
        self.closed = True


class Server:
    """Two threads in the main lane; it is asked about each kept connection whether it stays."""

    def __init__(self) -> None:
        self.asked: queue.Queue[Requests] = queue.Queue()
        self.stays: queue.Queue[bool] = queue.Queue()
        self.kept: queue.Queue[Requests] = queue.Queue()
        self.threads = RequestThreads(
            2, queue_size=4, stay=self._stay, keep=self.kept.put, hang_up=self.kept.put
        )
        self.threads.start()

    def _stay(self, connection: Requests) -> bool:
        self.asked.put(connection)
        return self.stays.get(timeout=_PATIENCE_S)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stays.put(False)
    assert server.threads.stop(_PATIENCE_S)


def test_the_next_request_of_a_caller_who_stays_is_served_by_the_same_thread(
    server: Server,
) -> None:
    for answer in (True, True, False):
        server.stays.put(answer)
    requests = Requests()
    assert server.threads.put(requests)
    assert server.kept.get(timeout=_PATIENCE_S) is requests
    assert len(requests.served_by) == 3
    assert len(set(requests.served_by)) == 1


def test_nothing_is_in_flight_while_a_caller_stays(server: Server) -> None:
    server.threads.put(Requests())
    server.asked.get(timeout=_PATIENCE_S)
    assert server.threads.count_in_flight() == 0
    assert server.threads.busy == 0
    assert server.threads.have_spare, "one of the two waits for work"


def test_nobody_stays_in_the_fast_lane(server: Server) -> None:
    requests = Requests()
    server.threads.put(requests, fast=True)
    assert server.kept.get(timeout=_PATIENCE_S) is requests
    assert server.asked.empty()


def test_a_connection_that_cannot_be_kept_is_closed_and_its_thread_serves_on() -> None:
    kept: queue.Queue[Requests] = queue.Queue()

    def keep(connection: Requests) -> None:
        if connection is lost:
            raise OSError("no memory to wait for it")
        kept.put(connection)

    threads = RequestThreads(
        1, queue_size=4, stay=lambda connection: False, keep=keep, hang_up=kept.put
    )
    threads.start()
    lost, other = Requests(), Requests()
    threads.put(lost)
    threads.put(other)
    assert kept.get(timeout=_PATIENCE_S) is other
    assert lost.closed
    assert threads.stop(_PATIENCE_S)


def test_no_more_connections_wait_for_a_thread_than_there_is_room_for() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Requests):
        def communicate(self) -> bool:
            begun.set()
            assert go_on.wait(_PATIENCE_S)
            return False

    ended: queue.Queue[Requests] = queue.Queue()
    threads = RequestThreads(
        1, queue_size=2, stay=lambda connection: False, keep=ended.put, hang_up=ended.put
    )
    threads.start()
    try:
        assert threads.put(Slow())
        assert begun.wait(_PATIENCE_S)
        assert [threads.put(Slow()) for _ in range(3)] == [True, True, False]
        assert threads.count_in_flight() == 3
        fast = Requests()
        assert threads.put(fast, fast=True), "the fast lane has room of its own"
        assert ended.get(timeout=_PATIENCE_S) is fast
    finally:
        go_on.set()
        assert threads.stop(_PATIENCE_S)
