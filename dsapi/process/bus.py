"""The bus: CherryPy's, with plugins whose failed start ends the process with its reason.

Used by `dsapi.process.server` for a process that serves, and by `dsapi.process.supervisor` for one
that watches over several of those.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from cherrypy.process import plugins
from cherrypy.process.wspbus import Bus

from dsapi.operation.logs import SERVICE_LOG
from dsapi.process.pidfile import PidFile
from dsapi.settings import Settings

_LOGGER = logging.getLogger(__name__)
# Priority of what is called when all else has been.
_LAST = 100
_STANDARD_ERROR = 2


class ServiceBus(Bus):  # type: ignore[misc]
    """CherryPy's bus, which keeps a start that failed apart from a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribe("log", _log)
        self.subscribe("stop", self._log_stop, _LAST)
        self._leaving_since_s: float | None = None
        self._in_terminal = os.isatty(_STANDARD_ERROR)

    def daemonize(self, settings: Settings) -> None:
        """Have the start fork into the background, and take the PID file there."""
        self._in_terminal = False
        output = str(settings.log_dir / SERVICE_LOG)
        Daemonizer(self, stdout=output, stderr=output).subscribe()
        OnlyProcess(self, PidFile(settings.pid_file)).subscribe()

    def handle_signals(self, reload: Callable[[], None]) -> None:
        """Leave on SIGTERM and SIGINT, reload on SIGHUP, one that was held back included.

        SIGHUP also comes when the terminal has gone that the log went to. Then leave: nobody would
        see what holds the port.
        """

        def reload_or_leave() -> None:
            if self._in_terminal and not os.isatty(_STANDARD_ERROR):
                self.exit_once("SIGHUP, as its terminal has gone")
            else:
                reload()

        signals = plugins.SignalHandler(self)
        signals.handlers = {
            "SIGTERM": partial(self.exit_once, "SIGTERM"),
            "SIGINT": partial(self.exit_once, "SIGINT"),
            "SIGHUP": reload_or_leave,
        }
        signals.subscribe()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def exit_once(self, reason: str) -> None:
        """Stop everything and leave; a second signal does not disturb that."""
        if self._leaving_since_s is not None:
            return
        self._leaving_since_s = time.monotonic()
        _LOGGER.info("process %d stops on %s", os.getpid(), reason)
        if self.state in (self.states.STOPPED, self.states.STARTING):
            # exit() would end the process on the spot too, with a code that means failure; or, if
            # the start has yet to begin, return to it, and no later signal would be heeded.
            _LOGGER.warning("stopped while it started")
            os._exit(0)
        self.exit()

    def run(self) -> None:
        """Start everything, wait for the end, stop everything."""
        try:
            self.start()
        except SystemExit as error:
            # From a Plugin. exit() during a start would end the process on the spot.
            self.stop()
            self.exit()
            raise error.__cause__ or error from None
        self.block()

    def _log_stop(self) -> None:
        if self._leaving_since_s is not None:
            took_s = time.monotonic() - self._leaving_since_s
            _LOGGER.info("process %d has stopped after %.1f s", os.getpid(), took_s)


@contextmanager
def _ending_the_start() -> Iterator[None]:
    """Let an error, foreseen or not, end the start at once.

    The bus goes on with the other plugins after an exception, and one of them would tell whoever
    waits that the server answers; but not after SystemExit.
    """
    try:
        yield
    except Exception as error:
        raise SystemExit(1) from error


class Plugin(plugins.SimplePlugin):  # type: ignore[misc]
    """A plugin whose error ends the start."""

    start_priority = 50
    stop_priority = 50

    def subscribe(self) -> None:
        """Listen to the bus's starts and stops."""
        super().subscribe()
        self.bus.subscribe("start", self.start, self.start_priority)
        if hasattr(self, "stop"):
            self.bus.subscribe("stop", self.stop, self.stop_priority)

    def start(self) -> None:
        """Begin, or leave."""
        with _ending_the_start():
            self.begin()

    def begin(self) -> None:
        """Do what the plugin is for."""
        raise NotImplementedError


class Daemonizer(plugins.Daemonizer):  # type: ignore[misc]
    """CherryPy's, without the umask of 0 that it leaves behind: log files are not for everyone."""

    def start(self) -> None:
        """Fork twice and let go of the terminal."""
        umask = os.umask(0o022)
        with _ending_the_start():
            super().start()
        os.umask(umask)

    start.priority = 65  # type: ignore[attr-defined]


class OnlyProcess(Plugin):
    """Holds the PID file."""

    start_priority = 70

    def __init__(self, bus: Bus, pid_file: PidFile) -> None:
        super().__init__(bus)
        self._pid_file = pid_file

    def begin(self) -> None:
        """Take it."""
        self._pid_file.acquire()

    def exit(self) -> None:
        """Give it back."""
        self._pid_file.release()


def _log(message: str, level: int) -> None:
    """Log what the bus says; its every step only for those who debug."""
    _LOGGER.log(level if level >= logging.WARNING else logging.DEBUG, "%s", message)
