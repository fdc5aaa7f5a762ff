"""What a tester does on the page and reads off it."""

from typing import Any

from playwright.sync_api import Page, expect


def open_sample(page: Page, title: str) -> None:
    """Pick a sample picture and wait for it and its answer."""
    page.get_by_role("button", name=title, exact=True).click()
    wait_for_picture(page)


def wait_for_picture(page: Page) -> None:
    """Wait until a picture and an answer about it are shown."""
    expect(page.locator("#stage")).to_be_visible()
    expect(page.locator("#current .card")).to_be_visible()
    wait_for_answer(page)


def wait_for_answer(page: Page) -> None:
    """Wait until the answer shown is about the point in the fields."""
    page.wait_for_function(
        """() => {
          const answer = JSON.parse(document.getElementById("json").textContent || "null");
          const value = (id) => Number(document.getElementById(id).value);
          if (!answer) return false;
          if (document.getElementById("unit").value === "px")
            return answer.point.x === value("x") && answer.point.y === value("y");
          const { width, height } = answer.image;
          return answer.point.x === Math.floor(value("x") * width / 100)
            && answer.point.y === Math.floor(value("y") * height / 100);
        }"""
    )


def read_answer(page: Page) -> Any:
    """Read the answer as JSON."""
    return page.evaluate('JSON.parse(document.getElementById("json").textContent)')


def read_point(page: Page) -> tuple[str, str]:
    """Read the fields X and Y."""
    return page.input_value("#x"), page.input_value("#y")


def read_best(page: Page, model: str) -> str:
    """Read the best label of a model off its bars."""
    section = page.locator("#current .model", has=page.get_by_role("heading", name=model))
    return section.locator(".label").first.inner_text()


def on_picture(page: Page, x: float, y: float) -> tuple[float, float]:
    """Find where in the window a point of the picture is, given in shares of its sides."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def file(name: str, data: bytes, media_type: str = "image/png") -> Any:
    """Make a file to choose."""
    return {"name": name, "mimeType": media_type, "buffer": data}


def hand_over(page: Page, event: str, name: str, data: bytes) -> None:
    """Drop or paste a file, as the browser tells a page."""
    _hand_over(page, event, name=name, bytes=list(data))


def hand_over_link(page: Page, event: str, link: str) -> None:
    """Drop or paste a link, likewise."""
    _hand_over(page, event, link=link)


def _hand_over(page: Page, event: str, **given: object) -> None:
    page.evaluate(
        """([event, { link, name, bytes }]) => {
          const given = new DataTransfer();
          if (link) given.setData("text/plain", link);
          else given.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
          const made = event === "drop"
            ? new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: given, bubbles: true });
          document.body.dispatchEvent(made);
        }""",
        [event, given],
    )
