"""A real browser on the real page. Without Chromium these tests are left out, in so many words."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import RunningServer
from tests.pictures import encode, halves

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LEFT_OUT = "left out: this machine has no Chromium (apt-get install chromium)"
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
Visit = Callable[..., Page]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the browser tests out where no browser is; in CI there has to be one."""
    if CHROMIUM is not None:
        return
    here = [item for item in items if item.path.is_relative_to(os.path.dirname(__file__))]
    if here and os.environ.get("CI"):
        raise pytest.UsageError(f"{len(here)} browser tests cannot run: install Chromium")
    items[:] = [item for item in items if item not in here]
    config.hook.pytest_deselected(items=here)
    config.stash[_LEFT_OUT] = len(here)


_LEFT_OUT = pytest.StashKey[int]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say in one line that they were."""
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(f"{count} browser tests {LEFT_OUT}", yellow=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, server: RunningServer) -> Iterator[Visit]:
    """Open the page in a window of its own.

    At the end of the test, no window may have logged an error, broken the content security policy
    or asked another host for anything.
    """
    (server.settings.image_roots[0] / "halves.png").write_bytes(encode(halves(640, 480)))
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def hear(message: Any) -> None:
        # A status of 4xx, 503 or 504 is what the page asked for, and what it shows in words.
        told = re.search("status of (4..|503|504)", message.text)
        if message.type in ("error", "warning") and not told:
            complaints.append(message.text)

    def see(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme != "blob" and address.netloc != f"127.0.0.1:{server.port}":
            complaints.append(f"asked {request.url}")

    def visit(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**(DESKTOP | options))
        contexts.append(context)
        context.on("request", see)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_default_timeout(15_000)
        page.goto(f"http://127.0.0.1:{server.port}{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
