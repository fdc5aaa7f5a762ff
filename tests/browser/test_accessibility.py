"""axe-core finds nothing to complain about, in any state of the page."""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.actions import file, open_sample
from tests.browser.conftest import PHONE, Visit
from tests.pictures import encode, halves

STYLE = Path(__file__).parents[2] / "static/page.css"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
    "dark phone": PHONE | {"color_scheme": "dark"},
}


def check_accessibility(page: Page) -> None:
    """Run axe with all its rules, best practices included."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("look", LOOKS)
def test_the_empty_page_has_no_violation(visit: Visit, look: str) -> None:
    check_accessibility(visit(**LOOKS[look]))


@pytest.mark.parametrize("look", LOOKS)
def test_an_answer_with_kept_points_has_no_violation(visit: Visit, look: str) -> None:
    page = visit(**LOOKS[look])
    open_sample(page, "Garden")
    page.get_by_role("button", name="Keep this point").click()
    page.get_by_role("button", name="Keep this point").click()
    page.get_by_text("The answer as JSON").click()
    check_accessibility(page)


@pytest.mark.parametrize("look", LOOKS)
def test_an_error_has_no_violation(visit: Visit, look: str) -> None:
    page = visit(**LOOKS[look])
    open_sample(page, "Garden")
    page.fill("#x", "5000")
    page.locator("#point-problem").wait_for()
    check_accessibility(page)


@pytest.mark.parametrize("look", LOOKS)
def test_the_answer_without_script_has_no_violation(visit: Visit, look: str) -> None:
    page = visit(**LOOKS[look])
    # axe itself is a script: the page's own is kept from loading instead.
    page.route("**/page.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.reload()
    page.get_by_label("File").set_input_files(file("halves.png", encode(halves())))
    page.get_by_role("button", name="Ask the models").click()
    page.get_by_text("of a PNG with").wait_for()
    check_accessibility(page)


def test_every_color_label_has_a_swatch() -> None:
    labels = (STYLE.parents[1] / "labels/colors.txt").read_text(encoding="utf-8").split("\n")
    swatches = re.findall(r'\.swatch\[data-label="(.+?)"\]', STYLE.read_text(encoding="utf-8"))
    assert sorted(swatches) == sorted(filter(None, labels))
