"""The PID file: which process serves, proven by a lock and not by a number alone.

The serving process holds a lock on the file as long as it lives. A file that nobody has locked is
stale, whatever it says: after ``kill -9`` or a crash the kernel has given the lock back, and the
number may belong to somebody else by now.

Beside it, in a file of its own as scripts read all of the PID file as a number, stands where that
process answers: the settings may have changed since it started, or have left the choice to it.
"""

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from dsapi.errors import StartupError

_LOGGER = logging.getLogger(__name__)
# Whoever asks who serves locks the file for a moment.
_PATIENCE_S = 0.2
_POLL_S = 0.01


class PidFile:
    """The lock of one serving process on its PID file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: TextIO | None = None

    def acquire(self) -> None:
        """Lock the file and write this process's number into it.

        Raises:
            StartupError: another process serves with this file, or it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stream = self._lock()
            _address_file(self.path).unlink(missing_ok=True)  # of one that was killed
        except BlockingIOError:
            raise StartupError(
                f"dsapi runs already (PID {read_pid(self.path)}, {self.path}); "
                "stop it first, or give this one another pid_file and port"
            ) from None
        except OSError as error:
            raise cannot_write(self.path, error) from error
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        self._stream = stream

    def _lock(self) -> TextIO:
        """Open and lock the file that is at the path then.

        Raises:
            BlockingIOError: another process holds it for longer than `running_pid` does.
            OSError: it cannot be written.
        """
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            stream = _open_own(self.path, os.O_APPEND)
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(stream.fileno()).st_nlink:
                    return stream
            except BlockingIOError:
                if time.monotonic() > give_up_s:
                    stream.close()
                    raise
                time.sleep(_POLL_S)
            # It was not free, or has been removed since it was opened.
            stream.close()

    def release(self) -> None:
        """Remove the file and unlock it, in this order: unlocked, it may be another's."""
        if self._stream is not None:
            for path in (_address_file(self.path), self.path):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
            self._stream.close()
            self._stream = None


def _open_own(path: Path, flags: int) -> TextIO:
    """Open a file to write, made if missing; not through a link, as it is about to be emptied.

    Where others may write into its folder, as into /tmp, a link may lead to any file of this user.
    """
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "r+", encoding="ascii")


def cannot_write(path: Path, error: OSError) -> StartupError:
    """Make the error that says so."""
    return StartupError(f"cannot write the PID file {path}: {error.strerror}; change pid_file")


def another_users(pid: int, *, command: str) -> StartupError:
    """Make the error of who may not signal the process that is to be stopped or restarted."""
    return StartupError(f"dsapi (PID {pid}) is another user's; {command} it as that user")


def read_pid(path: Path) -> int | None:
    """Read the number in a PID file, ``None`` if there is no such file or number."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def write_address(path: Path, url: str) -> None:
    """Write where the process answers that holds a PID file. It serves without, too."""
    try:
        with _open_own(_address_file(path), os.O_TRUNC) as stream:
            stream.write(f"{url}\n")
    except OSError as error:
        _LOGGER.warning("cannot write %s: %s", _address_file(path), error.strerror)


def read_address(path: Path) -> tuple[str, int] | None:
    """Read where the process answers that holds a PID file: host and port, if it is known."""
    try:
        url = urlsplit(_address_file(path).read_text(encoding="ascii").strip())
        host, port = url.hostname, url.port  # read here: a port that is none is found only now
    except (OSError, ValueError):
        return None
    return (host, port) if host and port else None


def _address_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.address")


def running_pid(path: Path) -> int | None:
    """Find the process that serves with a PID file, ``None`` if none does (a stale file too).

    Raises:
        StartupError: the file is another user's and cannot be read.
    """
    try:
        with path.open(encoding="ascii") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_pid(path)
    except PermissionError as error:
        raise StartupError(
            f"cannot tell whether dsapi runs: {path} may not be read; ask as its user"
        ) from error
    except OSError:
        return None
    return None
