"""Metrics: every number is there, right, and known to the dashboard and the alert rules."""

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dsapi import __version__
from dsapi.errors import CallerGone, InternalError
from dsapi.operation.metrics import Metrics
from dsapi.operation.reload import Reloader
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.predictor import PredictionRequest
from dsapi.process.service import load_models
from dsapi.settings import Settings, load_settings
from dsapi.workers.pool import PredictionWorkers
from tests.conftest import RunningServer, StartServer, write_tiny_config
from tests.engines.gated import GatedGraph, gated_model
from tests.pictures import GREEN, encode, plain
from tests.waiting import eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
PICTURE = encode(plain(GREEN))


@pytest.fixture
def watched(tiny_config: Path, start_server: StartServer) -> RunningServer:
    return start_server(load_settings(tiny_config))


def numbers(server: RunningServer) -> dict[str, float]:
    """Read the metrics as ``name{label="value"}`` to value."""
    answer = server.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].replace(" ", "") == (
        "text/plain;version=0.0.4;charset=utf-8"
    )
    return read(answer.body)


def read(metrics: bytes) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(metrics.decode()):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def numbers_when(server: RunningServer, *, requests: int) -> dict[str, float]:
    """Read them when that many predictions are counted, which is after each has its answer."""
    name = 'dsapi_request_seconds_count{endpoint="/v1/predictions"}'
    for _ in range(200):
        found = numbers(server)
        ended = found.get(name) == requests
        # The request before them may still be under way to the journal.
        if ended and found.get("dsapi_http_threads_busy{}", 0) <= 1:
            break
        time.sleep(0.02)
    return found


def test_requests_are_counted_by_endpoint_form_and_status(watched: RunningServer) -> None:
    watched.post_picture(PICTURE)
    watched.post_picture(PICTURE, "x=9999&y=0")
    watched.ask("GET", "/made/up")
    watched.ask("GET", "/static/made-up.css")
    watched.ask("POST", "/v1/predictions", "path=a.jpg", {"Content-Type": "application/json"})
    for endpoint in ("other", "static"):  # which are under way to the journal on their own
        name = f'dsapi_requests_total{{endpoint="{endpoint}",form="",status="404"}}'
        assert eventually(lambda name=name: numbers(watched).get(name) == 1)
    counted = numbers_when(watched, requests=3)
    prediction = 'endpoint="/v1/predictions",form="raw",status='
    assert counted[f'dsapi_requests_total{{{prediction}"200"}}'] == 1
    assert counted[f'dsapi_requests_total{{{prediction}"400"}}'] == 1
    assert counted['dsapi_errors_total{code="bad_point"}'] == 1
    assert counted['dsapi_errors_total{code="bad_request"}'] == 1
    assert counted['dsapi_request_seconds_count{endpoint="/v1/predictions"}'] == 3


def test_each_step_of_a_prediction_is_observed(watched: RunningServer) -> None:
    answer = watched.post_picture(PICTURE)
    counted = numbers_when(watched, requests=1)
    for stage, took_ms in answer.json["timing_ms"].items():
        assert counted[f'dsapi_stage_seconds_count{{stage="{stage}"}}'] == 1
        seconds = counted[f'dsapi_stage_seconds_sum{{stage="{stage}"}}']
        assert seconds == pytest.approx(took_ms / 1000, abs=1e-4)


def test_what_alerts_wait_for_is_there_before_it_happens(watched: RunningServer) -> None:
    counted = numbers(watched)
    for reason in ("died", "stalled"):
        assert counted[f'dsapi_workers_replaced_total{{reason="{reason}"}}'] == 0
    for code in ("overloaded", "internal_error", "deadline_exceeded", "not_ready"):
        assert f'dsapi_errors_total{{code="{code}"}}' in counted


def test_workers_queue_and_models_are_told(watched: RunningServer) -> None:
    counted = numbers(watched)
    assert counted["dsapi_workers_alive{}"] == counted["dsapi_workers{}"] == 2
    assert counted["dsapi_ready{}"] == 1
    assert counted["dsapi_queue_waiting{}"] == 0
    assert counted["dsapi_queue_size{}"] == 64
    for name, model in watched.workers.models.items():
        labels = f'engine="tensorflow",model="{name}",version="{model.version}"'
        assert counted[f"dsapi_model{{{labels}}}"] == 1
        seconds = counted[f'dsapi_model_load_seconds{{model="{name}"}}']
        assert seconds == pytest.approx(model.load_ms / 1000)
        since = counted[f'dsapi_model_loaded_timestamp_seconds{{model="{name}"}}']
        assert since == pytest.approx(model.loaded_since.timestamp(), abs=1e-3)
    assert counted[f'dsapi_build{{version="{__version__}"}}'] == 1
    assert not [name for name in counted if "_created{" in name]
    assert counted["process_resident_memory_bytes{}"] > 1e7


