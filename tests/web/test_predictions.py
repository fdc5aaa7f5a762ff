"""The contract of ``POST /v1/predictions`` in its four forms, over real sockets."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from dsapi.settings import load_settings
from tests.conftest import Answer, RunningServer, StartServer
from tests.graphs import freeze_failing
from tests.pictures import BLUE, GREEN, RED, encode, halves, photo, plain
from tests.waiting import eventually

HALVES = encode(halves())
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def encode_multipart(fields: dict[str, str], image: bytes | None) -> tuple[bytes, dict[str, str]]:
    parts = [
        f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if image is not None:
        head = 'Content-Disposition: form-data; name="image"; filename="p.png"'
        parts.append(
            f"--frontier\r\n{head}\r\nContent-Type: image/png\r\n\r\n".encode() + image + b"\r\n"
        )
    body = b"".join(parts) + b"--frontier--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=frontier"}


def post_form(server: RunningServer, form: str, image: bytes, **fields: str) -> Answer:
    """Post the same picture and fields in one of the four forms."""
    path = "/v1/predictions"
    if form == "raw":
        return server.post_picture(image, urlencode(fields))
    if form == "upload":
        return server.ask("POST", path, *encode_multipart(fields, image))
    if form == "path":
        (server.settings.image_roots[0] / "posted.png").write_bytes(image)
        return server.ask("POST", path, urlencode({"path": "posted.png", **fields}), FORM)
    values = {"image": base64.b64encode(image).decode(), **fields}
    return server.ask("POST", path, json.dumps(values), JSON)


@pytest.mark.parametrize("form", ["raw", "upload", "path", "base64"])
def test_every_form_gets_the_same_answer(server: RunningServer, form: str) -> None:
    answer = post_form(server, form, HALVES, x="10", y="20", top="2")
    assert answer.status == 200, answer.body
    told = answer.json
    assert told["point"] == {"x": 10, "y": 20}
    assert told["image"] == {"width": 64, "height": 48, "format": "PNG", "bytes": len(HALVES)}
    assert told["crops"] == {"themes": [0, 1, 51, 39], "colors": [6, 16, 15, 25]}
    assert [best["label"] for best in told["predictions"]["colors"]] == ["red", "blue"]
    assert (
        told["predictions"]
        == post_form(server, "raw", HALVES, x="10", y="20", top="2").json["predictions"]
    )


def test_an_answer_has_everything_that_the_contract_names(server: RunningServer) -> None:
    answer = server.post_picture(HALVES)
    told = answer.json
    assert answer.headers["Content-Type"] == "application/json"
    assert set(told) == {
        "id", "image", "point", "predictions", "crops", "models", "errors", "timing_ms",
    }  # fmt: skip
    assert set(told["timing_ms"]) == {"queue", "decode", "themes", "colors", "total"}
    assert all(isinstance(value, float | int) for value in told["timing_ms"].values())
    assert told["models"] == {n: server.workers.models[n].version for n in ("themes", "colors")}
    assert all(re.fullmatch("[0-9a-f]{12}", version) for version in told["models"].values())
    assert told["errors"] == {}
    for ranked in told["predictions"].values():
        assert [set(best) for best in ranked] == [{"label", "probability"}] * 3
        assert all(round(best["probability"], 4) == best["probability"] for best in ranked)


def test_without_a_point_the_center_is_taken(server: RunningServer) -> None:
    assert server.post_picture(HALVES).json["point"] == {"x": 32, "y": 24}


def test_fractions_of_a_pixel_are_floored(server: RunningServer) -> None:
    assert server.post_picture(HALVES, "x=63.9&y=0.99").json["point"] == {"x": 63, "y": 0}


@pytest.mark.parametrize(("percent", "pixel"), [("0", 0), ("50", 32), ("99.99", 63), ("100", 63)])
def test_percent_covers_the_picture_with_both_ends(
    server: RunningServer, percent: str, pixel: int
) -> None:
    answer = server.post_picture(HALVES, f"x={percent}&y=0&unit=percent")
    assert answer.json["point"] == {"x": pixel, "y": 0}


def test_only_the_models_asked_for_are_run(server: RunningServer) -> None:
    told = server.post_picture(HALVES, "models=colors").json
    assert list(told["predictions"]) == list(told["crops"]) == list(told["models"]) == ["colors"]
    assert "themes" not in told["timing_ms"]
    for names in ("colors,themes", "colors,%20themes", "colors,themes,colors"):
        both = server.post_picture(HALVES, f"models={names}").json
        assert set(both["predictions"]) == {"colors", "themes"}


def test_top_and_min_probability_limit_the_labels(server: RunningServer) -> None:
    ranked = server.post_picture(HALVES, "x=5&y=5&top=1").json["predictions"]["colors"]
    assert [best["label"] for best in ranked] == ["red"]
    told = server.post_picture(HALVES, "x=5&y=5&min_probability=0.9").json
    assert [best["label"] for best in told["predictions"]["colors"]] == ["red"]
    assert told["predictions"]["themes"] == []


def test_a_picture_smaller_than_the_patch_is_enlarged(server: RunningServer) -> None:
    told = server.post_picture(encode(plain(GREEN, 3, 2))).json
    assert told["predictions"]["colors"][0]["label"] == "green"
    assert told["crops"]["colors"] == [0, 0, 3, 2]


def test_a_large_picture_answers_in_its_own_pixels(server: RunningServer) -> None:
    large = encode(photo(2500, 1000), "JPEG", quality=80)
    told = server.post_picture(large, "x=2000&y=501").json
    assert told["image"]["width"] == 2500
    assert told["point"] == {"x": 2000, "y": 501}
    assert told["crops"]["themes"] == [500, 101, 2500, 901]
    left, top, right, bottom = told["crops"]["colors"]
    assert (right - left, bottom - top) == (18, 18)
    assert left <= 2000 < right
    assert top <= 501 < bottom


def test_a_batch_answers_many_points_in_the_order_asked(server: RunningServer) -> None:
    answer = server.ask(
        "POST",
        "/v1/predictions/batch",
        *encode_multipart({"points": "[[5, 5], [60, 40], [5, 5]]"}, HALVES),
    )
    assert answer.status == 200, answer.body
    told = answer.json
    assert set(told) == {"id", "image", "models", "results", "timing_ms"}
    assert [r["point"] for r in told["results"]] == [
        {"x": 5, "y": 5}, {"x": 60, "y": 40}, {"x": 5, "y": 5},
    ]  # fmt: skip
    best = [result["predictions"]["colors"][0]["label"] for result in told["results"]]
    assert best == ["red", "blue", "red"]
    assert set(told["results"][0]) == {"point", "predictions", "crops", "errors"}
    alone = server.post_picture(HALVES, "x=60&y=40").json
    assert told["results"][1]["predictions"] == alone["predictions"]
    assert told["results"][1]["crops"] == alone["crops"]


@pytest.mark.parametrize("form", ["raw", "json", "path"])
def test_a_batch_takes_every_form(server: RunningServer, form: str) -> None:
    path, points = "/v1/predictions/batch", [[10, 10], [90, 90]]
    (server.settings.image_roots[0] / "batch.png").write_bytes(HALVES)
    if form == "raw":
        query = urlencode({"points": json.dumps(points), "unit": "percent"})
        answer = server.post_picture(HALVES, query, path)
    elif form == "json":
        image = base64.b64encode(HALVES).decode()
        values = {"image": image, "points": points, "unit": "percent"}
        answer = server.ask("POST", path, json.dumps(values), JSON)
    else:
        values = {"path": "batch.png", "points": json.dumps(points), "unit": "percent"}
        answer = server.ask("POST", path, urlencode(values), FORM)
    assert answer.status == 200, answer.body
    assert [result["point"] for result in answer.json["results"]] == [
        {"x": 6, "y": 4}, {"x": 57, "y": 43},
    ]  # fmt: skip


def test_a_chunked_body_is_read(server: RunningServer) -> None:
    pieces = iter([HALVES[:100], HALVES[100:]])
    answer = server.ask("POST", "/v1/predictions?x=60&y=5", pieces, {"Content-Type": "image/png"})
    assert answer.status == 200, answer.body
    assert answer.json["predictions"]["colors"][0]["label"] == "blue"


def test_base64_may_have_a_data_prefix_and_line_breaks(server: RunningServer) -> None:
    text = base64.encodebytes(HALVES).decode()
    for image in (text, f"data:image/png;base64,{text}"):
        answer = server.ask("POST", "/v1/predictions", json.dumps({"image": image}), JSON)
        assert answer.status == 200, answer.body


def test_what_is_null_in_json_counts_as_not_sent(server: RunningServer) -> None:
    image = base64.b64encode(HALVES).decode()
    nothing = dict.fromkeys(("path", "x", "y", "unit", "models", "top", "min_probability"))
    told = [
        server.ask("POST", "/v1/predictions?top=2", json.dumps(values), JSON)
        for values in ({"image": image}, {"image": image, **nothing})
    ]
    assert [answer.status for answer in told] == [200, 200], told[1].body
    assert told[0].json["point"] == told[1].json["point"] == {"x": 32, "y": 24}
    assert told[0].json["predictions"] == told[1].json["predictions"]


def test_an_unused_file_input_of_a_browser_is_no_second_picture(server: RunningServer) -> None:
    (server.settings.image_roots[0] / "form.png").write_bytes(HALVES)
    body, headers = encode_multipart({"path": "form.png"}, b"")
    body = body.replace(b'filename="p.png"', b'filename=""')
    answer = server.ask("POST", "/v1/predictions", body, headers)
    assert answer.status == 200, answer.body


def test_the_name_of_an_uploaded_file_may_be_in_any_encoding(server: RunningServer) -> None:
    body, headers = encode_multipart({}, HALVES)
    body = body.replace(b'filename="p.png"', b'filename="caf\xe9.png"')
    answer = server.ask("POST", "/v1/predictions", body, headers)
    assert answer.status == 200, answer.body


def test_a_sane_request_id_comes_back_and_another_is_replaced(server: RunningServer) -> None:
    def returned(asked: str) -> str:
        headers = {"Content-Type": "image/png", "X-Request-ID": asked}
        return server.ask("POST", "/v1/predictions", HALVES, headers).headers["X-Request-ID"]

    assert returned("upload-42_a.b") == "upload-42_a.b"
    assert returned("x" * 128) == "x" * 128
    for insane in ("", "x" * 129, "a b", "é", "a;b"):
        assert re.fullmatch("[0-9a-f-]{36}", returned(insane))


def test_an_answers_id_is_its_own_although_requests_are_called_alike(
    server: RunningServer,
) -> None:
    named = {"X-Request-ID": "again"}
    first, second = (server.ask("POST", "/v1/predictions", HALVES, named) for _ in range(2))
    assert first.json["id"] != second.json["id"]


def test_every_prediction_logs_one_line_with_all_its_steps(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    def lines() -> list[str]:
        told = [r.getMessage() for r in caplog.records if r.name == "dsapi.predictions"]
        return [line for line in told if "log-me" in line]  # another's may come late

    with caplog.at_level("INFO", logger="dsapi.predictions"):
        server.ask("POST", "/v1/predictions?x=5&y=6", HALVES, {"X-Request-ID": "log-me"})
        assert eventually(lambda: bool(lines()))  # it is written when the answer is out
    (line,) = lines()
    for part in ("format=PNG", "size=64x48", "point=5,6", '"red":', "queue_ms=",
                 "decode_ms=", "themes_ms=", "colors_ms=", "total_ms="):  # fmt: skip
        assert part in line
    assert server.workers.models["themes"].version in line


UPLOADED = encode_multipart({}, HALVES)[0]
IN_JSON = json.dumps({"image": base64.b64encode(HALVES).decode()}).encode()


@pytest.mark.parametrize(
    ("content_type", "body", "form"),
    [
        ("Multipart/form-data; boundary=frontier", UPLOADED, "upload"),
        ("multipart/mixed; boundary=frontier", HALVES, "raw"),
        ("Application/JSON; charset=utf-8", IN_JSON, "base64"),
        ("application/json-seq", HALVES, "raw"),
        ("application/x-www-form-urlencoded", b"path=named.png", "path"),
        ("Application/Json", b'{"path": "named.png"}', "path"),
    ],
)
def test_how_a_picture_came_is_named_by_what_it_was_read_as(
    server: RunningServer,
    caplog: pytest.LogCaptureFixture,
    content_type: str,
    body: bytes,
    form: str,
) -> None:
    def forms() -> list[str]:
        told = [r.msg for r in caplog.records if r.name == "dsapi.access"]
        return [record.form for record in told if record.request_id == "name-me"]

    (server.settings.image_roots[0] / "named.png").write_bytes(HALVES)
    with caplog.at_level("INFO", logger="dsapi.access"):
        headers = {"Content-Type": content_type, "X-Request-ID": "name-me"}
        answer = server.ask("POST", "/v1/predictions", body, headers)
        assert answer.status == 200, answer.body
        assert eventually(lambda: bool(forms()))  # it is written when the answer is out
    assert forms() == [form]


def test_the_log_says_of_which_request_a_model_failed_and_the_metrics_count_it(
    tiny_config: Path, tmp_path: Path, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    freeze_failing(tmp_path / "colors.pb")
    models = tiny_config.parent / "models"
    text = tiny_config.read_text(encoding="utf-8").replace('"models/themes', f'"{models}/themes')
    text = text.replace('"models/colors', '"colors').replace('"labels/', f'"{models}/../labels/')
    config = tmp_path / "dsapi.conf"
    config.write_text(text, encoding="utf-8")
    server = start_server(load_settings(config))
    answer = server.ask("POST", "/v1/predictions", encode(plain(GREEN)), {"X-Request-ID": "find"})
    assert list(answer.json["errors"]) == ["colors"]
    assert "request find: model colors" in caplog.text
    counts = {
        'dsapi_model_failures_total{model="themes"} 0.0',
        'dsapi_model_failures_total{model="colors"} 1.0',
    }
    assert counts <= set(server.ask("GET", "/metrics").body.decode().splitlines())


def test_answers_at_many_threads_are_those_of_one_alone(server: RunningServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pictures = [encode(plain(color, 40 + i, 30 + i)) for i in range(8) for color in (RED, BLUE)]
    alone = [server.post_picture(picture).json["predictions"] for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda p: server.post_picture(p).json["predictions"], pictures))
    assert together == alone


def test_the_models_are_described(server: RunningServer) -> None:
    answer = server.ask("GET", "/v1/models")
    assert answer.status == 200
    themes, colors = answer.json["models"]
    assert (themes["name"], colors["name"]) == ("themes", "colors")
    assert themes["labels"] == ["red", "green", "blue"]
    assert themes["input_size"] == [32, 32]
    assert (themes["crop"], colors["crop"]) == ("80%", "9px")
    assert themes["default"] is colors["default"] is True
    assert themes["engine"] == "tensorflow"
    assert themes["load_ms"] > 0
    assert themes["loaded_since"].startswith("20")


def test_health_tells_live_and_ready(server: RunningServer) -> None:
    for path in ("/health/live", "/health/ready"):
        assert server.ask("GET", path).status == 200
        assert server.ask("HEAD", path).body == b""


def test_the_page_and_its_files_are_served(server: RunningServer) -> None:
    page = server.ask("GET", "/")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"<title>" in page.body


def test_without_a_default_model_a_request_must_name_one(
    tmp_path: Path, tiny_config: Path, start_server: StartServer
) -> None:
    text = tiny_config.read_text(encoding="utf-8")
    for name in ("models", "labels"):
        text = text.replace(f'"{name}/', f'"{tiny_config.parent / name}/')
    config = tmp_path / "dsapi.conf"
    config.write_text(text.replace("crop =", "default = False\ncrop ="), encoding="utf-8")
    server = start_server(load_settings(config))
    described = server.ask("GET", "/v1/models").json["models"]
    assert [model["default"] for model in described] == [False, False]
    answer = server.post_picture(HALVES)
    assert (answer.status, answer.json["code"]) == (400, "bad_parameter")
    assert "themes, colors" in answer.json["detail"]
    assert server.post_picture(HALVES, "models=colors").status == 200
