"""The supervisor: several processes that serve on one port, and one that watches over them.

The kernel spreads connections over the processes (``SO_REUSEPORT``). Each has an interpreter and
models of its own, so this is for machines with more cores than one interpreter keeps busy. The
supervisor loads no model and answers no request; it starts, replaces and stops the others.
Called by `dsapi.process.server` if ``processes`` is over 1.
"""

import logging
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, Protocol

from cherrypy.process.wspbus import Bus

from dsapi.errors import StartupError, WorkersLost
from dsapi.operation.reload import reread
from dsapi.operation.siblings import Render, Siblings
from dsapi.process.bus import Plugin, ServiceBus
from dsapi.process.forks import describe_end, leave, tell_failure, tell_ready, wait_ready
from dsapi.process.notify import leave_to_parent, notify
from dsapi.process.ports import reserve_port
from dsapi.settings import Settings

_LOGGER = logging.getLogger(__name__)
# A process that dies at once is not started again more often than this.
_MIN_LIFE_S = 2.0
# Beside its shutdown_timeout, for a process that is to leave.
_CHILD_GRACE_S = 3.0
_POLL_S = 0.05
_HELD_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
# All that a pipe holds at a time.
_PIPE_BYTES = 65536


class ServeOne(Protocol):
    """Serves in the calling process until a signal ends it; `dsapi.process.server.serve_one`."""

    def __call__(
        self,
        settings: Settings,
        *,
        on_ready: Callable[[str], None],
        on_reload: Callable[[bool], None],
        share: Callable[[Render], Render],
    ) -> None:
        """Serve."""


def supervise(
    settings: Settings,
    serve_one: ServeOne,
    *,
    on_ready: Callable[[str], None],
    daemonize: bool,
) -> None:
    """Keep ``settings.processes`` processes serving until a signal ends this one.

    SIGHUP is passed on: every process reloads. When one has reloaded because a caller asked it to,
    the others follow. One that replaces another has the settings in force.

    Raises:
        StartupError: a process cannot start; what had started is stopped.
    """
    bus = ServiceBus()
    children = _Children(bus, settings, serve_one, on_ready)
    if daemonize:
        bus.daemonize(settings)
    children.subscribe()
    bus.handle_signals(children.reload)
    bus.run()


@dataclass
class _Child:
    """A process that serves.

    Attributes:
        pid: its number.
        started_s: when, or when that failed last, on `time.monotonic`'s clock.
        told: the end of a pipe on which it tells how its start went.
    """

    pid: int
    started_s: float
    told: int


