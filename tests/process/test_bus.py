import subprocess
import sys
from pathlib import Path

import pytest
from cherrypy.process.wspbus import Bus

from dsapi.errors import StartupError
from dsapi.process.bus import Plugin, ServiceBus


class Recorded(Plugin):
    """A plugin that notes what is asked of it, and fails where it is told to."""

    def __init__(self, bus: Bus, calls: list[str], name: str, error: Exception | None) -> None:
        super().__init__(bus)
        self._calls, self._name, self._error = calls, name, error

    def begin(self) -> None:
        self._calls.append(f"begin {self._name}")
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._calls.append(f"stop {self._name}")


class Loader(Recorded):
    start_priority = 60


class Announcer(Recorded):
    start_priority = 70


@pytest.mark.parametrize("error", [StartupError("no such graph"), RuntimeError("unforeseen")])
def test_a_start_that_fails_ends_there_with_its_reason(error: Exception) -> None:
    calls: list[str] = []
    bus = ServiceBus()
    Loader(bus, calls, "loader", error).subscribe()
    Announcer(bus, calls, "announcer", None).subscribe()
    with pytest.raises(type(error), match=str(error)):
        bus.run()
    assert "begin announcer" not in calls
    assert "stop loader" in calls


# Starts after the signal, were it not heeded; then another signal ends the process.
_SIGNALED = """
import os, signal, sys
from dsapi.process.bus import ServiceBus
bus = ServiceBus()
end = lambda: os.kill(os.getpid(), signal.SIGTERM)
if sys.argv[1] == "during":
    bus.subscribe("start", end, 10)
bus.subscribe("start", lambda: print("started"), 20)
bus.handle_signals(lambda: None)
if sys.argv[1] == "before":
    end()
signal.alarm(1)
bus.run()
"""

_WITHOUT_THREADS = """
import sys, threading
from pathlib import Path
from dsapi.process.server import serve
from dsapi.settings import load_settings
from dsapi.web.http_server import HTTPServer

class Exhausted(HTTPServer):
    def prepare(self):
        super().prepare()
        threading.stack_size(1 << 47)  # more than a process can address

import dsapi.process.service
dsapi.process.service.HTTPServer = Exhausted
serve(load_settings(Path(sys.argv[1])), on_ready=print)
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_signal_before_the_start_has_ended_ends_the_process_and_starts_nothing(
    moment: str,
) -> None:
    ended = run(_SIGNALED, moment)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "stopped while it started" in ended.stderr


def test_a_start_that_finds_no_thread_to_listen_in_ends(tiny_config: Path) -> None:
    ended = run(_WITHOUT_THREADS, str(tiny_config))
    assert ended.returncode == 1
    assert "can't start new thread" in ended.stderr
