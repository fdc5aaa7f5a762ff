"""The integration guide and its example application do what they say."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from urllib.parse import urlencode

import pytest

from dsapi.client import Client
from tests.client.gallery import DOCS, Gallery, running_gallery
from tests.conftest import RunningServer
from tests.pictures import encode, halves
from tests.ports import free_port

GUIDE = (DOCS / "integrating.md").read_text(encoding="utf-8")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(params=["running", "gone"])
def gallery(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Gallery]:
    """The example application, beside a service that runs, or beside none."""
    with running_gallery(server.port if request.param == "running" else free_port()) as gallery:
        yield gallery


def test_the_example_takes_a_picture_a_tap_and_a_choice_with_and_without_the_service(
    gallery: Gallery, request: pytest.FixtureRequest
) -> None:
    name = gallery.upload(encode(halves(640, 480)))
    assert f"picture?name={name}" in gallery.ask("GET", f"/tap?name={name}")[2]
    status, _, page = gallery.ask("GET", f"/tag?name={name}&x=93.75&y=2")
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


def test_the_guide_asks_for_the_urllib3_that_the_package_needs() -> None:
    needed = [line.replace(" ", "") for line in requires("dsapi") or () if "urllib3" in line]
    assert [f"pip install '{line}'" in GUIDE for line in needed] == [True]


def test_the_guides_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", GUIDE):
        assert (DOCS / link).is_file(), link
