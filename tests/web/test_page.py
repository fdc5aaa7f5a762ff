"""The page at ``/``, as a browser without script gets it."""

import re
from html.parser import HTMLParser

import pytest

from tests.conftest import Answer, RunningServer
from tests.pictures import encode, halves


class _Text(HTMLParser):
    """Collects what a reader sees, and the problems by the id of their field."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.problems: dict[str, str] = {}
        self._problem = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._problem = given.get("id") or "" if given.get("class") == "problem" else ""

    def handle_endtag(self, tag: str) -> None:
        self._problem = ""

    def handle_data(self, data: str) -> None:
        self.words += data.split()
        if self._problem and data.strip():
            self.problems[self._problem.removesuffix("-problem")] = data.strip()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read(page: Answer) -> _Text:
    """Read a page."""
    assert page.headers["Content-Type"].startswith("text/html")
    reader = _Text()
    reader.feed(page.body.decode())
    return reader


def post(server: RunningServer, *fields: tuple[str, str], image: bytes | None = None) -> Answer:
    """Post the form as a browser does: every field, the file possibly without one."""
    filename = "picture.png" if image else ""
    parts = [
        f'Content-Disposition: form-data; name="image"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + (image or b"")
    ]
    for name, value in fields:
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())
    body = b"".join(b"--form\r\n" + part + b"\r\n" for part in parts) + b"--form--\r\n"
    headers = {
        "Content-Type": "multipart/form-data; boundary=form",
        "Accept": "text/html,*/*;q=0.8",
    }
    return server.ask("POST", "/", body, headers)


def test_the_page_lists_the_models_and_needs_nothing_from_another_host(
    server: RunningServer,
) -> None:
    page = server.ask("GET", "/")
    assert page.status == 200
    text = read(page).text
    assert "themes" in text
    assert "colors" in text
    assert "http:" not in page.body.decode()
    assert "https:" not in page.body.decode()


def test_the_page_forbids_inline_script_other_hosts_and_framing(server: RunningServer) -> None:
    headers = server.ask("GET", "/").headers
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("file", "media_type"),
    [
        ("page.css", "text/css"),
        ("page.js", "text/javascript"),
        ("docs.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_script_style_and_icon_are_sent_as_what_they_are(
    server: RunningServer, file: str, media_type: str
) -> None:
    sent = server.ask("GET", f"/static/{file}")
    assert sent.status == 200
    assert sent.headers["Content-Type"].split(";")[0] == media_type
    assert sent.headers["X-Content-Type-Options"] == "nosniff"
    assert sent.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    # After an update nobody is to have the new page with the old script.
    assert sent.headers["Cache-Control"] == "no-cache"


def test_every_module_of_the_script_is_fetched_with_the_page(server: RunningServer) -> None:
    page = server.ask("GET", "/").body.decode()
    preloaded = re.findall(r'rel="modulepreload" href="static/(.+?)"', page)
    found, unread = {"page.js"}, ["page.js"]
    while unread:
        sent = server.ask("GET", f"/static/{unread.pop()}")
        assert sent.headers["Content-Type"].split(";")[0] == "text/javascript"
        imported = set(re.findall(r'^import .+ from "\./(.+)";$', sent.body.decode(), re.M))
        unread += imported - found
        found |= imported
    assert sorted(preloaded) == sorted(found - {"page.js"})


def test_the_template_is_not_sent_as_a_file(server: RunningServer) -> None:
    assert server.ask("GET", "/static/page.html").status == 404


def test_an_uploaded_picture_gets_labels_and_bars(server: RunningServer) -> None:
    page = post(server, ("x", "10"), ("y", "10"), ("unit", "px"), image=encode(halves()))
    assert page.status == 200
    assert "At 10, 10 of a PNG with 64 × 48 pixels" in read(page).text
    assert 'class="swatch" data-label="red"' in page.body.decode()
    assert 'rect width="99.' in page.body.decode()


def test_fields_left_empty_count_as_not_sent(server: RunningServer) -> None:
    page = post(server, ("path", ""), ("x", ""), ("y", ""), ("unit", "px"), image=encode(halves()))
    assert page.status == 200
    assert "At 32, 24" in read(page).text


def test_a_comma_is_a_decimal_point(server: RunningServer) -> None:
    page = post(server, ("x", "12,5"), ("y", "7,9"), image=encode(halves()))
    assert "At 12, 7" in read(page).text


def test_a_picture_is_found_by_its_path_on_the_server(server: RunningServer) -> None:
    (server.settings.image_roots[0] / "halves.png").write_bytes(encode(halves()))
    page = post(server, ("path", "halves.png"), ("x", "75"), ("y", "50"), ("unit", "percent"))
    assert page.status == 200
    assert "At 48, 24" in read(page).text


def test_the_ticked_models_are_asked(server: RunningServer) -> None:
    ticked = [("models", ""), ("models", "colors"), ("models", "themes")]
    page = post(server, *ticked, image=encode(halves()))
    assert [word for word in ("colors", "themes") if f">{word}</h3>" in page.body.decode()] == [
        "colors",
        "themes",
    ]
    page = post(server, ("models", "colors"), image=encode(halves()))
    assert ">themes</h3>" not in page.body.decode()


@pytest.mark.parametrize(
    ("fields", "image", "status", "place", "words"),
    [
        ((), None, 400, "image", "no picture came"),
        ((("x", "900"), ("y", "0")), encode(halves()), 400, "point", "x must be between 0 and 63"),
        ((("x", "5"),), encode(halves()), 400, "point", "x came without y"),
        ((), b"no picture", 415, "image", "no picture in a permitted format"),
        ((("top", "99"),), encode(halves()), 400, "top", "Labels each must be a whole"),
        ((("models", ""),), encode(halves()), 400, "models", "Tick at least one model."),
        ((("path", "a\0"),), None, 400, "answer", "path must name a file"),
        ((("path", "nowhere.jpg"),), None, 404, "path", "nowhere.jpg"),
        ((("path", "../secret.jpg"),), None, 403, "path", "below the image roots"),
        ((("x", "1"), ("x", "2")), encode(halves()), 400, "answer", "'x' came twice"),
    ],
)
def test_an_error_is_shown_beside_its_field(
    server: RunningServer,
    fields: tuple[tuple[str, str], ...],
    image: bytes | None,
    status: int,
    place: str,
    words: str,
) -> None:
    page = post(server, *fields, image=image)
    assert page.status == status
    problems = read(page).problems
    assert list(problems) == [place]
    assert words in problems[place]


def test_what_was_typed_is_shown_again_and_never_as_markup(server: RunningServer) -> None:
    page = post(server, ("x", '"><b>1'), ("y", "2"), image=encode(halves()))
    assert page.status == 400
    assert "<b>" not in page.body.decode()
    assert "&#34;&gt;&lt;b&gt;1" in page.body.decode()


def test_another_media_type_than_the_forms_own_is_refused_readably(server: RunningServer) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    page = server.ask("POST", "/", "x=1", headers)
    assert page.status == 400
    assert "multipart/form-data" in read(page).problems["answer"]
    del headers["Accept"]
    told = server.ask("POST", "/", "x=1", headers)  # a program
    assert told.headers["Content-Type"] == "application/problem+json"
    assert (told.status, told.json["code"]) == (400, "bad_request")