class _Children(Plugin):
    """The processes that serve. Everything happens in the main thread, as it forks."""

    start_priority = 72
    stop_priority = 25

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        serve_one: ServeOne,
        on_ready: Callable[[str], None],
    ) -> None:
        super().__init__(bus)
        self._settings = settings
        self._serve_one = serve_one
        self._on_ready = on_ready
        self._children: list[_Child] = []
        # Since when those that there were have been reloading, and none has told that it has.
        self._reloading_since_s = math.inf

    def subscribe(self) -> None:
        super().subscribe()
        # The bus calls this ten times a second while it waits.
        self.bus.subscribe("main", self._look_after)

    def begin(self) -> None:
        self._holder = reserve_port(self._settings.host, self._settings.port)
        port: int = self._holder.getsockname()[1]
        self._settings = self._settings.model_copy(update={"port": port})
        self._lifeline = os.pipe()
        self._siblings = Siblings(self._settings.processes)
        # On this each process says that it has reloaded, and whether for a caller. A signal would
        # not tell which of them has, and that one is not to reload again.
        self._reloaded = os.pipe()
        os.set_blocking(self._reloaded[0], False)
        for place in range(self._settings.processes):
            with _holding_signals():
                self._children.append(self._start_child(place))
        url, *_ = [
            wait_ready(child.told, died=f"process {child.pid} died while it started; see the log")
            for child in self._children
        ]
        _LOGGER.info("%d processes answer on %s", len(self._children), url)
        self._on_ready(url)
        notify("READY=1")

    def stop(self) -> None:
        """Ask all to leave, wait for them, and end those that do not."""
        notify("STOPPING=1")
        children, self._children = self._children, []
        self._signal(children, signal.SIGTERM)
        give_up_s = time.monotonic() + self._settings.shutdown_timeout + _CHILD_GRACE_S
        while children and time.monotonic() < give_up_s:
            children = [child for child in children if not _has_ended(child.pid)]
            time.sleep(_POLL_S)
        self._signal(children, signal.SIGKILL)
        for child in children:
            os.waitpid(child.pid, 0)

    def reload(self) -> None:
        """Have every process reload."""
        self._reloading_since_s = time.monotonic()
        self._signal(self._children, signal.SIGHUP)

    def _signal(self, children: list[_Child], number: signal.Signals) -> None:
        for child in children:
            try:
                os.kill(child.pid, number)
            except ProcessLookupError:
                _LOGGER.debug("process %d has ended before the signal", child.pid)

    def _look_after(self) -> None:
        with _holding_signals():
            self._take_reloads()
            self._replace_dead()

    def _take_reloads(self) -> None:
        try:
            told = os.read(self._reloaded[0], _PIPE_BYTES).splitlines()
        except BlockingIOError:
            return  # none has reloaded
        with suppress(StartupError):  # the file has changed again; they logged what they had read
            self._settings = reread(self._settings)[0]
        for pid, asked in {tuple(map(int, line.split())) for line in told}:
            # One that has taken a place while the others reloaded has the settings from before.
            since_s = 0.0 if asked else self._reloading_since_s
            behind = [
                each for each in self._children if each.pid != pid and each.started_s > since_s
            ]
            self._signal(behind, signal.SIGHUP)
        self._reloading_since_s = math.inf

    def _replace_dead(self) -> None:
        for place, child in enumerate(self._children):
            lived_s = time.monotonic() - child.started_s
            if lived_s <= _MIN_LIFE_S or not _has_ended(child.pid):
                continue
            try:
                self._children[place] = self._start_child(place)
            except OSError as error:  # out of files, processes or memory
                _LOGGER.error(
                    "process %d ended by itself and cannot be replaced yet: %s", child.pid, error
                )
                child.started_s = time.monotonic()
            else:
                _LOGGER.error(
                    "process %d ended by itself (%s); another takes its place",
                    child.pid,
                    describe_end(child.pid),
                )
                os.close(child.told)
                with suppress(ChildProcessError):
                    os.waitpid(child.pid, 0)

    def _start_child(self, place: int) -> _Child:
        """Fork while signals are held: one would find the supervisor's handlers in the child."""
        reader, writer = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            os.close(reader)
            os.close(self._lifeline[1])
            self._run_child(place, writer)
        os.close(writer)
        return _Child(pid, time.monotonic(), reader)

    def _run_child(self, place: int, writer: int) -> NoReturn:
        """Serve in the forked process, and never return."""
        code = 0
        try:
            for number in _HELD_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            # A reload waits for the handler that `ServiceBus.handle_signals` sets.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_SIGNALS - {signal.SIGHUP})
            leave_to_parent()
            _leave_with_parent(self._lifeline[0])
            self._serve_one(
                self._settings,
                on_ready=lambda url: tell_ready(writer, url),
                on_reload=self._tell_reload,
                share=partial(self._siblings.share, place),
            )
        except StartupError as error:
            _LOGGER.error("process %d cannot start: %s", os.getpid(), error)
            tell_failure(writer, str(error))
            code = 2
        except WorkersLost as error:
            _LOGGER.critical("process %d: %s", os.getpid(), error)
            code = 1
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            leave(code)

    def _tell_reload(self, asked: bool) -> None:
        """Tell the supervisor that this process has reloaded, and whether for a caller."""
        os.write(self._reloaded[1], f"{os.getpid()} {asked:d}\n".encode())


@contextmanager
def _holding_signals() -> Iterator[None]:
    """Hold signals back, so that each reaches all children, and none is started after a stop.

    A child that is started meanwhile keeps holding them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_SIGNALS)


def _has_ended(pid: int) -> bool:
    """Tell whether a child has ended; the kernel keeps its number until it is waited for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _leave_with_parent(lifeline: int) -> None:
    """Leave when the supervisor has gone, even by kill -9: its end of a pipe closes then."""
    supervisor = os.getppid()

    def wait() -> None:
        os.read(lifeline, 1)
        _LOGGER.error("the supervisor (%d) has gone; process %d leaves", supervisor, os.getpid())
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
