"""What goes wrong is said in words, beside what caused it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.actions import (
    file,
    hand_over,
    hand_over_link,
    on_picture,
    open_sample,
    read_point,
    wait_for_answer,
    wait_for_picture,
)
from tests.browser.conftest import PHONE, Visit
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
    check_problem(page, "point", "y must be a finite number")


def test_half_a_point_is_no_mistake_yet(page: Page) -> None:
    page.fill("#x", "")
    page.wait_for_timeout(200)
    expect(page.locator("#point-problem")).to_be_hidden()
    page.keyboard.press("Enter")
    check_problem(page, "point", "y came without x")


def test_fields_emptied_to_type_another_point_stay_empty(page: Page) -> None:
    page.fill("#x", "")
    page.fill("#y", "")
    page.wait_for_timeout(300)
    page.locator("#y").press_sequentially("100")
    assert read_point(page) == ("", "100")
    page.fill("#x", "600")
    wait_for_answer(page)
    page.fill("#x", "")
    page.fill("#y", "")
    page.keyboard.press("Enter")
    expect(page.locator("#x")).to_have_value("320")


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


def _drop_large_file(page: Page) -> None:
    page.evaluate(
        """() => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(20 * 1024 * 1024 + 1)], "large.png"));
          const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true });
          document.body.dispatchEvent(drop);
        }"""
    )


def test_a_file_over_the_limit_is_told_without_being_sent(visit: Visit) -> None:
    page = visit()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    _drop_large_file(page)
    check_problem(
        page,
        "image",
        "large.png has 20.0 MB (20971521 bytes); "
        "the service takes at most 20.0 MB (20971520 bytes).",
    )
    assert "POST" not in sent


def test_a_file_over_the_limit_is_told_while_another_picture_is_asked_about(page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/predictions", lambda route: held.append(route))
    with page.expect_request("**/v1/predictions"):
        page.fill("#x", "10")
    _drop_large_file(page)
    check_problem(page, "image", "large.png has 20.0 MB")
    held[0].continue_()
    page.wait_for_timeout(300)
    check_problem(page, "image", "large.png has 20.0 MB")
    expect(page.locator("#stage")).to_be_hidden()
    expect(page.locator("#current .card")).to_have_count(0)


def test_a_dropped_folder_is_told(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    _drop_from_disk(page, tmp_path)
    check_problem(page, "image", "This is a folder")


def _drop_from_disk(page: Page, path: Path) -> None:
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_link_to_a_picture_is_told_to_bring_none_and_the_picture_stays(
    page: Page, event: str
) -> None:
    hand_over_link(page, event, "https://example.org/photo.jpg")
    check_problem(page, "image", "a link to one does not bring the picture along")
    expect(page.locator("#current h3")).to_have_text("Current point: 320, 240")
    page.fill("#x", "10")
    expect(page.locator("#image-problem")).to_be_hidden()


def test_a_file_that_cannot_be_read_is_told(visit: Visit) -> None:
    page = visit()
    page.evaluate("() => { Blob.prototype.arrayBuffer = async () => { throw new Error(); }; }")
    hand_over(page, "drop", "halves.png", HALVES)
    check_problem(page, "image", "halves.png cannot be read any more; choose it again")


def test_a_picture_that_only_the_browser_can_read_is_not_for_tapping(visit: Visit) -> None:
    page = visit()
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"/>'
    page.get_by_label("Choose a picture").set_input_files(
        file("drawing.svg", drawing, "image/svg+xml")
    )
    check_problem(page, "image", "no picture in a permitted format")
    expect(page.locator("#picture")).to_be_visible()
    assert page.locator("#stage").evaluate("(stage) => stage.inert")
    expect(page.get_by_text("Tap a point or drag it")).to_be_hidden()
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    assert not page.locator("#stage").evaluate("(stage) => stage.inert")


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere.jpg", "no such picture"), ("../secret.jpg", "below the image roots")],
)
def test_a_wrong_path_is_told_beside_the_path(visit: Visit, path: str, words: str) -> None:
    page = visit()
    page.get_by_label("Or its path on the server").fill(path)
    page.keyboard.press("Enter")
    check_problem(page, "path", words)


def test_an_empty_path_is_told_beside_the_path_and_the_picture_stays(page: Page) -> None:
    page.fill("#x", "600")
    wait_for_answer(page)
    page.get_by_role("button", name="Open").click()
    check_problem(page, "path", "Type the path of a picture on the server first")
    expect(page.locator("#picture")).to_be_visible()
    assert read_point(page) == ("600", "240")
    page.fill("#x", "10")
    expect(page.locator("#path-problem")).to_be_hidden()
    wait_for_answer(page)


def test_a_parameter_that_is_no_field_of_the_page_is_told_above_the_answer(page: Page) -> None:
    page.route("**/v1/predictions", lambda route: _fulfill(route, 400, "bad_parameter"))
    page.fill("#x", "10")
    check_problem(page, "answer", "bad_parameter, said the service")


def test_half_a_point_is_no_mistake_nor_still_the_one_before(page: Page) -> None:
    page.fill("#x", "left")
    check_problem(page, "point", "x must be a finite number, got 'left'")
    page.fill("#x", "")
    expect(page.locator(".problem:visible")).to_have_count(0)
    assert page.locator("[aria-invalid]").count() == 0


def test_labels_each_left_empty_are_five_again(page: Page) -> None:
    page.get_by_label("Labels each").fill("1.5")
    check_problem(page, "top", "Labels each must be a whole number between 1 and 50.")
    page.get_by_label("Labels each").fill("")
    expect(page.locator(".problem:visible")).to_have_count(0)
    expect(page.locator("#current h3")).to_have_text("Current point: 320, 240")


def test_no_model_and_too_many_labels_are_told_beside_the_models(page: Page) -> None:
    page.get_by_label("Labels each").fill("99")
    check_problem(page, "top", "Labels each must be a whole number between 1 and 50.")
    for model in page.get_by_role("checkbox").all():
        expect(model).not_to_have_attribute("aria-invalid", "true")
    page.get_by_label("Labels each").fill("5")
    wait_for_answer(page)
    for name in ("themes", "colors"):
        page.get_by_role("checkbox", name=name).uncheck()
    check_problem(page, "models", "Tick at least one model")
    expect(page.get_by_label("Labels each")).not_to_have_attribute("aria-invalid", "true")


def test_labels_each_that_are_no_number_are_not_five(page: Page) -> None:
    page.get_by_label("Labels each").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("e5")
    check_problem(page, "top", "Labels each must be a whole number")


def test_no_model_stays_told_when_the_request_under_way_ends(page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/predictions", lambda route: held.append(route))
    with page.expect_request("**/v1/predictions"):
        page.get_by_role("checkbox", name="themes").uncheck()
    page.get_by_role("checkbox", name="colors").uncheck()
    check_problem(page, "models", "Tick at least one model")
    held[0].continue_()
    page.wait_for_timeout(300)
    check_problem(page, "models", "Tick at least one model")
    expect(page.locator("#current h3")).to_have_text("Last answer: 320, 240")
    page.unroute("**/v1/predictions")
    page.get_by_role("checkbox", name="colors").check()
    expect(page.locator("#current h3")).to_have_text("Current point: 320, 240")
    expect(page.locator("#models-problem")).to_be_hidden()


def test_a_service_that_is_gone_is_told_and_asked_again(visit: Visit) -> None:
    page = visit()
    page.route("**/v1/predictions", lambda route: route.fulfill(status=404, body="<h1>Bad"))
    page.get_by_role("button", name="Garden").click()
    expect(page.locator("#answer-problem")).to_have_text(
        "Something between here and the service answered with status 404."
    )
    page.unroute("**/v1/predictions")
    page.get_by_role("button", name="Try again").click()
    wait_for_picture(page)
    expect(page.locator("#answer-problem")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_proxy_that_takes_less_than_the_service_is_told_beside_the_picture(visit: Visit) -> None:
    page = visit()
    page.route("**/v1/predictions", lambda route: route.fulfill(status=413, body="<h1>Too large"))
    page.get_by_role("button", name="Garden").click()
    check_problem(page, "image", "The picture is too large for the way there")


def test_a_service_that_cannot_be_reached_is_told(page: Page) -> None:
    page.evaluate(
        """() => {
          XMLHttpRequest.prototype.send = function () { this.dispatchEvent(new Event("error")); };
        }"""
    )
    page.fill("#x", "10")
    check_problem(page, "answer", "The service cannot be reached. Is it running?")


def test_a_picture_that_was_too_long_on_its_way_is_told_without_the_name_of_a_setting(
    page: Page,
) -> None:
    page.route("**/v1/predictions", lambda route: _fulfill(route, 504, "deadline_exceeded"))
    page.fill("#x", "10")
    check_problem(page, "answer", "On a slow connection a smaller picture helps.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_full_service_is_told_without_the_name_of_a_setting(page: Page) -> None:
    page.route("**/v1/predictions", lambda route: _fulfill(route, 503, "overloaded"))
    page.fill("#x", "10")
    check_problem(page, "answer", "The service is busy. Try again in a few seconds.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


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


def test_a_failed_tap_is_told_within_the_window_of_a_phone(visit: Visit) -> None:
    page = visit(**PHONE)
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    page.route("**/v1/predictions", lambda route: _fulfill(route, 429, "rate_limited"))
    page.touchscreen.tap(*on_picture(page, 0.2, 0.5))
    expect(page.locator("#answer-problem")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Try again")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("way", ["sample", "late picture", "click"])
def test_the_question_for_a_key_is_within_the_window(visit: Visit, way: str) -> None:
    page = visit(viewport={"width": 1440, "height": 900})
    if way == "late picture":  # it appears when the question is there, and moves it
        page.evaluate(
            """() => {
              const decode = HTMLImageElement.prototype.decode;
              HTMLImageElement.prototype.decode = async function () {
                await new Promise((done) => setTimeout(done, 500));
                return decode.call(this);
              };
            }"""
        )
    if way == "click":
        open_sample(page, "Garden")
    page.route("**/v1/predictions", lambda route: _fulfill(route, 401, "unauthorized"))
    if way == "click":
        page.mouse.click(*on_picture(page, 0.2, 0.5))
    else:
        page.get_by_role("button", name="Garden").click()
    expect(page.locator("#stage")).to_be_visible()
    expect(page.locator("#key-problem")).to_be_in_viewport(ratio=1)
    expect(page.locator("#key")).to_be_in_viewport(ratio=1)


def test_a_problem_stays_told_when_the_picture_appears_late(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        """() => {
          const decode = HTMLImageElement.prototype.decode;
          HTMLImageElement.prototype.decode = async function () {
            await new Promise((done) => { window.goOn = done; });
            return decode.call(this);
          };
        }"""
    )
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    page.fill("#x", "900")
    check_problem(page, "point", "x must be between 0 and 639, got 900")
    page.evaluate("window.goOn()")
    expect(page.locator("#picture")).to_be_visible()
    check_problem(page, "point", "x must be between 0 and 639, got 900")
    expect(page.locator("#current h3")).to_have_text("Last answer: 320, 240")


def test_a_key_that_cannot_be_sent_is_told_beside_the_key(page: Page) -> None:
    page.route("**/v1/predictions", lambda route: _fulfill(route, 401, "unauthorized"))
    page.fill("#x", "10")
    check_problem(page, "key", "This service asks for an access key")
    page.get_by_label("Access key").fill("ключ")
    page.keyboard.press("Enter")
    check_problem(page, "key", "This key is not valid")


def test_a_picture_that_the_browser_cannot_show_is_explained_after_trying_again(
    visit: Visit,
) -> None:
    page = visit()
    page.route("**/v1/predictions", lambda route: _fulfill(route, 429, "rate_limited"))
    tiff = encode(halves(640, 480), "TIFF")
    page.get_by_label("Choose a picture").set_input_files(file("photo.tiff", tiff, "image/tiff"))
    check_problem(page, "answer", "rate_limited, said the service")
    page.unroute("**/v1/predictions")
    page.get_by_role("button", name="Try again").click()
    wait_for_picture(page)
    expect(page.get_by_text("This browser cannot show the picture")).to_be_visible()


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
    check_problem(page, "key", "This service asks for an access key. Type yours here.")
    page.get_by_label("Access key").fill("wrong")
    page.keyboard.press("Enter")
    check_problem(page, "key", "unauthorized, said the service")
    page.get_by_label("Access key").fill("secret")
    page.keyboard.press("Enter")
    wait_for_picture(page)
    assert seen[0] is None
    assert set(seen[1:]) == {"Bearer wrong", "Bearer secret"}
    assert "$DSAPI_KEY" in page.locator("#curl").inner_text()
    assert "secret" not in page.locator("#curl").inner_text()
    page.reload()
    expect(page.get_by_label("Access key")).to_have_value("secret")
    open_sample(page, "Garden")
    assert seen[-1] == "Bearer secret"


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


def test_a_model_without_a_likely_label_is_told_to_have_none(visit: Visit) -> None:
    page = visit()

    def leave_out_colors(route: Route) -> None:
        answer = route.fetch().json()
        answer["predictions"]["colors"] = []
        route.fulfill(json=answer)

    page.route("**/v1/predictions", leave_out_colors)
    open_sample(page, "Garden")
    colors = page.locator("#current .model", has=page.get_by_role("heading", name="colors"))
    expect(colors.get_by_role("listitem")).to_have_text("no label")


def test_without_script_no_model_is_told_beside_the_models(visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    page.get_by_label("File").set_input_files(file("halves.png", HALVES))
    for name in ("themes", "colors"):
        page.get_by_role("checkbox", name=name).uncheck()
    page.get_by_role("button", name="Ask the models").click()
    check_problem(page, "models", "Tick at least one model.")
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
    expect(page.get_by_label("Labels each")).not_to_have_attribute("aria-invalid", "true")


def test_without_script_an_error_is_shown_beside_its_field(visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    page.get_by_label("File").set_input_files(file("halves.png", HALVES))
    page.get_by_label("X", exact=True).fill("1000")
    page.get_by_label("Y", exact=True).fill("10")
    page.get_by_role("button", name="Ask the models").click()
    check_problem(page, "point", "x must be between 0 and 639, got 1000")
    assert read_point(page) == ("1000", "10")
