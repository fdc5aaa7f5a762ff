"""``dsapi status`` and ``dsapi top``: the numbers of a service that runs."""

import io
import socket
import threading
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.cli.live import Numbers, build_table, read_numbers
from dsapi.errors import StartupError
from dsapi.settings import load_settings
from tests.conftest import RunningServer, StartServer
from tests.pictures import GREEN, encode, plain
from tests.waiting import eventually


@pytest.fixture(scope="module")
def busy(tiny_config: Path, start_server: StartServer) -> RunningServer:
    server = start_server(load_settings(tiny_config))
    for _ in range(4):
        assert server.post_picture(encode(plain(GREEN))).status == 200
    assert server.post_picture(b"no picture").status == 415
    settings = server.settings.model_copy(update={"port": server.port})

    def counted() -> float:
        return read_numbers(settings).by("dsapi_requests_total", "form").get("raw", 0)

    # A request is counted when its answer is out.
    assert eventually(lambda: counted() >= 5)
    return server


def test_top_shows_models_workers_rates_and_refusals(
    busy: RunningServer, monkeypatch: pytest.MonkeyPatch, tiny_config: Path
) -> None:
    monkeypatch.setenv("DSAPI_PORT", str(busy.port))
    monkeypatch.setenv("COLUMNS", "120")
    result = CliRunner().invoke(
        app, ["top", "--count", "1", "--interval", "0.2", "--config", str(tiny_config)]
    )
    assert result.exit_code == 0, result.output
    version = busy.workers.models["themes"].version
    assert f"themes {version} (tensorflow)" in result.output
    assert "0 busy, 2 of 2 alive" in result.output
    assert "0 of 64 waiting" in result.output
    assert "/s" in result.output


def test_the_numbers_since_the_start_are_the_services(busy: RunningServer) -> None:
    settings = busy.settings.model_copy(update={"port": busy.port})
    numbers = read_numbers(settings)
    assert numbers.by("dsapi_requests_total", "status")["200"] >= 4
    errors = {
        code: count for code, count in numbers.by("dsapi_errors_total", "code").items() if count
    }
    assert errors == {"unsupported_media_type": 1}
    median_ms = numbers.quantile_ms("dsapi_stage_seconds", 0.5, stage="total")
    assert median_ms is not None
    assert 0 < median_ms < 10_000
    assert numbers.since(numbers).quantile_ms("dsapi_stage_seconds", 0.5) is None


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    numbers = Numbers(
        {
            ("t_bucket", frozenset({("le", "0.1")})): 50,
            ("t_bucket", frozenset({("le", "0.2")})): 100,
            ("t_bucket", frozenset({("le", "+Inf")})): 100,
        }
    )
    assert numbers.quantile_ms("t", 0.5) == pytest.approx(100)
    assert numbers.quantile_ms("t", 0.75) == pytest.approx(150)
    slow = Numbers({**numbers.values, ("t_bucket", frozenset({("le", "+Inf")})): 200})
    assert slow.quantile_ms("t", 0.99) == pytest.approx(200)  # at least


def numbers_of(requests: int, refused: int, cpu_s: float, fast: int) -> Numbers:
    """The numbers of a moment at which that many requests have ended."""
    stage = ("stage", "total")
    values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
        ("dsapi_requests_total", frozenset({("status", "200"), ("form", "raw")})): requests,
        ("dsapi_requests_total", frozenset({("status", "200"), ("form", "path")})): requests,
        ("dsapi_errors_total", frozenset({("code", "bad_point")})): refused,
        ("dsapi_errors_total", frozenset({("code", "too_large")})): 1,
        ("process_cpu_seconds_total", frozenset()): cpu_s,
        ("process_resident_memory_bytes", frozenset()): 250e6,
        ("dsapi_stage_seconds_count", frozenset({stage})): fast + 10,
        ("dsapi_stage_seconds_bucket", frozenset({stage, ("le", "0.1")})): fast,
        ("dsapi_stage_seconds_bucket", frozenset({stage, ("le", "0.2")})): fast + 10,
    }
    return Numbers(values)


def show(now: Numbers, before: Numbers | None = None, *, period_s: float = 0.0) -> dict[str, str]:
    """Read the table: what is told by its name."""
    output = io.StringIO()
    Console(file=output, width=200).print(build_table(now, before, period_s=period_s))
    rows = (line.strip().split(maxsplit=1) for line in output.getvalue().splitlines())
    return dict(row for row in rows if len(row) == 2)


def test_totals_are_since_the_start_and_rates_since_the_last_look() -> None:
    before = numbers_of(requests=100, refused=2, cpu_s=10.0, fast=0)
    now = numbers_of(requests=120, refused=5, cpu_s=11.0, fast=90)
    totals, rates = show(now), show(now, before, period_s=4.0)
    assert totals["requests"] == "240: 240 × 200"
    assert rates["requests"] == "10.0/s: 40 × 200"
    assert totals["errors"] == "5 × bad_point, 1 × too_large"
    assert rates["errors"] == "3 × bad_point"
    assert totals["processor"] == "11 s"
    assert rates["processor"] == "25% of a core"
    assert totals["memory"] == rates["memory"] == "250 MB"
    # Of 100, 90 took up to 100 ms, and 10 up to 200 ms; all of the last look were fast.
    assert totals["total"] == "p50 55.6 ms, p99 190.0 ms"
    assert rates["total"] == "p50 50.0 ms, p99 99.0 ms"


def test_rates_are_never_below_zero_where_a_service_has_been_restarted_since() -> None:
    """Its counters begin again, and so do those of one process that takes another's place."""
    key = ("process_cpu_seconds_total", frozenset[tuple[str, str]]())
    before, now = Numbers({key: 9.0}), Numbers({key: 0.5})
    assert now.since(before).get("process_cpu_seconds_total") == 0.0
    assert before.since(now).get("process_cpu_seconds_total") == 8.5


def test_lost_log_lines_are_told_where_there_are_any() -> None:
    now = numbers_of(requests=1, refused=0, cpu_s=1.0, fast=0)
    assert "log" not in show(now)
    lost = Numbers({**now.values, ("dsapi_log_lines_lost", frozenset()): 42})
    assert show(lost)["log"] == "42 lines lost"
    assert show(lost, lost, period_s=2.0)["log"] == "42 lines lost"


def test_a_service_that_does_not_answer_is_named(busy: RunningServer) -> None:
    nobody = busy.settings.model_copy(update={"port": 1})
    with pytest.raises(StartupError, match=r"does not answer on 127\.0\.0\.1:1"):
        read_numbers(nobody)


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_a_service_on_every_address_is_asked_on_the_machines_own(
    busy: RunningServer, host: str, asked: str
) -> None:
    nobody = busy.settings.model_copy(update={"host": host, "port": 1})
    with pytest.raises(StartupError, match=f"does not answer on {asked}:1"):
        read_numbers(nobody)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", r"does not answer on 127\.0\.0\.1:\d+: SSH-2\.0"),
        (b"HTTP/1.0 404 Not Found\r\n\r\nno page", "answers 404 to /metrics: no page"),
    ],
)
def test_another_program_on_the_port_is_told_from_the_service(
    busy: RunningServer, answer: bytes, told: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.recv(4096)
                caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        other = busy.settings.model_copy(update={"port": listener.getsockname()[1]})
        with pytest.raises(StartupError, match=told):
            read_numbers(other)
        thread.join()
