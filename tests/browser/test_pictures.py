"""How a picture comes to the page, and what is shown of it."""

import re
from io import BytesIO
from pathlib import Path
from typing import Literal

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.browser.actions import (
    file,
    hand_over,
    on_picture,
    open_sample,
    read_answer,
    read_best,
    read_point,
    wait_for_answer,
    wait_for_picture,
)
from tests.browser.conftest import PHONE, Visit
from tests.pictures import encode, halves, plain

HALVES = encode(halves(640, 480))


def test_a_sample_shows_picture_point_crops_patch_bars_and_timing(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Garden")
    assert read_point(page) == ("480", "360")
    expect(page.locator("#marker")).to_be_visible()
    boxes = [
        [float(box.get_attribute(name) or "nan") for name in ("x", "y", "width", "height")]
        for box in page.locator("#boxes rect.line").all()
    ]
    assert boxes == [[96, 72, 768, 576], [476, 356, 9, 9]]
    expect(page.locator("#boxes .outside")).to_have_count(1)
    patch = page.locator("#current canvas.patch:visible")
    expect(patch).to_have_attribute("aria-label", "The 9 × 9 pixels that colors sees, enlarged")
    assert page.locator("#current .labels li").count() == 6
    steps = page.locator("#current .legend li").all_inner_texts()
    assert [step.split(" ")[0] for step in steps] == [
        "queue", "decode", "themes", "colors", "other", "way",
    ]  # fmt: skip


def test_a_chosen_file_appears_and_is_asked_about(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Choose a picture").set_input_files(file("halves.png", HALVES))
    wait_for_picture(page)
    assert read_answer(page)["image"] == {
        "width": 640, "height": 480, "format": "PNG", "bytes": len(HALVES),
    }  # fmt: skip
    assert page.evaluate("document.getElementById('picture').naturalWidth") == 640


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_dropped_or_pasted_file_is_asked_about(visit: Visit, event: str) -> None:
    page = visit()
    hand_over(page, event, "halves.png", HALVES)
    wait_for_picture(page)
    assert read_answer(page)["image"]["bytes"] == len(HALVES)


def test_of_several_files_the_first_is_used_and_that_is_said(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        """([first, second]) => {
          const dataTransfer = new DataTransfer();
          for (const bytes of [first, second]) {
            dataTransfer.items.add(new File([new Uint8Array(bytes)], "a.png"));
          }
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }""",
        [list(HALVES), list(encode(plain((0, 200, 0), 50, 40)))],
    )
    wait_for_picture(page)
    expect(page.get_by_text("Only the first of the 2 files is used.")).to_be_visible()
    assert read_answer(page)["image"]["width"] == 640
    open_sample(page, "Garden")
    expect(page.get_by_text("Only the first")).to_be_hidden()


@pytest.mark.parametrize("media_type", ["GIF", "WebP", "PNG", "AVIF"])
@pytest.mark.parametrize("frames", [1, 2])
def test_a_picture_that_moves_is_said_to_be_seen_in_its_first_frame(
    visit: Visit, media_type: str, frames: int
) -> None:
    others = [plain((0, 0, 200), 90, 60)] * (frames - 1)
    first = plain((200, 0, 0), 90, 60)
    data = encode(first, media_type, save_all=True, append_images=others, duration=100)
    page = visit()
    hand_over(page, "drop", "moving", data)
    wait_for_picture(page)
    words = page.get_by_text("the models see its first frame only")
    expect(words).to_be_visible(visible=frames == 2)
    assert read_best(page, "colors") == "red"


def test_text_is_dropped_into_a_field(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Garden")
    session = page.context.new_cdp_session(page)
    text = {"items": [{"mimeType": "text/plain", "data": "12"}], "dragOperationsMask": 1}
    page.fill("#x", "")
    box = page.locator("#x").bounding_box()
    assert box is not None
    where = {"x": box["x"] + 20, "y": box["y"] + 10, "data": text}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **where})
    expect(page.locator("#x")).to_have_value("12")
    expect(page.locator("#image-problem")).to_be_hidden()


def test_a_samples_thumbnail_is_not_dragged(visit: Visit) -> None:
    page = visit()
    for thumbnail in page.locator(".samples img").all():
        assert not thumbnail.evaluate("(image) => image.draggable")


def test_a_cell_of_a_spreadsheet_is_pasted_into_a_field_as_text(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Garden")
    page.evaluate(
        """(bytes) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([new Uint8Array(bytes)], "cell.png"));
          clipboardData.setData("text/plain", "12");
          const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true });
          document.getElementById("x").dispatchEvent(paste);
        }""",
        list(HALVES),
    )
    page.wait_for_timeout(300)
    assert read_answer(page)["image"]["format"] == "JPEG"


def test_another_picture_replaces_the_first_and_all_that_was_kept(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Garden")
    page.get_by_role("button", name="Keep this point").click()
    hand_over(page, "drop", "green.png", encode(plain((0, 200, 0), 50, 40)))
    expect(page.locator("#current h3")).to_have_text("Current point: 25, 20")
    assert read_best(page, "colors") == "green"
    assert read_point(page) == ("25", "20")
    expect(page.locator("#kept")).to_be_hidden()
    expect(page.locator(".pin")).to_have_count(0)


def test_a_photo_stored_on_its_side_is_shown_and_asked_upright(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Harbor at dusk")
    assert read_answer(page)["image"]["width"] == 720
    box = page.locator("#stage").bounding_box()
    assert box is not None
    assert box["height"] / box["width"] == pytest.approx(960 / 720, rel=0.01)


def test_the_patch_shows_the_pixels_that_the_model_sees(visit: Visit) -> None:
    page = visit()
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    page.mouse.click(*on_picture(page, 0.25, 0.5))
    wait_for_answer(page)
    colors = page.evaluate(
        """() => {
          const canvas = document.querySelector("#current canvas.patch:not([hidden])");
          return [...canvas.getContext("2d").getImageData(0, 0, 9, 9).data.slice(0, 3)];
        }"""
    )
    assert colors == [220, 20, 30]
    assert read_best(page, "colors") == "red"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_patch_of_a_transparent_picture_lies_on_white(
    visit: Visit, scheme: Literal["light", "dark"]
) -> None:
    page = visit(color_scheme=scheme)
    hand_over(page, "drop", "glass.png", encode(Image.new("RGBA", (40, 30), (0, 0, 0, 0))))
    wait_for_picture(page)
    patch = page.locator("#current canvas.patch:visible")
    with Image.open(BytesIO(patch.screenshot())) as shown:
        assert shown.convert("RGB").getpixel((60, 60)) == (255, 255, 255)


@pytest.mark.parametrize("size", [(8, 20), (20, 8)])
def test_no_patch_is_shown_where_the_picture_has_fewer_pixels_than_the_model_sees(
    visit: Visit, size: tuple[int, int]
) -> None:
    page = visit()
    hand_over(page, "drop", "narrow.png", encode(plain((0, 0, 250), *size)))
    wait_for_picture(page)
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#current canvas.patch:visible")).to_have_count(0)


def test_a_picture_the_browser_cannot_show_gets_a_frame_and_an_answer(visit: Visit) -> None:
    pillow_heif.register_heif_opener()
    heic = encode(halves(640, 480), "HEIF")
    page = visit()
    page.get_by_label("Choose a picture").set_input_files(file("photo.heic", heic, "image/heic"))
    wait_for_picture(page)
    expect(page.get_by_text("This browser cannot show the picture")).to_be_visible()
    expect(page.locator("#boxes")).to_be_hidden()
    assert read_answer(page)["image"]["format"] == "HEIC"
    page.mouse.click(*on_picture(page, 0.9, 0.5))
    wait_for_answer(page)
    assert read_best(page, "colors") == "blue"
    # Where one has tapped is seen, and the words stand out of the way of most taps.
    page.get_by_role("button", name="Keep this point").click()
    marker, pin = (page.locator(part).bounding_box() for part in ("#marker", ".pin"))
    assert marker is not None
    assert pin is not None
    for box in (marker, pin):
        center = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert center == pytest.approx(on_picture(page, 0.9, 0.5), abs=2)
    words = page.locator("#unseen").evaluate(
        """(words) => {
          const range = document.createRange();
          range.selectNodeContents(words);
          const { top, bottom } = words.getBoundingClientRect();
          return (range.getBoundingClientRect().bottom - top) / (bottom - top);
        }"""
    )
    assert words < 0.3


def _send_slowly(page: Page, name: str) -> None:
    """Drop a picture that takes some seconds to be sent."""
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000}
    network.send("Network.emulateNetworkConditions", slow)
    hand_over(page, "drop", name, encode(Image.effect_noise((400, 400), 80)))


def test_a_photo_on_its_way_is_said_to_be(visit: Visit) -> None:
    page = visit()
    _send_slowly(page, "large.png")
    expect(page.locator("#sending")).to_have_text(re.compile(r"Sending large\.png … \d\d %"))
    expect(page.locator("#sending")).to_be_visible()
    before = "getComputedStyle(document.getElementById('current'), '::before').content"
    assert page.evaluate(before) == "none"  # not "Nothing yet."
    wait_for_picture(page)
    expect(page.locator("#sending")).to_be_hidden()


def test_a_photo_with_a_long_name_on_its_way_is_not_wider_than_a_phone(visit: Visit) -> None:
    page = visit(**PHONE)
    _send_slowly(page, f"{'long' * 20}.png")
    expect(page.locator("#sending")).to_be_visible()
    expect(page.locator("#sending")).to_contain_text("Sending longlong")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_sample_that_comes_late_does_not_replace_a_picture_chosen_since(visit: Visit) -> None:
    page = visit()
    held: list[Route] = []
    page.route("**/samples/garden.jpg", lambda route: held.append(route))
    with page.expect_request("**/samples/garden.jpg"):
        page.get_by_role("button", name="Garden").click()
    hand_over(page, "drop", "halves.png", HALVES)
    wait_for_picture(page)
    held[0].continue_()
    page.wait_for_timeout(300)
    assert read_answer(page)["image"]["format"] == "PNG"
    assert page.evaluate("document.getElementById('picture').naturalWidth") == 640


def test_a_file_that_changes_after_it_was_chosen_stays_what_is_shown(
    visit: Visit, tmp_path: Path
) -> None:
    chosen = tmp_path / "halves.png"
    chosen.write_bytes(HALVES)
    page = visit()
    page.get_by_label("Choose a picture").set_input_files(chosen)
    wait_for_picture(page)
    chosen.write_bytes(encode(plain((0, 200, 0), 640, 480)))
    page.mouse.click(*on_picture(page, 0.25, 0.5))
    wait_for_answer(page)
    assert read_best(page, "colors") == "red"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_webp_that_the_browser_does_not_turn_upright_gets_a_frame(
    visit: Visit, orientation: int, order: str
) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x112] = orientation
    page = visit()
    hand_over(page, "drop", "turned.webp", encode(halves(640, 480), "WebP", exif=exif.tobytes()))
    wait_for_picture(page)
    expect(page.get_by_text("This browser cannot show the picture")).to_be_visible()
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#current canvas.patch:visible")).to_have_count(0)
    page.mouse.click(*on_picture(page, 0.2, 0.2))
    wait_for_answer(page)
    assert read_best(page, "colors") == ("blue" if orientation == 3 else "red")


def test_a_webp_that_lies_right_is_shown(visit: Visit) -> None:
    exif = Image.Exif()
    exif[0x112] = 1
    page = visit()
    hand_over(page, "drop", "upright.webp", encode(halves(640, 480), "WebP", exif=exif.tobytes()))
    wait_for_picture(page)
    expect(page.locator("#picture")).to_be_visible()


@pytest.mark.parametrize("size", [(4000, 100), (100, 4000)])
@pytest.mark.parametrize("look", [{}, PHONE])
def test_a_very_long_picture_can_be_tapped_exactly(
    visit: Visit, size: tuple[int, int], look: dict[str, object]
) -> None:
    page = visit(**look)
    hand_over(page, "drop", "long.png", encode(plain((0, 200, 0), *size)))
    wait_for_picture(page)
    box = page.locator("#stage").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 60
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("#marker")).to_be_in_viewport()
    page.mouse.click(*on_picture(page, 0.5025, 0.5025))
    wait_for_answer(page)
    for value, side in zip(read_point(page), size, strict=True):
        assert int(value) == pytest.approx(0.5025 * side, abs=1 + side / 1000)


def test_nothing_sticks_out_of_the_form(visit: Visit) -> None:
    page = visit()
    for width in (320, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        source, button = (page.locator(part).bounding_box() for part in (".source", "#open-path"))
        assert source is not None
        assert button is not None
        assert button["x"] + button["width"] <= source["x"] + source["width"]


def test_a_picture_on_the_server_gets_a_frame_to_tap(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Or its path on the server").fill("halves.png")
    page.get_by_role("button", name="Open").click()
    wait_for_picture(page)
    expect(page.get_by_text("The picture stays on the server")).to_be_visible()
    expect(page.locator("#marker")).to_be_visible()
    page.mouse.click(*on_picture(page, 0.1, 0.1))
    wait_for_answer(page)
    assert read_best(page, "colors") == "red"
    open_sample(page, "Garden")
    expect(page.get_by_label("Or its path on the server")).to_have_value("")
    expect(page.locator("#marker")).to_be_visible()


def test_enter_that_ends_a_composed_word_does_not_open_the_path_yet(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Or its path on the server").fill("写真")
    enter = {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True}
    page.locator("#path").dispatch_event("keydown", enter)
    page.wait_for_timeout(300)
    expect(page.locator("#path-problem")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#path-problem")).to_be_visible()


def test_a_tiny_picture_is_enlarged(visit: Visit) -> None:
    page = visit()
    hand_over(page, "drop", "tiny.png", encode(plain((0, 0, 250), 3, 2)))
    wait_for_picture(page)
    box = page.locator("#stage").bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert read_best(page, "colors") == "blue"


def _lacks_script(page: Page) -> bool:
    return page.locator(".script-only:visible").count() == 0


def test_without_script_the_form_is_posted_and_answered(visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    assert _lacks_script(page)
    page.get_by_label("File").set_input_files(file("halves.png", HALVES))
    page.get_by_label("X", exact=True).fill("600")
    page.get_by_label("Y", exact=True).fill("10")
    page.get_by_role("button", name="Ask the models").click()
    expect(page.get_by_text("At 600, 10 of a PNG with 640 × 480 pixels")).to_be_visible()
    assert page.locator(".swatch[data-label=blue]").count() == 2
    page.locator("#current").get_by_text("The answer as JSON").click()
    expect(page.get_by_role("region", name="The answer as JSON")).to_be_visible()
    expect(page).to_have_title("Answer · dsapi: what a picture shows at a point")
