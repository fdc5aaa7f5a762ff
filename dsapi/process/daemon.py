"""The daemon: start it and know that it answers, stop it and know that it is gone.

CherryPy's daemonizer lets its parent leave with 0 whatever becomes of the child, so `start` holds
the end of a pipe until the daemon writes that it is ready, or why not.
"""

import logging
import os
import signal
import time
import traceback
from pathlib import Path

from dsapi.errors import StartupError, WorkersLost
from dsapi.operation.logs import SERVICE_LOG, configure_logs
from dsapi.process.forks import leave, tell_failure, tell_ready, wait_ready
from dsapi.process.pidfile import another_users, running_pid, write_address
from dsapi.process.server import serve
from dsapi.settings import Settings

_LOGGER = logging.getLogger(__name__)
_POLL_S = 0.05


def start(settings: Settings) -> str:
    """Start a daemon; return its URL when it answers.

    Raises:
        StartupError: it runs already or cannot start; the message is the daemon's own.
    """
    _check_not_running(settings.pid_file)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _serve_and_exit(settings, writer)
    os.close(writer)
    try:
        log = settings.log_dir / SERVICE_LOG
        return wait_ready(reader, died=f"the daemon died while it started; {log} says more")
    finally:
        os.close(reader)
        os.waitpid(child, 0)


def stop(settings: Settings) -> bool:
    """Stop the daemon; return when it is gone, and whether there was one.

    Raises:
        StartupError: it does not leave within its shutdown timeout, or is another user's.
    """
    pid = running_pid(settings.pid_file)
    if pid is None:
        return False
    hint = f"end it with kill -9 {pid}"
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError as error:
        raise another_users(pid, command="stop") from error
    except ProcessLookupError:
        # Killed, and processes that it had started have yet to notice.
        hint = f"end what it has left with fuser -k {settings.pid_file}"
    patience_s = settings.shutdown_timeout + 5
    give_up_s = time.monotonic() + patience_s
    while running_pid(settings.pid_file) == pid:
        if time.monotonic() > give_up_s:
            raise StartupError(f"dsapi (PID {pid}) did not stop within {patience_s:g} s; {hint}")
        time.sleep(_POLL_S)
    return True


def _serve_and_exit(settings: Settings, writer: int) -> None:
    """Serve in the forked child, tell the pipe how the start went, and never return."""
    code = 0

    def announce(url: str) -> None:
        write_address(settings.pid_file, url)
        tell_ready(writer, url)

    try:
        configure_logs(settings, to_files=True)
        serve(settings, on_ready=announce, daemonize=True)
    except StartupError as error:
        tell_failure(writer, str(error))
        code = 2
    except WorkersLost as error:
        _LOGGER.critical("%s", error)
        code = 1
    except Exception:
        traceback.print_exc()
        code = 1
    finally:
        leave(code)


def _check_not_running(pid_file: Path) -> None:
    if (pid := running_pid(pid_file)) is not None:
        raise StartupError(
            f"dsapi runs already (PID {pid}, {pid_file}); stop it with: dsapi stop "
            "(and the same --config, if you gave one)"
        )
