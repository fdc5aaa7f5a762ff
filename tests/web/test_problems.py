"""Every row of the contract's table of errors, and the shape they all share."""

import base64
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from dsapi.settings import load_settings
from tests.conftest import Answer, RunningServer, StartServer
from tests.pictures import encode, halves, photo

PICTURE = encode(halves())
JPEG = encode(photo(400, 300), "JPEG")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UPLOAD = {"Content-Type": "multipart/form-data; boundary=b"}
UPLOAD_ELSEWHERE = (
    b'--b\r\nContent-Disposition: form-data; name="%b"; filename="1"\r\n\r\n' + JPEG + b"\r\n--b--"
)
UPLOAD_EMPTY = b'--b\r\nContent-Disposition: form-data; name="image"; filename="1"\r\n\r\n\r\n--b--'
UPLOAD_IN_PARTS = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 33 + b"--b--"
UPLOAD_TWICE = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="1"\r\n\r\n1\r\n' * 2 + b"--b--"
)


def image_json(**fields: object) -> str:
    return json.dumps({"image": base64.b64encode(PICTURE).decode(), **fields})


def gif_as(format: str) -> bytes:
    return encode(Image.new("RGB", (4, 4)), format)


@dataclass(frozen=True)
class Case:
    """A request, and the error that it gets."""

    status: int
    code: str
    told: str
    body: bytes | str = PICTURE
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/predictions"
    method: str = "POST"


