"""Pictures of the page, with the shipped models: ``python -m tests.browser.views FOLDER``.

The README's come from here (FOLDER is docs); the test takes them all, to be looked at.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from dsapi.process.server import load_models
from dsapi.process.service import build_service
from dsapi.settings import Settings, load_settings
from tests.browser.actions import on_picture, open_sample, wait_for_answer
from tests.browser.conftest import CHROMIUM, DESKTOP, PHONE

VIEWS = ("page-light", "page-dark", "page-phone", "page-error")


def take_views(browser: Browser, url: str, folder: Path) -> list[Path]:
    """Take every view; each a PNG of at most 256 colors."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_take(browser, url, folder / f"{name}.png") for name in VIEWS]


def _take(browser: Browser, url: str, file: Path) -> Path:
    phone = "phone" in file.stem
    # All of the page on a phone that is long enough: a full page's picture loses its touch screen.
    long = PHONE | {"viewport": {"width": 390, "height": 1700}, "device_scale_factor": 1}
    look = long if phone else DESKTOP
    scheme = "dark" if "dark" in file.stem else "light"
    context = browser.new_context(**look, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    _act(page, file.stem)
    image = Image.open(BytesIO(page.screenshot())).convert("RGB")
    colors = image.quantize(256)
    image.quantize(palette=colors, dither=Image.Dither.FLOYDSTEINBERG).save(file, optimize=True)
    context.close()
    return file


def _act(page: Page, name: str) -> None:
    """Do what a view shows."""
    open_sample(page, "Harbor at dusk" if name == "page-phone" else "Bowl of fruit")
    if name == "page-error":
        page.fill("#x", "5000")
        page.locator("#point-problem").scroll_into_view_if_needed()
    elif name != "page-phone":
        page.mouse.click(*on_picture(page, 0.3, 0.72))
        wait_for_answer(page)
        page.get_by_role("button", name="Keep this point").click()
        page.mouse.click(*on_picture(page, 0.745, 0.53))
        wait_for_answer(page)
        page.mouse.move(5, 5)


@contextmanager
def serve(settings: Settings) -> Iterator[str]:
    """Serve on a free port."""
    service = build_service(settings)
    service.workers.start(load_models(settings))
    service.http_server.prepare()
    thread = threading.Thread(target=service.http_server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{service.http_server.bind_addr[1]}"
    finally:
        service.http_server.stop()
        thread.join()
        service.workers.stop()


def main() -> None:
    """Take them all."""
    with serve(load_settings(port=0)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for file in take_views(browser, url, Path(sys.argv[1])):
            print(file, file.stat().st_size, "bytes")
        browser.close()


if __name__ == "__main__":
    main()
