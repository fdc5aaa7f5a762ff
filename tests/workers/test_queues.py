"""Queues with real threads: nothing is lost, and the last to come is the first to be served."""

import threading
import time
from queue import Empty

import pytest

from dsapi.workers.queues import WarmQueue

_PATIENCE_S = 10.0


def start_takers(queue: WarmQueue[int], count: int) -> tuple[list[int], list[threading.Thread]]:
    """Start threads one after the other; each takes one item and notes its own number."""
    served: list[int] = []

    def take(number: int) -> None:
        queue.get()
        served.append(number)

    threads = []
    for number in range(count):
        threads.append(threading.Thread(target=take, args=(number,), daemon=True))
        threads[-1].start()
        end_s = time.monotonic() + _PATIENCE_S
        while queue.idle <= number and time.monotonic() < end_s:
            time.sleep(0.001)
    return served, threads


def test_items_wait_in_the_order_in_which_they_came() -> None:
    queue: WarmQueue[int] = WarmQueue()
    for item in range(3):
        queue.put(item)
    assert queue.qsize() == 3
    assert [queue.get() for _ in range(3)] == [0, 1, 2]
    assert queue.qsize() == 0


def test_the_thread_that_came_last_is_served_first() -> None:
    queue: WarmQueue[int] = WarmQueue()
    served, threads = start_takers(queue, 3)
    assert queue.idle == 3
    for thread in reversed(threads):
        queue.put(0)
        thread.join(_PATIENCE_S)
    assert served == [2, 1, 0]


def test_whoever_waits_in_vain_is_told_and_gets_nothing_later() -> None:
    queue: WarmQueue[int] = WarmQueue()
    with pytest.raises(Empty):
        queue.get(0.01)
    queue.put(7)
    assert queue.qsize() == 1
    assert queue.get(0.01) == 7


def test_no_item_is_lost_among_threads_whose_time_is_always_about_to_end() -> None:
    queue: WarmQueue[int] = WarmQueue()
    found: list[int] = []
    ended = threading.Event()

    def take() -> None:
        while not (ended.is_set() and queue.qsize() == 0):
            try:
                found.append(queue.get(0.0005))
            except Empty:
                continue

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for item in range(2000):
        queue.put(item)
        if item % 3 == 0:
            time.sleep(0.0004)
    ended.set()
    for thread in threads:
        thread.join(_PATIENCE_S)
    assert sorted(found) == list(range(2000))
