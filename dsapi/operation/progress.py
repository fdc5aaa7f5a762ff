"""How far a download is: told on a terminal, in a log, or on standard error.

Called by `dsapi.operation.downloads`.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOGGER = logging.getLogger(__name__)
_LOG_EVERY_S = 2.0

#: Called with the bytes there are and the bytes there will be (``None``: the server does not say).
OnBytes = Callable[[int, int | None], None]


@contextmanager
def show_progress(name: str) -> Iterator[OnBytes]:
    """A bar on a terminal, a line every two seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _LogLines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        "[progress.description]{task.description}",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(f"downloading {name}", total=None)
        yield lambda there, total: bar.update(task, completed=there, total=total)


class _LogLines:
    """Says in the log how far a download is, not more often than every two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_s = -_LOG_EVERY_S

    def __call__(self, there: int, total: int | None) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= _LOG_EVERY_S or there == total:
            self._last_s = now_s
            tell(f"downloading {self._name}: {there} of {total or 'unknown'} bytes")


def tell(line: str) -> None:
    """Write a line to the log, or to standard error for a command that keeps no log."""
    if _LOGGER.hasHandlers():
        _LOGGER.info("%s", line)
    else:
        print(line, file=sys.stderr)
