"""Queues: items in, each to the thread that has waited for the shortest time.

Python's own wake the one that has waited for the longest, so that a hundred threads take turns and
each finds its stack, and what it last computed with, gone from the caches. Used by
`dsapi.workers` and `dsapi.web.threads`.
"""

import threading
from collections import deque
from queue import Empty
from typing import Generic, TypeVar

Item = TypeVar("Item")
_FOREVER = -1  # as threading.Lock.acquire has it


class _Taker(Generic[Item]):
    """A thread that waits for an item; it is woken by a lock that another thread releases."""

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.item: Item


class WarmQueue(Generic[Item]):
    """An unbounded queue: first in, first out, to the thread that came last."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._takers: list[_Taker[Item]] = []
        self._lock = threading.Lock()

    def qsize(self) -> int:
        """Count the items that no thread has taken."""
        return len(self._items)

    @property
    def idle(self) -> int:
        """Number of threads that wait for an item."""
        return len(self._takers)

    def put(self, item: Item) -> None:
        """Add an item; never waits."""
        with self._lock:
            if not self._takers:
                self._items.append(item)
                return
            taker = self._takers.pop()
        taker.item = item
        taker.bell.release()

    def get(self, timeout_s: float = _FOREVER) -> Item:
        """Take an item, waiting for one.

        Raises:
            Empty: none came in time.
        """
        with self._lock:
            if self._items:
                return self._items.popleft()
            taker: _Taker[Item] = _Taker()
            self._takers.append(taker)
        if not taker.bell.acquire(timeout=timeout_s):
            with self._lock:
                if taker in self._takers:
                    self._takers.remove(taker)
                    raise Empty
            # One came at the last moment: it is this thread's already.
            taker.bell.acquire()
        return taker.item
