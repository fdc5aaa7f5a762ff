"""The example application of the integration guide, tapped by a person."""

from playwright.sync_api import Browser, expect

from tests.browser.conftest import PHONE
from tests.client.gallery import running_gallery
from tests.conftest import RunningServer
from tests.pictures import encode, halves


def test_a_tap_on_a_picture_that_is_shown_smaller_is_about_what_was_tapped(
    browser: Browser, server: RunningServer
) -> None:
    with running_gallery(server.port) as gallery:
        context = browser.new_context(**PHONE)
        page = context.new_page()
        page.goto(
            f"http://127.0.0.1:{gallery.port}/tap?name={gallery.upload(encode(halves(1600, 400)))}"
        )
        picture = page.get_by_role("img", name="Your picture")
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] < 400
        picture.tap(position={"x": 0.75 * box["width"], "y": box["height"] / 2})
        expect(page.get_by_text("At 75 %, 50 %: our suggestions")).to_be_visible()
        assert page.locator("select[name=colors] option").first.inner_text() == "blue"
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved: ")).to_be_visible()
        context.close()
