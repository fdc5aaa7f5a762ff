"""The running server against its own OpenAPI document, with requests made up by Schemathesis."""

import base64
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.transport.serialization import Binary

from dsapi.settings import Settings, load_settings
from dsapi.web.access import hash_key
from dsapi.web.openapi import build_openapi
from tests.conftest import RunningServer, StartServer
from tests.graphs import freeze_failing
from tests.pictures import GREEN, encode, halves, photo, plain

_PICTURES = [
    encode(halves()),
    encode(plain((9, 9, 9), 5, 3), "JPEG"),
    encode(halves(), "WEBP"),
    encode(halves())[:100],
    b"no picture",
    b"",
]
schemathesis.openapi.format("binary", st.sampled_from(_PICTURES).map(Binary))
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, st.sampled_from(_PICTURES))

# Values that lead past the first check now and then, which a schema alone hardly ever does.
_coordinates = st.one_of(st.integers(0, 70), st.floats(0, 100))
_PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "x": _coordinates,
    "y": _coordinates,
    "points": st.lists(st.tuples(_coordinates, _coordinates), min_size=1, max_size=3).map(
        lambda points: str([list(point) for point in points])
    ),
    "models": st.sampled_from(["themes", "colors", "colors,themes", "all"]),
    "path": st.sampled_from(["halves.png", "nowhere.jpg", "../secret.jpg", "/etc/passwd", "."]),
}
_BASE64 = st.sampled_from([base64.b64encode(picture).decode() for picture in _PICTURES])

_DOCUMENT: Any = schemathesis.openapi.from_dict(build_openapi())
_OPERATIONS = {found.ok().label: found.ok() for found in _DOCUMENT.get_all_operations()}
_TAKE_PARAMETERS = [label for label, operation in _OPERATIONS.items() if operation.body]
# Not what a schema can tell: whether a point lies inside the picture, say; and text counts as a
# number in JSON too, as it does in a form.
_CHECKS = [
    check
    for check in CHECKS.get_all()
    if check.__name__ not in ("positive_data_acceptance", "negative_data_rejection")
]


@st.composite
def plausible_cases(draw: st.DrawFn, label: str) -> Case:
    """Make up a request that fits the document, and give it values that mean something."""
    case: Case = draw(_OPERATIONS[label].as_strategy(generation_mode=GenerationMode.POSITIVE))
    body = case.body if isinstance(case.body, dict) else {}
    query = case.query or {}
    if not body.keys() & {"image", "path"} and isinstance(case.body, dict):
        body["path"] = ""
    for holder in (query, body):
        for name in holder.keys() & _PLAUSIBLE.keys():
            holder[name] = draw(_PLAUSIBLE[name])
    if isinstance(body.get("image"), str):
        body["image"] = draw(_BASE64)
    for name in query.keys() & body.keys():
        del query[name]
    return case


def ask_as_documented(server: RunningServer, cases: st.SearchStrategy[Case]) -> Counter[int]:
    """Send what a strategy makes up; count the answers by status."""
    seen: Counter[int] = Counter()

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: Case) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{server.port}")
        seen[response.status_code] += 1
        case.validate_response(response, checks=_CHECKS)

    check()
    return seen


@pytest.mark.parametrize("label", _OPERATIONS)
def test_every_answer_to_a_valid_request_is_documented(server: RunningServer, label: str) -> None:
    (server.settings.image_roots[0] / "halves.png").write_bytes(_PICTURES[0])
    seen = ask_as_documented(server, plausible_cases(label))
    assert seen[200] > 0
    assert max(seen) < 500


@pytest.mark.parametrize("label", _TAKE_PARAMETERS)
def test_every_answer_to_a_broken_request_is_documented(server: RunningServer, label: str) -> None:
    strategy = _OPERATIONS[label].as_strategy(generation_mode=GenerationMode.NEGATIVE)
    seen = ask_as_documented(server, strategy)
    assert seen[400] > 0
    assert max(seen) < 500


