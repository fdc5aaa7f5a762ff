"""The server process: CherryPy's bus loads the models, then listens, then waits for a signal.

The priorities on the bus's ``start`` channel are the design::

    65  Daemonizer     forks (`dsapi start` only)
    70  _OnlyProcess   takes the PID file (likewise)
    72  _Predictions   loads the graphs in the process that will use them: TensorFlow does not
                       survive a fork
    75  _Listener      listens, so that whoever connects gets an answer
    80  _Announcer     tells whoever waits for it
"""

import logging
import os
import resource
import socket
import threading
from collections.abc import Callable

from cherrypy.process import plugins
from cherrypy.process.wspbus import Bus

from dsapi import __version__
from dsapi.errors import StartupError
from dsapi.pidfile import PidFile
from dsapi.service import build_service, load_models
from dsapi.settings import Settings
from dsapi.web.http_server import HTTPServer
from dsapi.workers import PredictionWorkers

_LOGGER = logging.getLogger(__name__)
# How long workers may go on at a stop after the requests in flight have ended.
_LEAVING_S = 0.5


def serve(
    settings: Settings, *, on_ready: Callable[[str], None], daemonize_to: str | None = None
) -> None:
    """Serve until a signal (SIGTERM, SIGINT) ends it.

    Args:
        settings: everything.
        on_ready: called with the URL once the server answers.
        daemonize_to: where the standard output and error of a daemon go; ``None``: stay in the
            foreground.

    Raises:
        StartupError: it cannot start; what had started is stopped.
    """
    bus = _ServiceBus()
    service = build_service(settings)
    signals = plugins.SignalHandler(bus)
    signals.handlers = {
        "SIGTERM": bus.exit_once,
        "SIGHUP": service.reloader.reload_in_background,
    }
    if daemonize_to is not None:
        _Daemonizer(bus, stdout=daemonize_to, stderr=daemonize_to).subscribe()
        _OnlyProcess(bus, PidFile(settings.pid_file)).subscribe()
    _Predictions(bus, settings, service.workers).subscribe()
    _Listener(bus, service.http_server).subscribe()
    _Announcer(bus, service.http_server, on_ready).subscribe()
    signals.subscribe()
    bus.run()


class _ServiceBus(Bus):  # type: ignore[misc]
    """CherryPy's bus, which keeps a start that failed apart from a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribe("log", _log)
        self._leaving = False

    def exit_once(self) -> None:
        """Stop everything and leave; a second signal does not disturb that."""
        if not self._leaving:
            self._leaving = True
            self.exit()

    def run(self) -> None:
        """Start everything, wait for the end, stop everything."""
        try:
            self.start()
        except SystemExit as error:
            # From a _Plugin. exit() during a start would end the process on the spot.
            self.stop()
            self.exit()
            raise error.__cause__ or error from None
        self.block()


class _Plugin(plugins.SimplePlugin):  # type: ignore[misc]
    """A plugin whose `StartupError` ends the start at once.

    The bus goes on with the other plugins after an exception, but not after SystemExit.
    """

    start_priority = 50
    stop_priority = 50

    def subscribe(self) -> None:
        super().subscribe()
        self.bus.subscribe("start", self.start, self.start_priority)
        if hasattr(self, "stop"):
            self.bus.subscribe("stop", self.stop, self.stop_priority)

    def start(self) -> None:
        try:
            self.begin()
        except StartupError as error:
            raise SystemExit(2) from error

    def begin(self) -> None:
        """Do what the plugin is for."""
        raise NotImplementedError


class _Daemonizer(plugins.Daemonizer):  # type: ignore[misc]
    """CherryPy's, without the umask of 0 that it leaves behind: log files are not for everyone."""

    def start(self) -> None:
        umask = os.umask(0o022)
        super().start()
        os.umask(umask)

    start.priority = 65  # type: ignore[attr-defined]


class _OnlyProcess(_Plugin):
    """Holds the PID file."""

    start_priority = 70

    def __init__(self, bus: Bus, pid_file: PidFile) -> None:
        super().__init__(bus)
        self._pid_file = pid_file

    def begin(self) -> None:
        self._pid_file.acquire()

    def exit(self) -> None:
        self._pid_file.release()


class _Predictions(_Plugin):
    """Loads the models and starts the workers; stops them when the server has stopped."""

    start_priority = 72

    def __init__(self, bus: Bus, settings: Settings, workers: PredictionWorkers) -> None:
        super().__init__(bus)
        self._settings = settings
        self._workers = workers

    def begin(self) -> None:
        check_port(self._settings.host, self._settings.port)
        self._workers.start(load_models(self._settings))

    def stop(self) -> None:
        if not self._workers.stop(_LEAVING_S):
            _LOGGER.warning("a prediction was not finished at the stop")


class _Listener(_Plugin):
    """Listens and serves. Unlike CherryPy's adapter it binds in the starting thread."""

    start_priority = 75
    stop_priority = 25

    def __init__(self, bus: Bus, http_server: HTTPServer) -> None:
        super().__init__(bus)
        self._http_server = http_server
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        _raise_file_limit()
        try:
            self._http_server.prepare()
        except OSError as error:
            raise _cannot_listen(*self._http_server.bind_addr, error=error) from error
        self._thread = threading.Thread(target=self._http_server.serve, name="http-acceptor")
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._http_server.stop()
            self._thread.join()
            self._thread = None


class _Announcer(_Plugin):
    """Says that the server answers, and where."""

    start_priority = 80

    def __init__(self, bus: Bus, http_server: HTTPServer, on_ready: Callable[[str], None]) -> None:
        super().__init__(bus)
        self._http_server = http_server
        self._on_ready = on_ready

    def begin(self) -> None:
        host, port = self._http_server.bind_addr[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        _LOGGER.info("dsapi %s answers on %s", __version__, url)
        self._on_ready(url)


def _raise_file_limit() -> None:
    """Open as many files as the system permits: each connection is one, and 1024 is a common limit.

    Whoever needs select(2), which fails beyond that, is not here: waiting uses epoll.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_port(host: str, port: int) -> None:
    """Fail before seconds of loading if the port is taken.

    Raises:
        StartupError: it is, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise _cannot_listen(host, port, error=error) from error


def _cannot_listen(host: str, port: int, *, error: OSError) -> StartupError:
    return StartupError(
        f"cannot listen on {host}:{port}: {error.strerror or error}; "
        "stop what uses it, or choose another host or port"
    )


def _log(message: str, level: int) -> None:
    """Log what the bus says; its every step only for those who debug."""
    _LOGGER.log(level if level >= logging.WARNING else logging.DEBUG, "%s", message)