CASES = {
    "x outside": Case(400, "bad_point", "x must be between 0 and 63, got 64", query="x=64&y=0"),
    "y outside": Case(400, "bad_point", "y must be between 0 and 47, got 48", query="x=0&y=48"),
    "negative": Case(400, "bad_point", "got -0.5", query="x=-0.5&y=0"),
    "text": Case(400, "bad_point", "x must be a finite number, got 'left'", query="x=left&y=0"),
    "underscore": Case(400, "bad_point", "x must be a finite number, got '1_0'", query="x=1_0&y=0"),
    "underscore JSON": Case(400, "bad_point", "got '1_0'", image_json(x=1, y="1_0"), "", JSON),
    "empty": Case(400, "bad_point", "x must be", query="x=&y=0"),
    "NaN": Case(400, "bad_point", "x must be a finite number", query="x=nan&y=0"),
    "infinite": Case(400, "bad_point", "finite", query="x=1&y=inf"),
    "JSON NaN": Case(400, "bad_point", "finite", '{"image": "AA==", "x": NaN, "y": 1}', "", JSON),
    "JSON true": Case(
        400, "bad_point", "x must be a finite number, got True", image_json(x=True, y=1), "", JSON
    ),
    "huge": Case(
        400, "bad_point", "a finite number, got 1000", image_json(x=10**400, y=1), "", JSON
    ),
    "longer": Case(
        400,
        "bad_point",
        "number, got '1111",
        f'{{"path": "a", "x": {"1" * 5000}, "y": 1}}',
        "",
        JSON,
    ),
    "x alone": Case(400, "bad_point", "x came without y", query="x=1"),
    "y alone": Case(400, "bad_point", "y came without x", query="y=1"),
    "percent": Case(400, "bad_point", "0 and 100 percent", query="x=100.1&y=0&unit=percent"),
    "percent by a hair": Case(
        400, "bad_point", "got 100.00000000001", query="x=100.00000000001&y=0&unit=percent"
    ),
    "unknown": Case(400, "bad_parameter", "unknown parameter 'units'", query="units=percent"),
    "capitals": Case(400, "bad_parameter", "unknown parameter 'X'", query="X=1&Y=2"),
    "unit": Case(400, "bad_parameter", "'px' or 'percent'", query="unit=cm"),
    "unknown long": Case(400, "bad_parameter", f"'{'u' * 58}…; there are", query="u" * 900 + "=1"),
    "top 0": Case(400, "bad_parameter", "whole number between 1 and 50, got '0'", query="top=0"),
    "top 51": Case(400, "bad_parameter", "whole number between 1 and 50, got '51'", query="top=51"),
    "top 1.5": Case(400, "bad_parameter", "between 1 and 50, got '1.5'", query="top=1.5"),
    "top long": Case(
        400, "bad_parameter", f"between 1 and 50, got '{'9' * 58}…", query=f"top={'9' * 5000}"
    ),
    "top longer": Case(
        400, "bad_parameter", "and 50, got '999", f'{{"path": "a", "top": {"9" * 5000}}}', "", JSON
    ),
    "top underscore": Case(400, "bad_parameter", "and 50, got '1_0'", query="top=1_0"),
    "probability": Case(
        400,
        "bad_parameter",
        "min_probability must be a number between 0 and 1, got '1.1'",
        query="min_probability=1.1",
    ),
    "probability NaN": Case(
        400, "bad_parameter", "between 0 and 1, got 'nan'", query="min_probability=nan"
    ),
    "probability underscore": Case(
        400, "bad_parameter", "between 0 and 1, got '0.0_1'", query="min_probability=0.0_1"
    ),
    "model": Case(400, "bad_parameter", "themes, colors; got 'shapes'", query="models=shapes"),
    "empty list of models": Case(
        400, "bad_parameter", "models must be one or more names", image_json(models=[]), "", JSON
    ),
    "model number": Case(
        400, "bad_parameter", "models.0 must be a name, got 1", image_json(models=[1]), "", JSON
    ),
    "no model": Case(400, "bad_parameter", "models must be among", query="models="),
    "twice": Case(400, "bad_parameter", "'x' came twice", query="x=1&x=2&y=1"),
    "both places": Case(400, "bad_parameter", "'x' came twice", image_json(x=1, y=1), "x=2", JSON),
    "too many": Case(
        400, "bad_request", "malformed or has over 32 fields", query="&".join(["top=1"] * 33)
    ),
    "no UTF-8": Case(400, "bad_request", "query string is malformed", query="x=%ff&y=1"),
    "empty body": Case(400, "missing_image", "the body is empty", b""),
    "empty JSON": Case(400, "missing_image", "the body is empty", b"", "", JSON),
    "empty form": Case(400, "missing_image", "the body is empty", b"", "", FORM),
    "empty upload": Case(400, "missing_image", "the body is empty", b"", "", UPLOAD),
    "no picture": Case(400, "missing_image", "no picture came", "{}", "", JSON),
    "no field": Case(400, "missing_image", "no picture came", "x=1&y=1", "", FORM),
    "two": Case(400, "missing_image", "both image and path", image_json(path="a"), "", JSON),
    "two raw": Case(400, "missing_image", "path came in the query", query="path=a.png"),
    "two raw images": Case(400, "missing_image", "image came in the query", query="image=AA=="),
    "path in the query": Case(
        400, "missing_image", "path came in the query", "", "path=halves.png", FORM
    ),
    "base64 in a form": Case(
        400, "missing_image", "or as base64 in JSON", "image=iVBORw0KGgo=", "", FORM
    ),
    "two places": Case(
        400, "missing_image", "image came in the query", image_json(), "image=AA==", JSON
    ),
    "empty base64": Case(400, "missing_image", "0 bytes", '{"image": ""}', "", JSON),
    "base64": Case(400, "bad_request", "no valid base64", '{"image": "?"}', "", JSON),
    "base64 cut": Case(400, "bad_request", "no valid base64", '{"image": "AAA"}', "", JSON),
    "data URL": Case(400, "bad_request", "data:", '{"image": "data:image/png,x"}', "", JSON),
    "image number": Case(400, "bad_request", "must be base64", '{"image": 5}', "", JSON),
    "path number": Case(400, "bad_parameter", "path must be text", '{"path": 5}', "", JSON),
    "JSON": Case(400, "bad_request", "cannot be read as JSON: Expecting", "{", "", JSON),
    "JSON place": Case(
        400, "bad_request", "line 1 column 14 (char 13)", '{"path": "a" "x": 5}', "", JSON
    ),
    "JSON of values": Case(
        400, "bad_request", "read as JSON: it has over 10000 commas", "[" + "1," * 10_001, "", JSON
    ),
    "JSON text": Case(400, "bad_request", "read as JSON: 'utf-8'", b'{"path": "\xff"}', "", JSON),
    "JSON list": Case(400, "bad_request", "JSON object", "[]", "", JSON),
    # Python 3.13 gets to the end of it, and misses the brackets that close.
    "JSON nested": Case(400, "bad_request", "cannot be read as JSON", "[" * 9_000, "", JSON),
    "JSON twice": Case(400, "missing_image", "'path' came twice", '{"path":1,"path":2}', "", JSON),
    "JSON null": Case(400, "missing_image", "no picture", '{"image": null}', "", JSON),
    "JSON null unknown": Case(400, "bad_parameter", "'unti'", image_json(unti=None), "", JSON),
    "JSON null alone": Case(400, "bad_point", "x came without", image_json(x=1, y=None), "", JSON),
    "JSON null inside": Case(
        400,
        "bad_point",
        "points.0.y must be a finite number, got None",
        image_json(points=[[1, None]]),
        "",
        JSON,
        path="/v1/predictions/batch",
    ),
    "JSON null for points": Case(
        400,
        "bad_point",
        "points is missing",
        image_json(points=None),
        "",
        JSON,
        path="/v1/predictions/batch",
    ),
    "JSON surrogate": Case(
        400, "bad_parameter", "no text", '{"image": "AA==", "\\ud800": 1}', "", JSON
    ),
    "JSON surrogate twice": Case(
        400, "bad_parameter", "no text", '{"\\ud800": 1, "\\ud800": 2}', "", JSON
    ),
    "JSON surrogate inside": Case(
        400, "bad_parameter", "no text", '{"points": [{"\\ud800": 1}]}', "", JSON
    ),
    "upload of a file": Case(
        400,
        "bad_parameter",
        "unknown parameter 'file'; there are image, path,",
        UPLOAD_ELSEWHERE.replace(b"%b", b"file"),
        "",
        UPLOAD,
    ),
    "upload of a list": Case(
        400, "bad_parameter", "'image[]'", UPLOAD_ELSEWHERE.replace(b"%b", b"image[]"), "", UPLOAD
    ),
    "upload as x": Case(
        400, "bad_request", "x is not UTF-8", UPLOAD_ELSEWHERE.replace(b"%b", b"x"), "", UPLOAD
    ),
    "upload of nothing": Case(400, "missing_image", "0 bytes", UPLOAD_EMPTY, "", UPLOAD),
    "too many parts": Case(400, "bad_request", "segment count", UPLOAD_IN_PARTS, "", UPLOAD),
    "two images": Case(400, "missing_image", "'image' came twice", UPLOAD_TWICE, "", UPLOAD),
    "type of mail": Case(
        400, "bad_parameter", "unknown", JPEG, "a=1", {"Content-Type": "=?utf-8?q?=ff?="}
    ),
    "boundary of mail": Case(
        400,
        "bad_request",
        "",
        b"x",
        "",
        {"Content-Type": 'multipart/form-data; boundary="=?utf-8?q?=e2=82=ac?="'},
    ),
    "form of bytes": Case(400, "bad_request", "Content-Type: image/jpeg", JPEG, "", FORM),
    "no boundary": Case(
        400, "bad_request", "boundary", b"x", "", {"Content-Type": "multipart/form-data"}
    ),
    "multipart": Case(400, "bad_request", "malformed", b"--b\r\nnonsense", "", UPLOAD),
    "path off roots": Case(403, "path_forbidden", "below", '{"path": "../x"}', "", JSON),
    "path absolute": Case(403, "path_forbidden", "below", '{"path": "/etc/passwd"}', "", JSON),
    "path nowhere": Case(404, "path_not_found", "no such picture", '{"path": "no"}', "", JSON),
    "path folder": Case(404, "path_not_found", "no such picture", '{"path": "."}', "", JSON),
    "path empty": Case(400, "bad_parameter", "path must name", '{"path": ""}', "", JSON),
    "path NUL": Case(400, "bad_parameter", "path must name", '{"path": "a\\u0000"}', "", JSON),
    "nowhere": Case(404, "not_found", "there is no '/v1/nothing'", path="/v1/nothing"),
    "nowhere long": Case(404, "not_found", f"'/{'n' * 57}…", path=f"/{'n' * 5000}"),
    "nowhere among files": Case(
        404, "not_found", "'/static/nnn", path=f"/static/{'n' * 5000}", method="GET", body=b""
    ),
    "method long": Case(405, "method_not_allowed", f"not '{'M' * 58}…", method="M" * 5000),
    "twice long": Case(400, "bad_parameter", "… came twice", query=f"{'n' * 900}=1&" * 2),
    "out of the files": Case(
        404,
        "not_found",
        "there is no '/static/..%2F..%2Fx.js'",
        path="/static/..%2f..%2fx.js",
        method="GET",
        body=b"",
    ),
    "two slashes": Case(404, "not_found", "no '/v1//predictions'", path="/v1//predictions"),
    "two slashes at the end": Case(
        404, "not_found", "no '/v1/models//'", path="/v1/models//", method="GET", body=b""
    ),
    "two slashes to a file": Case(
        404, "not_found", "'/static//page", path="/static//page.css", method="GET", body=b""
    ),
    "below": Case(404, "not_found", "there is no", path="/v1/predictions/more"),
    "two slashes after a letter": Case(404, "not_found", "no '/ü//x'", path="/%C3%BC//x"),
    "slash": Case(404, "not_found", "there is no '/v1/predictions/'", path="/v1/predictions/"),
    "translated": Case(404, "not_found", "no '/openapi_json'", path="/openapi_json", method="GET"),
    "parameter of health": Case(
        400,
        "bad_parameter",
        "takes no parameters, got 'x=1'",
        path="/health/live",
        method="GET",
        body=b"",
        query="x=1",
    ),
    "parameter of the page": Case(
        400, "bad_parameter", "takes no parameters", path="/", method="GET", body=b"", query="x=1"
    ),
    "method": Case(405, "method_not_allowed", "takes POST", method="GET", body=b""),
    "method 2": Case(405, "method_not_allowed", "GET, HEAD", path="/v1/models"),
    "method of a file": Case(
        405, "method_not_allowed", "takes GET, HEAD", path="/static/page.js", method="PUT"
    ),
    "method of an asset": Case(
        405, "method_not_allowed", "", path="/docs/assets/swagger-ui.css", method="DELETE"
    ),
    "form of the page": Case(400, "bad_request", "its own form", "a=1", "", FORM, path="/"),
    "strange": Case(405, "method_not_allowed", "not 'BREW'", method="BREW"),
    "text file": Case(415, "unsupported_media_type", "permitted format", b"hello" * 9),
    "PDF": Case(415, "unsupported_media_type", "permitted format", b"%PDF-1.7\n" + b"x" * 99),
    "ICO": Case(415, "unsupported_media_type", "permitted format", gif_as("ICO")),
    "EPS": Case(415, "unsupported_media_type", "permitted format", gif_as("EPS")),
    "truncated": Case(422, "unreadable_image", "JPEG picture is truncated", JPEG[:3000]),
    "head only": Case(422, "unreadable_image", "PNG picture is truncated", b"\x89PNG\r\n\x1a\n"),
    "batch of none": Case(
        400,
        "bad_point",
        "points must be a JSON list [[x, y], …] of 1 to 64 points, got '[]'",
        query="points=[]",
        path="/v1/predictions/batch",
    ),
    "batch of 65": Case(
        400,
        "bad_point",
        "of 1 to 64 points, got 65 points",
        image_json(points=[[0, 0]] * 65),
        "",
        JSON,
        path="/v1/predictions/batch",
    ),
    "batch of 65 in text": Case(
        400,
        "bad_point",
        "of 1 to 64 points, got 65 points",
        query=f"points={[[0, 0]] * 65}".replace(" ", ""),
        path="/v1/predictions/batch",
    ),
    "batch without": Case(
        400, "bad_point", "points is missing: it must be a JSON list", path="/v1/predictions/batch"
    ),
    "batch of one number": Case(
        400,
        "bad_point",
        "points.0 must be [x, y], got [1]",
        query="points=[[1]]",
        path="/v1/predictions/batch",
    ),
    "batch of three numbers": Case(
        400,
        "bad_point",
        "points.1 must be [x, y], got [1, 2, 3]",
        query="points=[[1,2],[1,2,3]]",
        path="/v1/predictions/batch",
    ),
    "batch of text": Case(
        400, "bad_point", "JSON list", query="points=5,5", path="/v1/predictions/batch"
    ),
    "batch of a deep list": Case(
        400,
        "bad_point",
        "points must be a JSON list",
        json.dumps({"path": "a", "points": "[" * 9000}),
        "",
        JSON,
        path="/v1/predictions/batch",
    ),
    "batch of an underscore": Case(
        400,
        "bad_point",
        "points.0.y must be a finite number, got '1_0'",
        query='points=[[1,"1_0"]]',
        path="/v1/predictions/batch",
    ),
    "batch outside": Case(
        400,
        "bad_point",
        "points.1.x must be between 0 and 63, got 64",
        query="points=[[63,0],[64,0]]",
        path="/v1/predictions/batch",
    ),
    "batch of one outside": Case(
        400,
        "bad_point",
        "points.0.y must be",
        query="points=[[5,-1]]",
        path="/v1/predictions/batch",
    ),
    "batch of x": Case(
        400, "bad_parameter", "unknown", query="points=[[1,1]]&x=1", path="/v1/predictions/batch"
    ),
    "reload of a model": Case(
        400,
        "bad_request",
        "'/v1/models/reload' takes no body, got one of 22 bytes",
        '{"models": ["themes"]}',
        "",
        JSON,
        path="/v1/models/reload",
    ),
    "models asked": Case(
        400, "bad_parameter", "no parameters", b"", "a=1", path="/v1/models", method="GET"
    ),
}


