"""The contract of ``POST /v1/predictions`` over real sockets."""

import base64
import json

from tests.conftest import RunningServer
from tests.pictures import GREEN, RED, encode, halves, plain


def test_a_raw_picture_gets_both_models_at_its_center(server: RunningServer) -> None:
    answer = server.post_picture(encode(plain(GREEN)))
    assert answer.status == 200, answer.body
    assert answer.json["point"] == {"x": 32, "y": 24}
    assert answer.json["image"]["format"] == "PNG"
    assert answer.json["predictions"]["themes"][0]["label"] == "green"
    assert answer.json["predictions"]["colors"][0]["label"] == "green"
    assert answer.json["errors"] == {}


def test_base64_gets_what_a_raw_picture_gets(server: RunningServer) -> None:
    picture = encode(halves())
    raw = server.post_picture(picture, "x=10&y=10").json
    body = json.dumps({"image": base64.b64encode(picture).decode(), "x": 10, "y": 10})
    sent = server.ask("POST", "/v1/predictions", body, {"Content-Type": "application/json"})
    assert sent.status == 200, sent.body
    assert sent.json["predictions"] == raw["predictions"]
    assert raw["predictions"]["colors"][0]["label"] == "red"
    assert RED
