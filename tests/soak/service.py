"""A service in a process of its own, and what can be seen of it from outside."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Service:
    """``dsapi serve`` on a free port, with its memory, threads and files."""

    def __init__(
        self,
        config: Path,
        *,
        logs: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log_file = logs or config.with_name("soak.log")
        self._log = self._log_file.open("w")
        self.config = config
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dsapi", "serve", "--config", str(config), "--port", "0"],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        if self._process.stdout is None:
            raise RuntimeError("no standard output")
        told = self._process.stdout.readline()
        found = re.search(r"http://[^:]+:(\d+)", told)
        if found is None:
            self.stop()
            raise RuntimeError(f"the service does not start: {self._log_file.read_text()}")
        self.port = int(found[1])
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        # The processes that serve; a single one has no children.
        self._pids = [int(child) for child in children.split()] or [pid]

    def connect(self, *, timeout_s: float = 60.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = 60.0
    ) -> tuple[int, bytes]:
        connection = self.connect(timeout_s=timeout_s)
        try:
            connection.request(method, path, body, {"Content-Type": "image/jpeg"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def reload(self) -> tuple[int, dict[str, object]]:
        # On a machine that is busy with other things, loading can take minutes.
        status, body = self.ask("POST", "/v1/models/reload", b"", timeout_s=600.0)
        answer: dict[str, object] = json.loads(body)
        return status, answer

    @property
    def reloads(self) -> int:
        """Reloads that have taken over, of all processes together, by the log."""
        return self._log_file.read_text(encoding="utf-8").count("reloaded in")

    def number(self, name: str) -> float:
        """Read one of the metrics that have no labels."""
        body = self.ask("GET", "/metrics")[1].decode()
        found = re.search(rf"^{name} (\S+)$", body, re.M)
        return float(found[1]) if found else 0.0

    @property
    def running(self) -> int:
        """Processes that serve and were there from the start."""
        return sum(Path(f"/proc/{pid}").exists() for pid in self._pids)

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the processes that serve."""
        return sum(self._status(pid, "VmRSS") for pid in self._pids) * 1024

    @property
    def threads(self) -> int:
        return self._status(self._process.pid, "Threads")

    @property
    def files(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def stop(self) -> int:
        """End it with SIGTERM; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=120)
        self._log.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def _status(self, pid: int, field: str) -> int:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        found = re.search(rf"^{field}:\s+(\d+)", text, re.M)
        if found is None:
            raise RuntimeError(f"/proc has no {field}")
        return int(found[1])
