"""What the page shows to developers, and the reference."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.actions import file, open_sample, read_answer, wait_for_answer, wait_for_picture
from tests.browser.conftest import Visit
from tests.pictures import encode, halves

SAMPLES = Path(__file__).parents[2] / "static/samples"
PHOTO = encode(halves(640, 480), "JPEG")


def run_in_shell(command: str, folder: Path) -> dict[str, object]:
    """Run what the page says, as somebody who copied it would."""
    if shutil.which("curl") is None:
        pytest.fail("install curl: this runs the command that the page shows")
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_curl_command_gets_the_same_answer(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Color card")
    page.get_by_label("Labels each").fill("2")
    page.fill("#x", "230")
    page.fill("#y", "330")
    wait_for_answer(page)
    page.get_by_label("themes").uncheck()
    expect(page.locator("#current .model")).to_have_count(1)
    answer = run_in_shell(page.locator("#curl").inner_text(), SAMPLES)
    shown = read_answer(page)
    for part in ("point", "predictions", "crops", "image"):
        assert answer[part] == shown[part]


@pytest.mark.parametrize("name", ['it\'s a; "photo", $HOME.png', "a b.png"])
def test_the_curl_command_survives_awkward_names(visit: Visit, tmp_path: Path, name: str) -> None:
    picture = encode(halves(640, 480))
    (tmp_path / name).write_bytes(picture)
    page = visit()
    page.get_by_label("Choose a picture").set_input_files(file(name, picture))
    wait_for_picture(page)
    answer = run_in_shell(page.locator("#curl").inner_text(), tmp_path)
    assert answer["predictions"] == read_answer(page)["predictions"]


def test_the_curl_command_for_a_path_on_the_server(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    page.get_by_label("Or its path on the server").fill("halves.png")
    page.get_by_role("button", name="Open").click()
    wait_for_picture(page)
    page.select_option("#unit", "percent")
    wait_for_answer(page)
    answer = run_in_shell(page.locator("#curl").inner_text(), tmp_path)
    assert answer["point"] == read_answer(page)["point"]


def test_the_command_is_copied(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    open_sample(page, "Garden")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#curl").inner_text()


def test_the_answer_is_shown_as_json(visit: Visit) -> None:
    page = visit()
    open_sample(page, "Garden")
    page.get_by_text("The answer as JSON").click()
    expect(page.get_by_role("region", name="The answer as JSON")).to_be_visible()
    assert json.loads(page.locator("#json").inner_text())["point"] == {"x": 480, "y": 360}


def test_the_reference_is_read_and_tried_without_leaving_it(visit: Visit) -> None:
    page = visit("/docs")
    expect(page.get_by_text("Themes and colors at one point")).to_be_visible()
    page.locator("#operations-models-listModels .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    answer = page.locator(".live-responses-table .response-col_status").last
    expect(answer).to_contain_text("200")


def try_out(page: Page, operation: str, *, media_type: str | None = None) -> Locator:
    """Open an operation of the reference to try it, with the default kind of body or another."""
    opened = page.locator(f"#operations-predictions-{operation}")
    opened.locator(".opblock-summary-control").click()
    opened.get_by_role("button", name="Try it out").click()
    kind = opened.get_by_label("Request content type")
    expect(kind).to_have_value("multipart/form-data")
    if media_type is not None:
        kind.select_option(media_type)
    return opened


def choose_photo(opened: Locator) -> None:
    """Choose the file to send."""
    opened.locator("input[type=file]").set_input_files(file("a.jpg", PHOTO, "image/jpeg"))


def execute(opened: Locator) -> Any:
    """Press Execute and read the answer, which has to be a 200."""
    with opened.page.expect_response(lambda response: response.request.method == "POST") as sent:
        opened.get_by_role("button", name="Execute").click()
    assert sent.value.status == 200, sent.value.text()
    status = opened.locator(".live-responses-table .response-col_status").last
    expect(status).to_contain_text("200")
    return sent.value.json()


def test_the_reference_sends_an_upload(visit: Visit) -> None:
    opened = try_out(visit("/docs"), "predict")
    choose_photo(opened)
    assert execute(opened)["point"] == {"x": 320, "y": 240}


def test_the_reference_sends_an_upload_with_parameters(visit: Visit) -> None:
    opened = try_out(visit("/docs"), "predict")
    choose_photo(opened)
    opened.get_by_placeholder("x", exact=True).fill("0")
    opened.get_by_placeholder("y", exact=True).fill("100")
    opened.locator("[data-param-name=unit] select").select_option("percent")
    assert execute(opened)["point"] == {"x": 0, "y": 479}


def test_the_reference_sends_an_upload_with_points(visit: Visit) -> None:
    opened = try_out(visit("/docs"), "predictBatch")
    choose_photo(opened)
    points = [result["point"] for result in execute(opened)["results"]]
    assert points == [{"x": 120, "y": 340}, {"x": 5, "y": 6}]


@pytest.mark.parametrize("media_type", ["image/*", "application/octet-stream"])
def test_the_reference_sends_a_picture_as_the_body(visit: Visit, media_type: str) -> None:
    opened = try_out(visit("/docs"), "predict", media_type=media_type)
    choose_photo(opened)
    assert execute(opened)["point"] == {"x": 320, "y": 240}


def test_the_reference_sends_a_picture_as_the_body_with_points(visit: Visit) -> None:
    opened = try_out(visit("/docs"), "predictBatch", media_type="image/*")
    choose_photo(opened)
    opened.get_by_placeholder("points", exact=True).fill("[[639, 479]]")
    assert execute(opened)["results"][0]["point"] == {"x": 639, "y": 479}


@pytest.mark.parametrize("operation", ["predict", "predictBatch"])
def test_the_reference_sends_its_example_as_json(visit: Visit, operation: str) -> None:
    opened = try_out(visit("/docs"), operation, media_type="application/json")
    sent = json.loads(opened.locator("textarea").input_value())
    answer = execute(opened)
    answered = [result["point"] for result in answer.get("results", [answer])]
    asked = sent.get("points") or [[sent["x"], sent["y"]]]
    assert answered == [{"x": x, "y": y} for x, y in asked]


def test_the_reference_sends_a_path_as_a_form(visit: Visit) -> None:
    opened = try_out(visit("/docs"), "predict", media_type="application/x-www-form-urlencoded")
    example = opened.locator("textarea")
    example.fill(example.input_value().replace("uploads/photo.jpg", "halves.png"))
    assert execute(opened)["point"] == {"x": 120, "y": 340}


def test_the_reference_has_a_heading_a_way_back_and_a_name_for_its_servers(visit: Visit) -> None:
    page = visit("/docs")
    expect(page.get_by_role("combobox", name="Server", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("dsapi: API reference")
    page.get_by_role("link", name="Tester's page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("dsapi")


def test_the_page_leads_to_the_reference(visit: Visit) -> None:
    page = visit()
    page.get_by_role("link", name="API reference").click()
    expect(page).to_have_title("dsapi: API reference")
    expect(page.get_by_text("Themes and colors at one point")).to_be_visible()
