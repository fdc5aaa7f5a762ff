"""``dsapi status`` and ``dsapi top``: the numbers of a service that runs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.cli.live import Numbers, read_numbers
from dsapi.errors import StartupError
from dsapi.settings import load_settings
from tests.conftest import RunningServer, StartServer
from tests.pictures import GREEN, encode, plain


@pytest.fixture(scope="module")
def busy(tiny_config: Path, start_server: StartServer) -> RunningServer:
    server = start_server(load_settings(tiny_config))
    for _ in range(4):
        assert server.post_picture(encode(plain(GREEN))).status == 200
    assert server.post_picture(b"no picture").status == 415
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


def test_a_service_that_does_not_answer_is_named(busy: RunningServer) -> None:
    nobody = busy.settings.model_copy(update={"port": 1})
    with pytest.raises(StartupError, match=r"does not answer on 127\.0\.0\.1:1"):
        read_numbers(nobody)
