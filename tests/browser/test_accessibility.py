"""axe-core finds nothing to complain about, in any state of the page."""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser.actions import (
    file,
    hand_over,
    open_sample,
    wait_for_answer,
    wait_for_picture,
)
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


def test_the_button_that_keeps_a_point_keeps_the_focus_when_an_answer_comes(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Garden")
    held: list[Route] = []
    page.route("**/v1/predictions", lambda route: held.append(route))
    with page.expect_request("**/v1/predictions"):
        page.fill("#x", "20")
    page.get_by_role("button", name="Keep this point").focus()
    held[0].continue_()
    wait_for_answer(page)
    expect(page.get_by_role("button", name="Keep this point")).to_be_focused()


def test_the_answer_gets_the_focus_of_what_is_gone(visit: Visit) -> None:
    page = visit()
    page.route("**/v1/predictions", lambda route: route.fulfill(status=404, body="<h1>Bad"))
    page.get_by_role("button", name="Garden").click()
    page.get_by_role("button", name="Try again").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    expect(page.get_by_role("button", name="Try again")).to_be_focused()
    page.unroute("**/v1/predictions")
    page.keyboard.press("Enter")
    wait_for_picture(page)
    expect(page.locator("#answer")).to_be_focused()
    page.get_by_role("button", name="Keep this point").focus()
    hand_over(page, "paste", "halves.png", encode(halves(640, 480)))
    wait_for_picture(page)
    expect(page.locator("#answer")).to_be_focused()


def test_the_answer_gets_the_focus_of_a_picture_that_is_refused(visit: Visit) -> None:
    page = visit()
    held: list[Route] = []
    page.route("**/v1/predictions", lambda route: held.append(route))
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"/>'
    with page.expect_request("**/v1/predictions"):
        page.set_input_files("#image", file("drawing.svg", drawing, "image/svg+xml"))
    page.locator("#stage").focus()
    held[0].continue_()
    expect(page.locator("#image-problem")).to_be_visible()
    page.wait_for_timeout(200)  # a browser takes the focus away only when it draws
    expect(page.locator("#answer")).to_be_focused()


def test_the_answer_gets_the_focus_of_the_last_kept_point_of_a_picture_refused_since(
    visit: Visit,
) -> None:
    page = visit()
    page.get_by_label("Or its path on the server").fill("halves.png")
    page.keyboard.press("Enter")
    wait_for_picture(page)
    page.get_by_role("button", name="Keep this point").click()
    gone = {"status": 404, "code": "path_not_found", "detail": "there is no such picture"}
    page.route("**/v1/predictions", lambda route: route.fulfill(status=404, json=gone))
    page.fill("#x", "20")
    expect(page.locator("#path-problem")).to_be_visible()
    page.get_by_role("button", name="Remove: point 1").click()
    expect(page.locator("#answer")).to_be_focused()


def test_the_answer_is_busy_while_it_is_waited_for(visit: Visit) -> None:
    page = visit()
    held: list[Route] = []
    page.route("**/v1/predictions", lambda route: held.append(route))
    page.get_by_role("button", name="Garden").click()
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "true")
    held[0].continue_()
    wait_for_picture(page)
    expect(page.locator("#answer")).not_to_have_attribute("aria-busy", "true")


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_hardly_moves_when_the_script_comes_late(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900})
    page.add_init_script(
        """new PerformanceObserver((list) => {
          for (const { value } of list.getEntries()) window.shift = (window.shift ?? 0) + value;
        }).observe({ type: "layout-shift", buffered: true })"""
    )
    held: list[Route] = []
    page.route("**/page.js", lambda route: held.append(route))
    page.reload(wait_until="commit")
    page.wait_for_timeout(500)
    held[0].continue_()
    expect(page.locator("html")).to_have_class("scripted")
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift ?? 0") < 0.05


def test_every_color_label_has_a_swatch() -> None:
    labels = (STYLE.parents[1] / "labels/colors.txt").read_text(encoding="utf-8").split("\n")
    swatches = re.findall(r'\.swatch\[data-label="(.+?)"\]', STYLE.read_text(encoding="utf-8"))
    assert sorted(swatches) == sorted(filter(None, labels))


def test_high_contrast_keeps_the_colors_that_are_the_answer(visit: Visit) -> None:
    page = visit(forced_colors="active")
    open_sample(page, "Garden")
    green = "getComputedStyle(document.querySelector('.swatch[data-label=green]')).backgroundColor"
    assert page.evaluate(green) == "rgb(44, 154, 63)"
    steps = page.evaluate(
        """() => [...document.querySelectorAll("#current .legend li")].map(
          (step) => getComputedStyle(step, "::before").backgroundColor)"""
    )
    assert len(set(steps)) == len(steps)
    ring = "getComputedStyle(document.getElementById('marker'), '::after').borderTopColor"
    assert page.evaluate(ring) == "rgb(255, 255, 255)"
