"""How a point is chosen, and that answers come in order."""

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.actions import (
    hand_over,
    on_picture,
    read_answer,
    read_best,
    read_point,
    wait_for_answer,
    wait_for_picture,
)
from tests.browser.conftest import PHONE, Visit
from tests.pictures import encode, halves

HALVES = encode(halves(640, 480))


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page with a picture: left half red, right half blue."""
    page = visit()
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    return page


def test_a_click_asks_about_that_point(page: Page) -> None:
    page.mouse.click(*on_picture(page, 0.25, 0.5))
    wait_for_answer(page)
    x, y = map(int, read_point(page))
    assert abs(x - 160) <= 1
    assert abs(y - 240) <= 1
    assert read_best(page, "colors") == "red"
    page.mouse.click(*on_picture(page, 0.75, 0.5))
    wait_for_answer(page)
    assert read_best(page, "colors") == "blue"


def test_dragging_asks_along_the_way_and_ends_at_the_last_point(page: Page) -> None:
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.mouse.move(*on_picture(page, 0.1, 0.5))
    page.mouse.down()
    for step in range(1, 17):
        page.mouse.move(*on_picture(page, 0.1 + step * 0.05, 0.5))
        page.wait_for_timeout(20)
    page.mouse.up()
    wait_for_answer(page)
    assert 2 <= len(asked) <= 18
    assert abs(int(read_point(page)[0]) - 576) <= 1
    assert read_best(page, "colors") == "blue"


def test_dragging_beyond_the_edge_stays_inside(page: Page) -> None:
    page.mouse.move(*on_picture(page, 0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*on_picture(page, 1.4, -0.3), steps=4)
    page.mouse.up()
    wait_for_answer(page)
    assert read_point(page) == ("639", "0")


def test_another_picture_ends_the_dragging_of_the_point(page: Page) -> None:
    page.mouse.move(*on_picture(page, 0.25, 0.5))
    page.mouse.down()
    page.mouse.move(*on_picture(page, 0.3, 0.5))
    wait_for_answer(page)
    # The pointer moves on while the file is still being read, and when its picture is there.
    page.evaluate(
        """() => {
          const read = Blob.prototype.arrayBuffer;
          Blob.prototype.arrayBuffer = async function () {
            await new Promise((done) => setTimeout(done, 300));
            return read.call(this);
          };
        }"""
    )
    place = on_picture(page, 0.4, 0.5)
    hand_over(page, "paste", "other.png", encode(halves(320, 240)))
    page.mouse.move(*place)
    wait_for_picture(page)
    page.mouse.move(*on_picture(page, 0.8, 0.8))
    page.mouse.up()
    page.wait_for_timeout(200)
    assert read_point(page) == ("160", "120")


def test_a_late_answer_never_replaces_a_newer_one(page: Page) -> None:
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/predictions", hold_first)
    page.mouse.click(*on_picture(page, 0.25, 0.5))
    page.wait_for_timeout(100)
    page.mouse.click(*on_picture(page, 0.75, 0.5))
    wait_for_answer(page)
    assert len(held) == 1
    page.wait_for_timeout(300)
    assert read_best(page, "colors") == "blue"
    assert abs(read_answer(page)["point"]["x"] - 480) <= 1


@pytest.mark.parametrize(
    ("keys", "moved"),
    [
        (["ArrowRight"], (1, 0)),
        (["ArrowLeft", "ArrowUp"], (-1, -1)),
        (["Shift+ArrowDown", "ArrowDown"], (0, 11)),
    ],
)
def test_arrow_keys_move_the_point(page: Page, keys: list[str], moved: tuple[int, int]) -> None:
    page.locator("#stage").focus()
    for key in keys:
        page.keyboard.press(key)
    wait_for_answer(page)
    assert read_point(page) == (str(320 + moved[0]), str(240 + moved[1]))


def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    page = visit()

    def tab_to(words: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            name = page.evaluate(
                """() => { const on = document.activeElement;
                  return on.getAttribute("aria-label") || on.labels?.[0]?.textContent.trim()
                    || on.querySelector("img")?.alt || on.textContent.trim(); }"""
            )
            if words in name:
                return
        pytest.fail(f"no way by Tab to {words!r}")

    tab_to("Color card")
    page.keyboard.press("Enter")
    wait_for_picture(page)
    tab_to("The picture, 960 by 720 pixels")
    page.keyboard.press("Shift+ArrowLeft")
    wait_for_answer(page)
    assert int(read_point(page)[0]) < 480
    tab_to("X")
    page.keyboard.press("Control+a")
    page.keyboard.type("230")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type("330")
    wait_for_answer(page)
    assert read_best(page, "colors") == "green"
    tab_to("Keep this point")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Point 1: 230, 330")).to_be_visible()


def test_the_keyboard_goes_the_way_of_the_eye_in_one_column_and_in_two(page: Page) -> None:
    for width, after_picture in ((390, "Keep this point"), (1280, "X"), (390, "Keep this point")):
        page.set_viewport_size({"width": width, "height": 900})
        # The page learns of its new width a moment later.
        in_form = page.locator("form #answer")
        expect(in_form).to_have_count(int(width < 960))
        page.locator("#stage").focus()
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_accessible_name(after_picture)


def test_the_focus_stays_when_the_columns_change(page: Page) -> None:
    keep = page.get_by_role("button", name="Keep this point")
    keep.focus()
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        expect(keep).to_be_focused()


def test_typed_coordinates_are_asked_and_drawn(page: Page) -> None:
    page.fill("#x", "600")
    page.fill("#y", "20")
    wait_for_answer(page)
    assert read_best(page, "colors") == "blue"
    assert page.evaluate("document.getElementById('marker').style.left").startswith("93.8")


def test_a_comma_is_a_decimal_point(page: Page) -> None:
    page.fill("#x", "600,5")
    expect(page.locator("#current h3")).to_have_text("Current point: 600, 240")
    assert page.evaluate("document.getElementById('marker').style.left").startswith("93.8")
    assert "-F x=600.5" in page.locator("#curl").inner_text()


@pytest.mark.parametrize(
    ("unit", "x", "drawn"),
    [
        ("px", "0x10", False),
        ("px", "1e2", True),
        ("px", "640", False),
        ("percent", "100", True),
        ("percent", "100.5", False),
        ("percent", "-1", False),
    ],
)
def test_only_a_point_that_the_service_takes_is_drawn(
    page: Page, unit: str, x: str, drawn: bool
) -> None:
    page.select_option("#unit", unit)
    page.fill("#x", x)
    expect(page.locator("#marker")).to_be_visible(visible=drawn)
    expect(page.locator("#point-problem")).to_be_visible(visible=not drawn)


def test_percent_and_pixels_name_the_same_pixel(page: Page) -> None:
    page.fill("#x", "123")
    page.fill("#y", "45")
    page.select_option("#unit", "percent")
    wait_for_answer(page)
    assert read_answer(page)["point"] == {"x": 123, "y": 45}
    assert read_point(page) == ("19.297", "9.479")
    page.mouse.click(*on_picture(page, 0.75, 0.5))
    wait_for_answer(page)
    page.select_option("#unit", "px")
    wait_for_answer(page)
    assert abs(int(read_point(page)[0]) - 480) <= 1


def test_points_are_kept_side_by_side_and_removed(page: Page) -> None:
    for share in (0.25, 0.75):
        page.mouse.click(*on_picture(page, share, 0.5))
        wait_for_answer(page)
        page.get_by_role("button", name="Keep this point").click()
    cards = page.locator("#kept .card")
    assert [card.locator(".label").nth(0).inner_text() for card in cards.all()] == ["red", "blue"]
    assert page.locator(".pin").all_inner_texts() == ["1", "2"]
    page.get_by_role("button", name="Go there: point 1").click()
    wait_for_answer(page)
    assert read_best(page, "colors") == "red"
    page.get_by_role("button", name="Remove: point 1").click()
    assert page.locator(".pin").all_inner_texts() == ["2"]
    page.get_by_role("button", name="Remove: point 2").click()
    expect(page.locator("#kept")).to_be_hidden()


def test_models_and_the_number_of_labels_are_chosen(page: Page) -> None:
    page.get_by_label("themes").uncheck()
    expect(page.locator("#current .model")).to_have_count(1)
    page.get_by_label("Labels each").fill("2")
    expect(page.locator("#current .labels li")).to_have_count(2)
    assert list(read_answer(page)["predictions"]) == ["colors"]


def test_a_screen_reader_is_told_the_gist(page: Page) -> None:
    page.fill("#x", "600")
    expect(page.get_by_role("status")).to_contain_text("At 600, 240. themes: ")
    expect(page.get_by_role("status")).to_contain_text("colors: blue, 99.")


def test_what_a_screen_reader_was_told_goes_with_the_answer_it_was_about(page: Page) -> None:
    page.fill("#x", "600")
    expect(page.get_by_role("status")).to_contain_text("At 600, 240.")
    page.fill("#x", "900")
    expect(page.locator("#point-problem")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("")


def test_nothing_is_told_of_an_answer_that_an_error_replaced_meanwhile(page: Page) -> None:
    page.fill("#x", "600")
    wait_for_answer(page)
    page.get_by_role("checkbox", name="themes").uncheck()
    page.get_by_role("checkbox", name="colors").uncheck()
    page.wait_for_timeout(700)
    expect(page.get_by_role("status")).to_have_text("")


def test_a_screen_reader_is_told_that_an_answer_is_waited_for(page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/predictions", lambda route: held.append(route))
    page.fill("#x", "600")
    expect(page.get_by_role("status")).to_have_text("Waiting for the answer.")
    # A region that is busy is not read out.
    assert page.locator("[aria-busy] [role=status]").count() == 0
    held[0].continue_()
    expect(page.get_by_role("status")).to_contain_text("At 600, 240.")


def test_the_fields_of_the_point_say_where_it_is_counted_from(page: Page) -> None:
    for field in (page.locator("#x"), page.locator("#y")):
        hint = "From the top left corner of the upright picture."
        expect(field).to_have_accessible_description(hint)


def _slide(page: Page, points: list[tuple[float, float]]) -> None:
    """Put a finger down, move it along, and lift it."""
    session = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
    for kind, (x, y) in zip(kinds, points, strict=True):
        touched = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
        session.send("Input.dispatchTouchEvent", touched)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_finger_taps_and_drags_the_point_on_a_phone(visit: Visit) -> None:
    page = visit(**PHONE)
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    page.touchscreen.tap(*on_picture(page, 0.2, 0.5))
    wait_for_answer(page)
    assert read_best(page, "colors") == "red"
    _slide(page, [on_picture(page, 0.2 + step * 0.12, 0.5) for step in range(6)])
    wait_for_answer(page)
    assert abs(int(read_point(page)[0]) - 512) <= 4
    assert read_best(page, "colors") == "blue"


@pytest.mark.parametrize("pointer_type", ["undefined", "'mouse'"])
def test_a_finger_taps_where_a_click_does_not_tell_that_it_is_one(
    visit: Visit, pointer_type: str
) -> None:
    # As in Safari until 2024, and in the versions after that.
    page = visit(**PHONE)
    page.evaluate(
        f"""() => {{
          const {{ get }} = Object.getOwnPropertyDescriptor(PointerEvent.prototype, "pointerType");
          Object.defineProperty(PointerEvent.prototype, "pointerType", {{
            get() {{ return this.type === "click" ? {pointer_type} : get.call(this); }},
          }});
        }}"""
    )
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    page.touchscreen.tap(*on_picture(page, 0.2, 0.2))
    expect(page.locator("#current h3")).not_to_have_text("Current point: 320, 240")
    wait_for_answer(page)
    assert read_best(page, "colors") == "red"


def test_a_tap_right_beside_the_point_moves_it(visit: Visit) -> None:
    page = visit(**PHONE)
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    x, y = on_picture(page, 0.5, 0.5)
    page.touchscreen.tap(x - 18, y)
    expect(page.locator("#current h3")).not_to_have_text("Current point: 320, 240")
    wait_for_answer(page)
    assert read_best(page, "colors") == "red"


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_after_a_tap_a_phone_shows_the_labels_and_still_the_point(
    visit: Visit, motion: str
) -> None:
    page = visit(**PHONE, reduced_motion=motion)
    hand_over(page, "drop", "halves.png", encode(halves(480, 640)))
    wait_for_picture(page)
    page.touchscreen.tap(*on_picture(page, 0.2, 0.7))
    page.wait_for_function("() => scrollY > 100")
    expect(page.locator("#current .labels").last).to_be_in_viewport(ratio=1)
    expect(page.locator("#marker")).to_be_in_viewport(ratio=1)


def test_the_picture_stays_under_a_finger_that_taps_again_at_once(visit: Visit) -> None:
    page = visit(**PHONE)
    hand_over(page, "drop", "halves.png", encode(halves(480, 640)))
    wait_for_picture(page)
    place = on_picture(page, 0.2, 0.7)
    for _ in range(6):
        page.touchscreen.tap(*place)
        page.wait_for_timeout(300)
        assert page.evaluate("scrollY") == 0
    page.touchscreen.tap(*on_picture(page, 0.8, 0.7))
    wait_for_answer(page)
    assert read_best(page, "colors") == "blue"


def test_a_finger_beside_the_point_scrolls_the_page_and_leaves_the_point(visit: Visit) -> None:
    page = visit(**PHONE)
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    x, y = on_picture(page, 0.1, 0.9)
    _slide(page, [(x, y - 25 * step) for step in range(9)])
    page.wait_for_function("() => scrollY > 50")
    assert read_point(page) == ("320", "240")


def test_nothing_is_wider_than_a_phone(visit: Visit) -> None:
    page = visit(**PHONE)
    hand_over(page, "drop", "a picture with quite a long name, and spaces.png", HALVES)
    wait_for_picture(page)
    page.get_by_role("button", name="Keep this point").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.get_by_text("Take a photo")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("font_px", [24, 32])
def test_a_large_font_in_the_browsers_settings_enlarges_all_and_widens_nothing(
    visit: Visit, font_px: int, width: int
) -> None:
    page = visit(**PHONE | {"viewport": {"width": width, "height": 844}})
    sizes = {"fontSizes": {"standard": font_px, "fixed": font_px}}
    page.context.new_cdp_session(page).send("Page.setFontSizes", sizes)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    label = "getComputedStyle(document.querySelector('.tick')).fontSize"
    assert page.evaluate(label) == f"{font_px}px"
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    page.get_by_role("button", name="Keep this point").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
