"""Text as long as a picture: what is taken apart must not take many times its own memory."""

import base64
import json

import pytest

from dsapi.errors import BadRequest, MissingImage, quote
from dsapi.web.bodies import parse_form
from dsapi.web.parameters import BatchParameters, read_parameters
from tests.conftest import RunningServer
from tests.tracing import tracing

_BYTES = 600_000
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
UPLOAD = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n'


def fill(before: bytes, unit: bytes, after: bytes) -> bytes:
    return before + unit * ((_BYTES - len(before) - len(after)) // len(unit)) + after


def upload(name: bytes, before: bytes, unit: bytes, after: bytes) -> bytes:
    path = PART % b"path" + b"a.png\r\n"
    return fill(path + PART % name + before, unit, after + b"\r\n--b--\r\n")


BODIES = {
    "points in JSON": (JSON, fill(b'{"path": "a", "points": [', b"[],", b"0]}")),
    "models in JSON": (JSON, fill(b'{"path": "a", "points": [[1, 1]], "models": [', b"0,", b"0]}")),
    "model text": (
        JSON,
        fill(b'{"path": "a", "points": [[1, 1]], "models": "', b"\\u002ca", b'"}'),
    ),
    "lists in lists": (JSON, fill(b"[", b"[" * 100 + b"]" * 100 + b",", b"0]")),
    "objects in objects": (JSON, fill(b"[", b'{"":' * 100 + b"0" + b"}" * 100 + b",", b"0]")),
    "lists in text": (
        JSON,
        fill(b'{"path": "a", "points": "[', b"\\u005b" * 100 + b"]" * 100 + b",", b'0]"}'),
    ),
    "nothing known": (JSON, fill(b"[", b'{"":0},', b"0]")),
    "points in text": (JSON, fill(b'{"path": "a", "points": "[', b"[]\\u002c", b'0]"}')),
    "points in a part": (UPLOAD, upload(b"points", b"[", b"[],", b"0]")),
    "models in a part": (UPLOAD, upload(b"models", b"", b"ab,", b"")),
    "path in a form": (FORM, fill(b"path=", b"%41", b"")),
    "unknown in a form": (FORM, fill(b"", b"%41", b"=1")),
}


def read(content_type: str, body: bytes) -> BatchParameters:
    form = parse_form(content_type, body, "", known=BatchParameters.model_fields)
    return read_parameters(BatchParameters, form.parameters)


@pytest.mark.parametrize("name", BODIES)
def test_text_as_long_as_a_picture_is_refused_before_it_grows(name: str) -> None:
    content_type, body = BODIES[name]
    with tracing() as read_peak:
        with pytest.raises(BadRequest):
            read(content_type, body)
        peak = read_peak()
    assert peak < 8 * _BYTES


def test_base64_full_of_blanks_takes_no_more_than_a_few_times_its_memory() -> None:
    body = fill(b'{"image": "', b"AA AA ", b'"}')
    with tracing() as read_peak:
        form = parse_form(JSON, body, "", known=())
        peak = read_peak()
    assert form.image == base64.b64decode(body[11:-2])
    assert peak < 8 * _BYTES


def test_a_picture_in_a_form_of_text_is_told_where_it_belongs() -> None:
    with pytest.raises(MissingImage, match="image came as text in a form"):
        parse_form(FORM, fill(b"x=1&image=", b"A", b""), "", known=("x",))


def test_the_longest_path_and_a_full_batch_are_not_too_long(server: RunningServer) -> None:
    names = "./" * 500 + "," * 1000 + ".png"
    batch = json.dumps({"path": names, "points": [[0.123456789, 1]] * 64})
    answer = server.ask("POST", "/v1/predictions/batch", batch, {"Content-Type": JSON})
    assert answer.json["code"] == "path_not_found"
    form = "path=" + "%61" * 4000
    answer = server.ask("POST", "/v1/predictions", form, {"Content-Type": FORM})
    assert answer.json["code"] == "path_not_found"


def test_a_long_text_is_quoted_as_a_short_one() -> None:
    assert quote("a" * 59) == repr("a" * 58)[:-1] + "…"
    assert quote("\x01" * 1_000_000) == repr("\x01" * 15)[:59] + "…"
    assert quote("a" * 58) == repr("a" * 58)