def check_problem(answer: Answer, *, status: int, code: str, told: str) -> None:
    """Assert the one shape of every error."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body.endswith(b"}")  # CherryPy's own errors are filled up with spaces
    problem = answer.json
    assert len(problem["detail"]) < 300
    assert set(problem) == {"type", "title", "status", "code", "detail", "request_id"}
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["code"] == code
    assert told in problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert "Traceback" not in problem["detail"]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_what_the_contract_says(server: RunningServer, name: str) -> None:
    case = CASES[name]
    path = f"{case.path}?{case.query}" if case.query else case.path
    answer = server.ask(case.method, path, case.body, case.headers)
    check_problem(answer, status=case.status, code=case.code, told=case.told)


def test_after_all_bad_input_the_server_goes_on(server: RunningServer) -> None:
    for case in CASES.values():
        server.ask(case.method, f"{case.path}?{case.query}", case.body, case.headers)
    assert server.ask("GET", "/health/ready").status == 200
    assert server.post_picture(PICTURE).status == 200


@pytest.mark.parametrize("value", ["=?nope?q?a?=", "=?utf-8?q?=ff?=", "a\xff"])
def test_a_header_is_taken_as_it_comes(server: RunningServer, value: str) -> None:
    assert server.ask("GET", "/health/live", None, {"X-Agent": value}).status == 200


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=a-b",
        "bytes=-",
        "bytes=--5",
        "bytes=0-4",
        "bytes=0-1,0-1",
        "x",
        f"bytes={'9' * 5000}-",
    ],
)
def test_a_file_is_sent_whole_whatever_part_is_asked_for(
    server: RunningServer, ranges: str
) -> None:
    whole = server.ask("GET", "/static/page.css")
    part = server.ask("GET", "/static/page.css", None, {"Range": ranges})
    assert (part.status, part.body) == (200, whole.body)
    assert part.headers["Accept-Ranges"] == "none"


def test_a_file_is_sent_whatever_it_was_changed_since(server: RunningServer) -> None:
    headers = {"Range": "bytes=0-4", "If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    whole = server.ask("GET", "/static/page.css")
    again = server.ask("GET", "/static/page.css", None, headers)
    assert (again.status, again.body) == (200, whole.body)
    headers = {"If-Modified-Since": whole.headers["Last-Modified"]}
    assert server.ask("GET", "/static/page.css", None, headers).status == 304


def test_a_wrong_method_is_told_the_right_ones(server: RunningServer) -> None:
    assert server.ask("GET", "/v1/predictions").headers["Allow"] == "POST"
    assert "GET" in server.ask("DELETE", "/v1/models").headers["Allow"]
    assert server.ask("PATCH", "/static/page.js").headers["Allow"] == "GET, HEAD"


def test_a_status_has_the_same_name_with_every_python(server: RunningServer) -> None:
    answer = server.post_picture(JPEG[:3000])
    assert (answer.status, answer.reason) == (422, "Unprocessable Content")
    assert answer.json["title"] == "Unprocessable Content"


def test_no_answer_names_the_software(server: RunningServer) -> None:
    for path in ("/", "/nothing", "/v1/models"):
        assert server.ask("GET", path).headers["Server"] == "dsapi"


@pytest.fixture(scope="module")
def strict(tiny_config: Path, start_server: StartServer) -> RunningServer:
    """A server with low limits and no image roots."""
    return start_server(
        load_settings(
            tiny_config, max_bytes=5000, max_pixels=3000, image_roots=[], socket_timeout=1.0
        )
    )


def test_a_body_over_the_limit_is_refused(strict: RunningServer) -> None:
    answer = strict.post_picture(b"x" * 5001)
    told = "the body has 5001 bytes, max_bytes is 5000"
    check_problem(answer, status=413, code="too_large", told=told)


def test_a_chunked_body_over_the_limit_is_refused(strict: RunningServer) -> None:
    for size in (1000, 10_000):
        answer = strict.ask("POST", "/v1/predictions", iter([b"x" * size] * 10))
        check_problem(answer, status=413, code="too_large", told="max_bytes")


def test_a_body_of_exactly_the_limit_is_read(strict: RunningServer) -> None:
    picture = encode(halves(60, 50))
    picture += bytes(5000 - len(picture))
    assert strict.post_picture(picture).json["image"]["bytes"] == 5000
    pieces = iter([picture[:2500], picture[2500:]])
    answer = strict.ask("POST", "/v1/predictions", pieces, {"Content-Type": "image/png"})
    assert answer.json["image"]["bytes"] == 5000


def test_a_file_over_the_limit_is_refused(tiny_config: Path, start_server: StartServer) -> None:
    small = start_server(load_settings(tiny_config, max_bytes=1024))
    (small.settings.image_roots[0] / "large.png").write_bytes(bytes(1025))
    answer = small.ask("POST", "/v1/predictions", "path=large.png", FORM)
    check_problem(answer, status=413, code="too_large", told="has 1025 bytes, max_bytes is 1024")


def test_more_pixels_than_permitted_are_refused(strict: RunningServer) -> None:
    told = "the picture has 3072 pixels (64 × 48), max_pixels is 3000"
    check_problem(strict.post_picture(PICTURE), status=413, code="too_large", told=told)


def test_without_roots_paths_are_forbidden(strict: RunningServer) -> None:
    answer = strict.ask("POST", "/v1/predictions", "path=a.png", FORM)
    check_problem(answer, status=403, code="path_forbidden", told="no image_roots")


def send_raw(server: RunningServer, text: bytes, *, finish: bool = True) -> Answer:
    """Send bytes as they are, and read what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(text)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    stream = BytesIO(received)
    _, status, reason = stream.readline().decode().strip().split(" ", 2)
    return Answer(int(status), reason, http.client.parse_headers(stream), stream.read())


