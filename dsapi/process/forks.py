"""Forked processes: how one of ours tells whether its start succeeded, and how it ends.

Called by `dsapi.process.daemon` and `dsapi.process.supervisor`, which read from a pipe what the
forked process writes into its other end, once.
"""

import logging
import os
import signal
import sys
from typing import NoReturn

from dsapi.errors import StartupError

_LOGGER = logging.getLogger(__name__)
_READY = "ready "
# A reason may have several lines. The end of the pipe does not show that all is told: processes
# that the forked one has started hold it, too.
_END = b"\0"


def tell_ready(writer: int, url: str) -> None:
    """Tell that this process answers on `url`."""
    _tell(writer, f"{_READY}{url}")


def tell_failure(writer: int, reason: str) -> None:
    """Tell why this process cannot start."""
    _tell(writer, reason)


def _tell(writer: int, message: str) -> None:
    try:
        os.write(writer, message.encode() + _END)
    except BrokenPipeError:
        _LOGGER.debug("nobody waits any more for how the start went")
    os.close(writer)


def wait_ready(reader: int, *, died: str) -> str:
    """Wait until a forked process answers; return its URL.

    Raises:
        StartupError: it does not. The message is its own, or `died` if it ended without any.
    """
    told = b""
    while not told.endswith(_END) and (piece := os.read(reader, 4096)):
        told += piece
    message = told.removesuffix(_END).decode()
    if message.startswith(_READY):
        return message.removeprefix(_READY)
    raise StartupError(message or died)


def describe_end(pid: int) -> str:
    """Say how a child has ended that is still to be waited for: ``SIGKILL``, ``exit code 1``."""
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        ended = None
    if ended is None:
        return "nobody knows how"
    if ended.si_code == os.CLD_EXITED:
        return f"exit code {ended.si_status}"
    try:
        return signal.Signals(ended.si_status).name
    except ValueError:  # Python names only some of the real-time signals
        return f"signal {ended.si_status}"


def leave(code: int) -> NoReturn:
    """End a forked process on the spot, with what it has written.

    Not by sys.exit: the frames of whoever forked are not to be run twice.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
