"""What goes wrong is said in words, beside what caused it."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.actions import (
    file,
    hand_over,
    open_sample,
    read_point,
    wait_for_answer,
    wait_for_picture,
)
from tests.browser.conftest import Visit
from tests.pictures import encode, halves

HALVES = encode(halves(640, 480))


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page with a picture."""
    page = visit()
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    return page


def check_problem(page: Page, place: str, words: str) -> None:
    """Check that exactly one problem is shown, there, and announced with its field."""
    expect(page.locator(f"#{place}-problem")).to_contain_text(words)
    assert page.locator(".problem:visible").count() == 1
    assert page.locator(f"#{place}-problem").get_attribute("role") == "alert"
    for field in page.locator(f"[aria-describedby~='{place}-problem']").all():
        assert field.get_attribute("aria-invalid") == "true"


def test_a_point_outside_is_told_beside_the_point_until_it_is_right(page: Page) -> None:
    page.fill("#x", "900")
    check_problem(page, "point", "x must be between 0 and 639, got 900")
    expect(page.locator("#marker")).to_be_hidden()
    expect(page.locator("#current h3")).to_have_text("Last answer: 320, 240")
    page.fill("#x", "300")
    wait_for_answer(page)
    expect(page.locator("#point-problem")).to_be_hidden()
    assert page.locator("[aria-invalid]").count() == 0


def test_a_point_that_is_no_number_is_told(page: Page) -> None:
    page.fill("#y", "left")
    check_problem(page, "point", "y must be a valid number")


def test_half_a_point_is_no_mistake_yet(page: Page) -> None:
    page.fill("#x", "")
    page.wait_for_timeout(200)
    expect(page.locator("#point-problem")).to_be_hidden()
    page.keyboard.press("Enter")
    check_problem(page, "point", "y came without x")


def test_what_is_no_picture_is_told_beside_the_picture(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Choose a picture").set_input_files(file("notes.txt", b"no picture"))
    check_problem(page, "image", "no picture in a permitted format")
    expect(page.locator("#stage")).to_be_hidden()
    expect(page.locator("#empty")).to_be_visible()


def test_a_truncated_picture_is_told(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Choose a picture").set_input_files(file("half.png", HALVES[:200]))
    check_problem(page, "image", "truncated or corrupt")


def test_a_file_over_the_limit_is_told_without_being_sent(visit: Visit) -> None:
    page = visit()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.evaluate(
        """() => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(20 * 1024 * 1024 + 1)], "large.png"));
          const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true });
          document.body.dispatchEvent(drop);
        }"""
    )
    check_problem(page, "image", "large.png has 20.0 MB; the service takes at most 20.0 MB")
    assert "POST" not in sent


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere.jpg", "no such picture"), ("../secret.jpg", "below the image roots")],
)
def test_a_wrong_path_is_told_beside_the_path(visit: Visit, path: str, words: str) -> None:
    page = visit()
    page.get_by_label("Or its path on the server").fill(path)
    page.keyboard.press("Enter")
    check_problem(page, "path", words)


def test_no_model_and_too_many_labels_are_told_beside_the_models(page: Page) -> None:
    page.get_by_label("Labels each").fill("99")
    check_problem(page, "options", "top must be less than or equal to 50")
    page.get_by_label("Labels each").fill("5")
    wait_for_answer(page)
    for name in ("themes", "colors"):
        page.get_by_role("checkbox", name=name).uncheck()
    check_problem(page, "options", "Tick at least one model")


def test_a_service_that_is_gone_is_told_and_asked_again(visit: Visit) -> None:
    page = visit()
    page.route("**/v1/predictions", lambda route: route.fulfill(status=404, body="<h1>Bad"))
    page.get_by_role("button", name="Garden").click()
    expect(page.locator("#answer-problem")).to_contain_text("answered nonsense")
    page.unroute("**/v1/predictions")
    page.get_by_role("button", name="Try again").click()
    wait_for_picture(page)
    expect(page.locator("#answer-problem")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def _fulfill(route: Route, status: int, code: str) -> None:
    problem = {"status": status, "code": code, "detail": f"{code}, said the service"}
    route.fulfill(status=status, json=problem, content_type="application/problem+json")


def test_a_full_service_is_told_and_asked_again(visit: Visit) -> None:
    page = visit()
    page.route("**/v1/predictions", lambda route: _fulfill(route, 429, "rate_limited"))
    page.get_by_role("button", name="Garden").click()
    check_problem(page, "answer", "rate_limited, said the service")
    page.unroute("**/v1/predictions")
    page.get_by_role("button", name="Try again").click()
    wait_for_picture(page)


def test_a_service_with_keys_asks_for_one_and_gets_it(visit: Visit) -> None:
    page = visit()
    seen: list[str | None] = []

    def guard(route: Route) -> None:
        seen.append(route.request.headers.get("authorization"))
        if seen[-1] == "Bearer secret":
            route.continue_()
        else:
            _fulfill(route, 401, "unauthorized")

    expect(page.locator("#key")).to_be_hidden()
    page.route("**/v1/predictions", guard)
    page.get_by_role("button", name="Garden").click()
    check_problem(page, "key", "unauthorized, said the service")
    page.get_by_label("Access key").fill("secret")
    page.keyboard.press("Enter")
    wait_for_picture(page)
    assert seen[0] is None
    assert set(seen[1:]) == {"Bearer secret"}
    assert "$DSAPI_KEY" in page.locator("#curl").inner_text()
    assert "secret" not in page.locator("#curl").inner_text()


def test_a_model_that_fails_is_told_beside_the_other_ones_answer(visit: Visit) -> None:
    page = visit()

    def fail_colors(route: Route) -> None:
        answer = route.fetch().json()
        answer["predictions"]["colors"] = []
        answer["errors"] = {"colors": "the model failed on this picture"}
        route.fulfill(json=answer)

    page.route("**/v1/predictions", fail_colors)
    open_sample(page, "Garden")
    expect(page.locator("#current .problem:visible")).to_have_text(
        "the model failed on this picture"
    )
    assert page.locator("#current .labels li").count() == 3


def test_without_script_an_error_is_shown_beside_its_field(visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    page.get_by_label("File").set_input_files(file("halves.png", HALVES))
    page.get_by_label("X", exact=True).fill("1000")
    page.get_by_label("Y", exact=True).fill("10")
    page.get_by_role("button", name="Ask the models").click()
    check_problem(page, "point", "x must be between 0 and 639, got 1000")
    assert read_point(page) == ("1000", "10")
