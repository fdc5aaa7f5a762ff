"""The example application of the integration guide, running."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

DOCS = Path(__file__).parents[2] / "docs"


class Gallery:
    """The example application, running."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, str, str]:
        """Send a request; its status, where it redirects to, and the page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            page = response.read().decode(errors="replace")
            return response.status, response.headers.get("Location", ""), page

    def upload(self, picture: bytes) -> str:
        """Upload a picture; its name."""
        body = (
            b'--b\r\nContent-Disposition: form-data; name="picture"; filename="p.png"\r\n'
            b"Content-Type: image/png\r\n\r\n" + picture + b"\r\n--b--\r\n"
        )
        kind = "multipart/form-data; boundary=b"
        status, location, _ = self.ask("POST", "/upload", body, Content_Type=kind)
        assert status == 303
        return location.split("name=")[1]


@contextlib.contextmanager
def running_gallery(service_port: int) -> Iterator[Gallery]:
    """Run the application beside a service, or beside a port that nobody listens on."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, DOCS / "example/gallery.py"],
        env=os.environ
        | {
            "PYTHONPATH": str(DOCS.parent),
            "DSAPI_URL": f"http://127.0.0.1:{service_port}",
            "GALLERY_PORT": str(port),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield Gallery(port)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until somebody listens."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None
        time.sleep(0.05)
    pytest.fail(f"nobody listens on {port}")