POST = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def test_a_body_without_a_length_is_refused(strict: RunningServer) -> None:
    answer = send_raw(strict, POST + b"\r\n")
    check_problem(answer, status=411, code="length_required", told="Content-Length")


def test_a_body_that_ends_early_is_refused(strict: RunningServer) -> None:
    answer = send_raw(strict, POST + b"Content-Length: 50\r\n\r\nabc")
    check_problem(answer, status=400, code="bad_request", told="ends after 3 of 50 bytes")


def test_a_body_that_stalls_is_refused(strict: RunningServer) -> None:
    answer = send_raw(strict, POST + b"Content-Length: 50\r\n\r\nabc", finish=False)
    assert answer.status in (400, 504)
    assert answer.json["code"] in ("bad_request", "deadline_exceeded")


@pytest.mark.parametrize(
    ("request_head", "told"),
    [
        (b"NONSENSE\r\n\r\n", "Malformed Request-Line"),
        (b"GET / HTTP/2.0\r\n\r\n", "must be HTTP/1.0 or HTTP/1.1, got 'HTTP/2.0'"),
        (b"\r\nGET / HTTP/3.0\r\n\r\n", "got 'HTTP/3.0'"),
        (b"GET / HTTP/1.1\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n", ""),
        (POST + b"Content-Length: many\r\n\r\n", "Content-Length"),
        (
            POST + b"Content-Length: -5\r\n\r\n",
            "Content-Length must be a number of bytes, got '-5'",
        ),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"),
    ],
)
def test_a_malformed_head_gets_the_same_shape(
    strict: RunningServer, request_head: bytes, told: str
) -> None:
    check_problem(send_raw(strict, request_head), status=400, code="bad_request", told=told)


