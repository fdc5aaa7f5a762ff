"""Fixtures: a configuration with tiny real graphs, and a real server on a free port."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from dsapi.process.pidfile import running_pid
from dsapi.process.service import build_service, load_models
from dsapi.settings import Settings, load_settings
from dsapi.workers.pool import PredictionWorkers
from tests.graphs import freeze_brightest_channel, write_labels
from tests.installation import Installation

TINY_CONFIG = """
[global]
host = "127.0.0.1"
port = 0
prediction_workers = 2
request_timeout = 20.0
image_roots = ["pictures"]

[models.themes]
graph = "models/themes.pb"
labels = "labels/three.txt"
crop = "80%"

[models.colors]
graph = "models/colors.pb"
labels = "labels/three.txt"
crop = "9px"
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file beside two tiny graphs, not to be changed."""
    return write_tiny_config(tmp_path_factory.mktemp("tiny"))


def write_tiny_config(folder: Path) -> Path:
    """Write a configuration file beside two tiny graphs: themes at 32 × 32, colors at 9 × 9."""
    freeze_brightest_channel(folder / "models/themes.pb", side=32)
    freeze_brightest_channel(folder / "models/colors.pb", side=9)
    write_labels(folder / "labels/three.txt")
    (folder / "pictures").mkdir()
    config = folder / "dsapi.conf"
    config.write_text(TINY_CONFIG, encoding="utf-8")
    return config


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    reason: str
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class RunningServer:
    """A server that listens, and what it was made of."""

    port: int
    settings: Settings
    workers: PredictionWorkers

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.reason, response.headers, response.read())
        finally:
            connection.close()

    def post_picture(self, data: bytes, query: str = "", path: str = "/v1/predictions") -> Answer:
        """Post a raw picture."""
        return self.ask("POST", f"{path}?{query}", data, {"Content-Type": "image/jpeg"})


StartServer = Callable[[Settings], RunningServer]


@pytest.fixture(scope="session")
def start_server() -> Iterator[StartServer]:
    """Start servers in this process on free ports; all are stopped at the end."""
    stops: list[Callable[[], None]] = []

    def start(settings: Settings) -> RunningServer:
        service = build_service(settings)
        workers, http_server = service.workers, service.http_server
        workers.start(load_models(settings))
        http_server.prepare()
        thread = threading.Thread(target=http_server.serve)
        thread.start()

        def stop() -> None:
            http_server.stop()
            thread.join()
            workers.stop()

        stops.append(stop)
        return RunningServer(http_server.bind_addr[1], settings, workers)

    yield start
    for stop in stops:
        stop()


@pytest.fixture(scope="session")
def server(tiny_config: Path, start_server: StartServer) -> RunningServer:
    """A server with the tiny graphs."""
    return start_server(load_settings(tiny_config))


@pytest.fixture
def installation(tmp_path: Path, tiny_config: Path) -> Iterator[Installation]:
    """A configuration whose daemon, if a test starts one, is gone at the end."""
    installed = Installation(tmp_path, tiny_config)
    yield installed
    if pid := running_pid(installed.pid_file):
        os.kill(pid, signal.SIGKILL)
