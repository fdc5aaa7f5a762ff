"""The views for people to look at: kept in ``var/views``, and those of the README in ``docs``."""

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from dsapi.settings import load_settings
from tests.browser.views import VIEWS, take_views
from tests.conftest import StartServer

ROOT = Path(__file__).parents[2]


def test_every_view_is_taken_with_the_shipped_models(
    browser: Browser, start_server: StartServer
) -> None:
    server = start_server(load_settings(port=0, prediction_workers=1))
    files = take_views(browser, f"http://127.0.0.1:{server.port}", ROOT / "var/views")
    brightness = {}
    for file in files:
        with Image.open(file) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 100
            brightness[file.stem] = image.convert("L").resize((1, 1)).getpixel((0, 0))
    assert brightness["page-dark"] < 100 < brightness["page-light"]


def test_the_views_in_docs_are_small_and_as_wide_as_taken() -> None:
    for name in VIEWS:
        file = ROOT / f"docs/{name}.png"
        assert file.stat().st_size < 300_000
        with Image.open(file) as image:
            assert image.width == (390 if "phone" in name else 1280)