_SLOW = encode(photo(3000, 2000), "PNG", compress_level=1)
# No HTTP library sends a request without a length; `tests.web.test_problems` does.
_ELSEWHERE = {"length_required"}


def _strict(config: Path) -> Settings:
    return load_settings(config, max_bytes=5000, image_roots=[])


def _hasty(config: Path) -> Settings:
    return load_settings(config, prediction_workers=1, request_timeout=0.02)


def _busy(config: Path) -> Settings:
    return load_settings(config, prediction_workers=1, queue_size=1)


def _locked(config: Path) -> Settings:
    return load_settings(config, api_keys=(f"app={hash_key('secret')}",))


def _rationed(config: Path) -> Settings:
    return load_settings(config, rate_limit="4/hour")


def _private(config: Path) -> Settings:
    return load_settings(config, allowed_networks=("10.0.0.0/8",))


def _failing(config: Path) -> Settings:
    for name, side in (("themes", 32), ("colors", 9)):
        graph = config.parent / f"failing/{name}.pb"
        freeze_failing(graph, side=side)
    text = config.read_text(encoding="utf-8").replace('"models/', '"failing/')
    failing = config.with_name("failing.conf")
    failing.write_text(text, encoding="utf-8")
    return load_settings(failing)


_GREEN = encode(plain(GREEN))
# How to get each code that the document names: the service, the request.
_PROVOKED: dict[str, tuple[Callable[[Path], Settings], dict[str, Any]]] = {
    "bad_request": (load_settings, {"data": "{", "headers": {"Content-Type": "application/json"}}),
    "bad_point": (load_settings, {"data": _PICTURES[0], "params": {"x": 900, "y": 1}}),
    "bad_parameter": (load_settings, {"data": _PICTURES[0], "params": {"unti": "px"}}),
    "missing_image": (load_settings, {"json": {"x": 1, "y": 1}}),
    "path_not_found": (load_settings, {"data": {"path": "nowhere.jpg"}}),
    "unsupported_media_type": (load_settings, {"data": b"no picture"}),
    "unreadable_image": (load_settings, {"data": _PICTURES[0][:100]}),
    "unauthorized": (_locked, {"data": _PICTURES[0]}),
    "rate_limited": (_rationed, {"data": _PICTURES[0]}),
    "forbidden": (_private, {"data": _PICTURES[0]}),
    "path_forbidden": (_strict, {"data": {"path": "a.jpg"}}),
    "too_large": (_strict, {"data": b"x" * 5001}),
    "internal_error": (_failing, {"data": _GREEN}),
    "overloaded": (_busy, {"data": _SLOW}),
    "not_ready": (_busy, {"data": _PICTURES[0]}),
    "deadline_exceeded": (_hasty, {"data": _SLOW}),
}


def test_every_documented_code_is_provoked_here() -> None:
    responses = build_openapi()["paths"]["/v1/predictions"]["post"]["responses"]
    documented = {
        code
        for response in responses.values()
        for code in response["content"].get("application/problem+json", {}).get("examples", {})
    }
    assert _PROVOKED.keys() == documented - _ELSEWHERE


@pytest.mark.parametrize("code", _PROVOKED)
def test_a_documented_error_can_be_reached_and_is_as_documented(
    tiny_config: Path, start_server: StartServer, code: str
) -> None:
    configure, request = _PROVOKED[code]
    running = start_server(configure(tiny_config))
    if code == "not_ready":
        running.workers.stop()
    url = f"http://127.0.0.1:{running.port}/v1/predictions"
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(requests.post, url, timeout=30, **request)
            for _ in range(8 if code in ("overloaded", "rate_limited") else 1)
        ]
    refused = [future.result() for future in asked if not future.result().ok]
    assert [response.json()["code"] for response in refused] == [code] * len(refused)
    assert refused
    _OPERATIONS["POST /v1/predictions"].validate_response(refused[0])
