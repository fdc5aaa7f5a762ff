"""The numbers of several processes on one port in one answer.

A scrape reaches whichever process the kernel gives its connection to. Each tells its own numbers on
a socket, and the one that is asked gives those of all, every series with a label ``process``. So a
counter only falls where a process was replaced, and one that does not answer in time is left out
instead of counted as nothing. Made by `dsapi.process.supervisor` before it forks.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Render = Callable[[], bytes]
"""Writes numbers in Prometheus's text format."""

_LOGGER = logging.getLogger(__name__)
# For all of them together. `/health` has one more thread beside the one that waits here.
_PATIENCE_S = 0.5
_PIECE_BYTES = 65536


class Siblings:
    """Processes that tell each other their numbers.

    Args:
        count: how many there are; each is known by its place, from 0.
    """

    def __init__(self, count: int) -> None:
        # The sockets are made by the supervisor, which outlives each process: one that takes the
        # place of another is found where that was.
        self._listeners = [_listen() for _ in range(count)]

    def share(self, place: int, render: Render) -> Render:
        """Begin to tell the numbers of this process.

        Args:
            place: of this process.
            render: writes its numbers.

        Returns:
            What writes the numbers of all.
        """
        threading.Thread(
            target=self._tell, args=(place, render), name="metrics-share", daemon=True
        ).start()
        return partial(self._render_all, place, render)

    def _tell(self, place: int, render: Render) -> None:
        while True:
            try:
                connection, _ = self._listeners[place].accept()
            except OSError:  # this process can open no more files just now
                time.sleep(_PATIENCE_S)
                continue
            with closing(connection), suppress(OSError):  # one that asked has given up since
                connection.settimeout(_PATIENCE_S)
                connection.sendall(render())

    def _render_all(self, place: int, render: Render) -> bytes:
        with self._asking(place) as asked:  # they write theirs while this one does
            texts = {place: render()}
            give_up_s = time.monotonic() + _PATIENCE_S
            for other, connection in asked.items():
                try:
                    texts[other] = _read(connection, give_up_s)
                except OSError:
                    _LOGGER.warning("process %d does not tell its numbers in time", other)
        return merge(texts)

    @contextmanager
    def _asking(self, place: int) -> Iterator[Mapping[int, socket.socket]]:
        """Connect to all the others."""
        asked: dict[int, socket.socket] = {}
        try:
            for other, listener in enumerate(self._listeners):
                if other != place:
                    asked[other] = socket.socket(socket.AF_UNIX)
                    asked[other].setblocking(False)
                    with suppress(BlockingIOError):  # it has not accepted any for long
                        asked[other].connect(listener.getsockname())
            yield asked
        finally:
            for connection in asked.values():
                connection.close()


class _Given(Collector):
    """Metrics that were read elsewhere."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def merge(texts: Mapping[int, bytes]) -> bytes:
    """Write the numbers of several processes as one text.

    Args:
        texts: of each process by its place, in Prometheus's text format.
    """
    families: dict[str, Metric] = {}
    for place, text in sorted(texts.items()):
        for family in text_string_to_metric_families(text.decode()):
            whole = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                labels = {"process": str(place), **sample.labels}
                whole.add_sample(sample.name, labels, sample.value)
    return generate_latest(_Given(families.values()))


def _listen() -> socket.socket:
    """Listen at a name that Linux chooses and that no file stands for.

    Others on the machine can ask there, too, as they can at ``/metrics``.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen()
    return listener


def _read(connection: socket.socket, give_up_s: float) -> bytes:
    """Read to the end.

    Raises:
        OSError: there is none in time.
    """
    pieces: list[bytes] = []
    while True:
        connection.settimeout(max(0.001, give_up_s - time.monotonic()))
        if not (piece := connection.recv(_PIECE_BYTES)):
            return b"".join(pieces)
        pieces.append(piece)
