"""A real `dsapi`, run as a command with a configuration of its own."""

import http.client
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.pictures import GREEN, encode, plain
from tests.ports import free_port

PICTURE = encode(plain(GREEN))


class Installation:
    """A configuration of its own, and the command."""

    def __init__(self, folder: Path, tiny_config: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.config = folder / "dsapi.conf"
        self.pid_file = folder / "run/dsapi.pid"
        text = tiny_config.read_text(encoding="utf-8").replace("port = 0", f"port = {self.port}")
        for name in ("models", "labels"):
            text = text.replace(f'"{name}/', f'"{tiny_config.parent / name}/')
        self.config.write_text(text, encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), encoding="utf-8")

    def run(
        self, command: str, *options: str, within: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, by another one if `within` names it."""
        dsapi = [sys.executable, "-m", "dsapi", command, "--config", str(self.config), *options]
        return subprocess.run(
            [*within, *dsapi],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready")[0] == 200
        except OSError:
            return False

    def predict(self) -> str:
        status, body = self.ask("POST", "/v1/predictions", PICTURE)
        assert status == 200, body
        label: str = json.loads(body)["predictions"]["themes"][0]["label"]
        return label