def test_a_connection_through_is_told_the_methods_that_there_are(strict: RunningServer) -> None:
    answer = send_raw(strict, b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    check_problem(
        answer, status=405, code="method_not_allowed", told="GET, HEAD, OPTIONS, POST, not 'CONN"
    )
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("path", [b"//health/live", b"//example.org/x"])
def test_a_path_that_begins_with_two_slashes_is_not_found(
    strict: RunningServer, path: bytes
) -> None:
    answer = send_raw(strict, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    told = f"there is no '{path.decode()}'"
    check_problem(answer, status=404, code="not_found", told=told)


RELOAD = b"POST /v1/models/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("chunks", "told"),
    [(b"2\r\n{}\r\n0\r\n\r\n", "a chunk of 2 bytes"), (b"zz", "a malformed one")],
)
def test_a_reload_takes_no_chunks_either(strict: RunningServer, chunks: bytes, told: str) -> None:
    answer = send_raw(strict, RELOAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    check_problem(answer, status=400, code="bad_request", told=told)


@pytest.mark.parametrize(
    "request_end",
    [b"\r\n", b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
)
def test_a_reload_without_a_body_is_done_however_that_is_said(
    strict: RunningServer, request_end: bytes
) -> None:
    assert send_raw(strict, RELOAD + request_end).status == 200


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    tiny_config: Path, start_server: StartServer
) -> None:
    small = start_server(load_settings(tiny_config, prediction_workers=1, queue_size=1))
    slow = encode(photo(3000, 2000), "PNG", compress_level=1)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(small.post_picture(slow))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status == 503]
    assert [a.status for a in answers if a.status != 503] == [200] * (8 - len(refused))
    assert refused
    check_problem(refused[0], status=503, code="overloaded", told="queue_size = 1")
    assert int(refused[0].headers["Retry-After"]) >= 1


def test_a_request_past_its_deadline_gets_504_and_its_work_is_dropped(
    tiny_config: Path, start_server: StartServer
) -> None:
    hasty = start_server(load_settings(tiny_config, prediction_workers=1, request_timeout=0.02))
    answer = hasty.post_picture(encode(photo(2000, 1500), "PNG", compress_level=1))
    check_problem(answer, status=504, code="deadline_exceeded", told="request_timeout = 0.02 s")
    for _ in range(100):
        if hasty.post_picture(PICTURE).status == 200:
            break
        time.sleep(0.05)
    assert hasty.post_picture(PICTURE).status == 200


def test_a_service_that_stops_is_not_ready(tiny_config: Path, start_server: StartServer) -> None:
    stopping = start_server(load_settings(tiny_config))
    stopping.workers.stop()
    check_problem(
        stopping.ask("GET", "/health/ready"), status=503, code="not_ready", told="shutting down"
    )
    check_problem(
        stopping.post_picture(PICTURE), status=503, code="not_ready", told="shutting down"
    )
    assert stopping.ask("GET", "/health/live").status == 200
