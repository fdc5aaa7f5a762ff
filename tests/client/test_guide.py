"""The integration guide and its example application do what they say."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from dsapi.client import Client
from tests.conftest import RunningServer
from tests.pictures import encode, halves
from tests.ports import free_port

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "integrating.md").read_text(encoding="utf-8")
FORM = "application/x-www-form-urlencoded"


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


@pytest.fixture(params=["running", "gone"])
def gallery(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Gallery]:
    """The example application, beside a service that runs, or beside none."""
    port = free_port()
    service = server.port if request.param == "running" else free_port()
    process = subprocess.Popen(
        [sys.executable, DOCS / "example/gallery.py"],
        env=os.environ
        | {
            "PYTHONPATH": str(DOCS.parent),
            "DSAPI_URL": f"http://127.0.0.1:{service}",
            "GALLERY_PORT": str(port),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield Gallery(port)
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until somebody listens."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None
        time.sleep(0.05)
    pytest.fail(f"nobody listens on {port}")


def test_the_example_takes_a_picture_a_tap_and_a_choice_with_and_without_the_service(
    gallery: Gallery, request: pytest.FixtureRequest
) -> None:
    name = gallery.upload(encode(halves(640, 480)))
    assert f"picture?name={name}" in gallery.ask("GET", f"/tap?name={name}")[2]
    status, _, page = gallery.ask("GET", f"/tag?name={name}&tap.x=600&tap.y=10")
    assert status == 200
    options = re.findall("<option>(.*?)</option>", page)
    if "running" in request.node.name:
        assert "our suggestions" in page
        assert set(options) == {"red", "green", "blue"}
    else:
        assert "please choose" in page
        assert {"Women&#x27;s Fashion", "blue"} < set(options)
    chosen = urlencode({"name": name, "themes": options[0], "colors": "blue"}).encode()
    status, _, page = gallery.ask("POST", "/choose", chosen, Content_Type=FORM)
    assert status == 200
    assert "Saved:" in page


def test_the_guides_python_runs(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encode(halves(640, 480), "JPEG"))
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    code = code.replace("127.0.0.1:9000", f"127.0.0.1:{server.port}").replace("=0.5", "=20")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("red: ")


def test_the_guide_tells_the_clients_own_defaults() -> None:
    defaults = Client.__init__.__kwdefaults__
    assert f"timeout_s={defaults['timeout_s']}" in GUIDE
    assert f"failed {defaults['failures_to_open']} times in a row" in GUIDE
    assert f"at once for {defaults['pause_s']:g} s" in GUIDE


def test_the_guides_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", GUIDE):
        assert (DOCS / link).is_file(), link