def test_workers_at_work_requests_that_wait_and_what_was_dropped_are_told(
    tiny_config: Path,
) -> None:
    settings = load_settings(tiny_config)
    workers = PredictionWorkers(settings.limits, count=2, queue_size=5)
    reloader = Reloader(settings, workers, load=load_models, prepare=lambda _: lambda: None)
    metrics = Metrics(workers, reloader, gauges={})
    assert read(metrics.render())["dsapi_ready{}"] == 0
    go_on = threading.Event()
    died: list[BaseException] = [SystemExit("the engine ends its thread")]

    def gate() -> None:
        if died:
            raise died.pop()
        go_on.wait(60)

    def ask(*, has_left: bool = False) -> None:
        request = PredictionRequest(PICTURE, points=(None,), models=("themes",))
        workers.predict(request, Deadline.within(30), caller_gone=lambda: has_left)

    workers.start({"themes": gated_model(GatedGraph(gate))})
    with pytest.raises(InternalError):
        ask()
    for _ in range(3):
        with pytest.raises(CallerGone):
            ask(has_left=True)
    assert eventually(lambda: workers.ready)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(ask)
        assert eventually(lambda: (workers.status.busy, workers.status.waiting) == (2, 1))
        counted = read(metrics.render())
        go_on.set()
    workers.stop()
    told = {name: value for name, value in counted.items() if re.match("dsapi_(q|w|dr|rea)", name)}
    assert told == {
        "dsapi_ready{}": 1,
        "dsapi_queue_waiting{}": 1,
        "dsapi_queue_size{}": 5,
        "dsapi_workers{}": 2,
        "dsapi_workers_alive{}": 2,
        "dsapi_workers_busy{}": 2,
        "dsapi_work_seconds{}": 0.02,  # none has been measured
        'dsapi_dropped_total{reason="caller_gone"}': 3,
        'dsapi_dropped_total{reason="deadline"}': 0,
        'dsapi_workers_replaced_total{reason="died"}': 1,
        'dsapi_workers_replaced_total{reason="stalled"}': 0,
    }


def test_requests_that_wait_for_a_worker_leave_threads_for_others(
    tiny_config: Path, start_server: StartServer
) -> None:
    changes = {"prediction_workers": 1, "queue_size": 2, "http_threads": 1}
    server = start_server(load_settings(tiny_config, **changes))
    with ExitStack() as held:
        for _ in range(3):
            caller = socket.create_connection(("127.0.0.1", server.port))
            held.enter_context(caller)
            caller.sendall(
                b"POST /v1/predictions HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nx"
            )
        # With the one that asks.
        assert eventually(lambda: numbers(server)["dsapi_http_threads_busy{}"] == 4)


def test_connections_that_wait_are_told_and_one_too_many_closes_the_longest_idle(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, max_connections=16, socket_timeout=60))
    with ExitStack() as held:

        def connect() -> socket.socket:
            caller = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            return held.enter_context(caller)

        longest, *_ = [connect() for _ in range(15)]
        assert eventually(lambda: numbers(server)["dsapi_connections_waiting{}"] == 15)
        connect()
        connect()
        assert longest.recv(1) == b""


def test_times_are_told_apart_from_a_fast_stage_to_the_longest_request(
    watched: RunningServer,
) -> None:
    watched.post_picture(PICTURE)
    counted = numbers_when(watched, requests=1)
    for name in ("request", "stage"):
        found = [
            re.match(rf'dsapi_{name}_seconds_bucket{{.*le="([\d.]+)"', each) for each in counted
        ]
        bounds = {float(match[1]) for match in found if match}
        assert min(bounds) < 0.001
        assert max(bounds) == Settings(models={}).request_timeout


def test_a_reload_is_counted(watched: RunningServer) -> None:
    watched.ask("POST", "/v1/models/reload", b"")
    counted = numbers(watched)
    assert counted['dsapi_reloads_total{result="succeeded"}'] == 1
    assert counted['dsapi_reloads_total{result="failed"}'] == 0


def test_a_reload_that_fails_is_counted_as_such(tmp_path: Path, start_server: StartServer) -> None:
    config = write_tiny_config(tmp_path)
    server = start_server(load_settings(config))
    config.write_text("nonsense", encoding="utf-8")
    assert server.ask("POST", "/v1/models/reload", b"").status == 409
    counted = numbers(server)
    assert counted['dsapi_reloads_total{result="succeeded"}'] == 0
    assert counted['dsapi_reloads_total{result="failed"}'] == 1


def test_requests_are_timed_in_seconds(
    watched: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="dsapi.access"):
        watched.post_picture(PICTURE)
        counted = numbers_when(watched, requests=1)
    told = [record.msg for record in caplog.records if record.name == "dsapi.access"]
    (took_ms,) = [each.took_ms for each in told if "POST /v1/predictions " in each.request]
    seconds = counted['dsapi_request_seconds_sum{endpoint="/v1/predictions"}']
    assert seconds == pytest.approx(took_ms / 1000)


def test_the_dashboard_and_the_alerts_ask_only_for_numbers_that_exist(
    watched: RunningServer,
) -> None:
    watched.post_picture(PICTURE)
    watched.post_picture(b"no picture")
    answer = watched.ask("GET", "/metrics").body.decode()
    # Counters without an event yet have no sample, but their type is told.
    told = set(re.findall(r"^(?:# TYPE )?(\w+)", answer, re.M))
    dashboard = json.loads((DEPLOY / "grafana/dsapi.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked.append((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))
    names = {
        name for text in asked for name in re.findall(r"\b((?:dsapi|process)_\w+)\s*[{\[ )]", text)
    }
    assert len(names) > 15
    assert names <= told
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
