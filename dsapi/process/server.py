"""The server process: CherryPy's bus loads the models, then listens, then waits for a signal.

The priorities on the bus's ``start`` channel are the design::

    65  Daemonizer     forks (`dsapi start` only)
    70  OnlyProcess    takes the PID file (likewise)
    72  _Predictions   loads the graphs in the process that will use them: TensorFlow does not
                       survive a fork
    75  _Listener      listens, so that whoever connects gets an answer
    80  _Announcer     tells whoever waits for it
"""

import logging
import resource
import threading
from collections.abc import Callable

from cherrypy.process.wspbus import Bus

from dsapi import __version__
from dsapi.errors import WorkersLost
from dsapi.memory import limit_arenas, map_large_blocks, settle, uncollected
from dsapi.operation.siblings import Render
from dsapi.process.bus import Plugin, ServiceBus
from dsapi.process.notify import notify
from dsapi.process.ports import cannot_listen, check_port
from dsapi.process.service import Service, build_service, load_models
from dsapi.process.supervisor import supervise
from dsapi.settings import Settings
from dsapi.web.http_server import HTTPServer

_LOGGER = logging.getLogger(__name__)
# Below Pillow's blocks of 16 MiB, above what a picture of the usual working_side takes.
_LARGE_BLOCK_BYTES = 15 * 1024 * 1024
# Connections that are served, log files, pipes, and what the engines open.
_OTHER_FILES = 256
# How long workers may go on at a stop after the requests in flight have ended.
_WORKERS_GRACE_S = 0.5


def serve(settings: Settings, *, on_ready: Callable[[str], None], daemonize: bool = False) -> None:
    """Serve until a signal (SIGTERM, SIGINT) ends it.

    Args:
        settings: everything.
        on_ready: called with the URL once the server answers.
        daemonize: whether to leave the foreground, with the log as standard output and error.

    Raises:
        StartupError: it cannot start; what had started is stopped.
        WorkersLost: it cannot go on.
    """
    if settings.processes > 1:
        supervise(settings, serve_one, on_ready=on_ready, daemonize=daemonize)
    else:
        _serve(settings, build_service(settings), on_ready=on_ready, daemonize=daemonize)


def serve_one(
    settings: Settings,
    *,
    on_ready: Callable[[str], None],
    on_reload: Callable[[bool], None],
    share: Callable[[Render], Render],
) -> None:
    """Serve in one of several processes on the same port, until a signal ends it.

    Args:
        settings: everything.
        on_ready: called with the URL once this process answers.
        on_reload: called with False when this one has reloaded, and then with True if a caller
            asked it to.
        share: takes what writes this process's metrics, gives what writes those of all.

    Raises:
        StartupError: it cannot start.
        WorkersLost: it cannot go on.
    """
    service = build_service(settings, on_reload=on_reload, share=share)
    _serve(settings, service, on_ready=on_ready)


def _serve(
    settings: Settings,
    service: Service,
    *,
    on_ready: Callable[[str], None],
    daemonize: bool = False,
) -> None:
    bus = ServiceBus()
    if daemonize:
        bus.daemonize(settings)
    predictions = _Predictions(bus, settings, service)
    predictions.subscribe()
    _Listener(bus, service.http_server).subscribe()
    _Announcer(bus, service.http_server, on_ready).subscribe()
    bus.handle_signals(service.reloader.reload_in_background)
    bus.run()
    if predictions.lost:
        raise WorkersLost("too many prediction workers hang; see the log for what they worked on")


class _Predictions(Plugin):
    """Loads the models and starts the workers; stops them when the server has stopped.

    Attributes:
        lost: whether the process ended because workers hang for good. Its supervisor starts it
            again: dsapi's own, systemd or Kubernetes.
    """

    start_priority = 72

    def __init__(self, bus: Bus, settings: Settings, service: Service) -> None:
        super().__init__(bus)
        self._settings = settings
        self._workers = service.workers
        self._reloader = service.reloader
        self.lost = False

    def subscribe(self) -> None:
        super().subscribe()
        # The bus calls this ten times a second while it waits.
        self.bus.subscribe("main", self._leave_if_lost)

    def begin(self) -> None:
        if self._settings.processes == 1:
            check_port(self._settings.host, self._settings.port)
        # Before the first thread allocates: an arena that there is stays.
        limit_arenas(max(2, self._workers.count))
        map_large_blocks(_LARGE_BLOCK_BYTES)
        with uncollected():
            self._workers.start(load_models(self._settings))
        settle()
        self._reloader.permit()

    def _leave_if_lost(self) -> None:
        if self._workers.lost and not self.lost:
            self.lost = True
            self.bus.exit_once("too many prediction workers that hang")

    def stop(self) -> None:
        if unfinished := self._workers.stop(_WORKERS_GRACE_S):
            _LOGGER.warning("%d predictions were not finished at the stop", unfinished)


class _Listener(Plugin):
    """Listens and serves. Unlike CherryPy's adapter it binds in the starting thread."""

    start_priority = 75
    stop_priority = 25

    def __init__(self, bus: Bus, http_server: HTTPServer) -> None:
        super().__init__(bus)
        self._http_server = http_server
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        _raise_file_limit(self._http_server.max_connections)
        try:
            self._http_server.prepare()
        except OSError as error:
            raise cannot_listen(*self._http_server.bind_addr, error=error) from error
        thread = threading.Thread(target=self._http_server.serve, name="http-acceptor")
        thread.start()
        self._thread = thread  # a stop would wait for one that could not be started

    def stop(self) -> None:
        if self._thread is not None:
            self._http_server.stop()
            self._thread.join()
            self._thread = None


class _Announcer(Plugin):
    """Says that the server answers, and where."""

    start_priority = 80
    # Before the listener, which waits for the requests in flight.
    stop_priority = 20

    def __init__(self, bus: Bus, http_server: HTTPServer, on_ready: Callable[[str], None]) -> None:
        super().__init__(bus)
        self._http_server = http_server
        self._on_ready = on_ready

    def begin(self) -> None:
        host, port = self._http_server.bind_addr[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        _LOGGER.info("dsapi %s answers on %s", __version__, url)
        self._on_ready(url)
        notify("READY=1")

    def stop(self) -> None:
        notify("STOPPING=1")


def _raise_file_limit(max_connections: int) -> None:
    """Open as many files as the system permits: each connection is one, and 1024 is a common limit.

    select(2) fails beyond 1024, but nothing here uses it: waiting uses epoll.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < max_connections + _OTHER_FILES:
        _LOGGER.warning(
            "this process may open %d files, too few for max_connections = %d: raise the limit "
            "(ulimit -Hn, LimitNOFILE) or set max_connections = %d",
            hard,
            max_connections,
            max(1, hard - _OTHER_FILES),
        )
