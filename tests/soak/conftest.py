"""Soak tests: short in CI, long by ``make soak`` (DSAPI_SOAK=long)."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.soak.service import ROOT, Service

LONG = os.environ.get("DSAPI_SOAK") == "long"


@dataclass(frozen=True)
class Extent:
    """How much is asked.

    Attributes:
        requests: mixed requests for the memory test.
        memory_slack_bytes: growth after the warm-up that is no leak: the short form has few
            samples, and allocators take their time.
        reloads: reloads under load.
        reload_slack_bytes: growth after the warm-up, as above, for each process.
        connections: idle connections.
        shipped: whether the shipped models are served, or tiny ones.
    """

    requests: int
    memory_slack_bytes: int
    reloads: int
    reload_slack_bytes: int
    connections: int
    shipped: bool


@pytest.fixture(scope="session")
def extent() -> Extent:
    if LONG:
        return Extent(50_000, 12 * 2**20, 100, 60 * 2**20, 2000, shipped=True)
    return Extent(1500, 16 * 2**20, 6, 150 * 2**20, 2000, shipped=False)


StartService = Callable[..., Service]


@pytest.fixture
def start_service(tiny_config: Path, tmp_path: Path, extent: Extent) -> Iterator[StartService]:
    """Start services with graphs of their own; all are stopped at the end."""
    services: list[Service] = []

    def start(
        *lines: str, logs: Path | None = None, environment: dict[str, str] | None = None
    ) -> Service:
        folder = tmp_path / f"service-{len(services)}"
        if extent.shipped:
            for name in ("models", "labels"):
                shutil.copytree(ROOT / name, folder / name)
            config = folder / "dsapi.conf"
            text = (ROOT / "dsapi.conf").read_text(encoding="utf-8")
        else:
            shutil.copytree(tiny_config.parent, folder)
            config = folder / tiny_config.name
            text = config.read_text(encoding="utf-8").replace("request_timeout = 20.0\n", "")
        names = {line.partition(" =")[0] for line in lines}
        kept = [line for line in text.splitlines() if line.partition(" =")[0] not in names]
        config.write_text("\n".join(kept).replace("[global]", "\n".join(("[global]", *lines))))
        services.append(Service(config, logs=logs, environment=environment))
        return services[-1]

    yield start
    for service in services:
        service.stop()


@pytest.fixture(scope="session", autouse=True)
def _many_files() -> Iterator[None]:
    """Let this process hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
