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
