"""Log lines: text or JSON, rotated or not, and a full disk loses lines but no request."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.operation.logs import configure_logs, count_lost_lines
from dsapi.settings import Settings, load_settings
from tests.conftest import RunningServer, StartServer
from tests.pictures import GREEN, encode, plain
from tests.waiting import eventually

PICTURE = encode(plain(GREEN))


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Give the loggers back to pytest."""
    loggers = [logging.getLogger(name) for name in ("", "dsapi.access", "dsapi.predictions")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in logger.handlers:
            if handler not in handlers:
                with suppress(OSError):  # what is left for a full disk
                    handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="module")
def quiet(tiny_config: Path, start_server: StartServer) -> RunningServer:
    return start_server(load_settings(tiny_config))


def log_to(folder: Path, quiet: RunningServer, **changes: object) -> Settings:
    settings = quiet.settings.model_copy(update={**changes, "log_dir": folder})
    configure_logs(settings, to_files=True)
    return settings


def read_lines(file: Path, count: int) -> list[str]:
    """Read a log when it has that many lines: the last is written after the answer is out."""
    eventually(lambda: len(file.read_text(encoding="utf-8").splitlines()) >= count)
    return file.read_text(encoding="utf-8").splitlines()


def read_json(file: Path, count: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in read_lines(file, count)]


def test_json_lines_carry_fields_and_the_request_id(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet, log_format="json")
    answer = quiet.ask(
        "POST",
        "/v1/predictions?x=3&y=4",
        PICTURE,
        {"X-Request-ID": "mine", "Content-Type": "image/png"},
    )
    logging.getLogger("dsapi.service").warning("a %s message", "plain")
    [access] = read_json(tmp_path / "access.log", 1)
    [prediction] = read_json(tmp_path / "predictions.log", 1)
    [service] = read_json(tmp_path / "dsapi.log", 1)
    assert access["request_id"] == prediction["request_id"] == "mine"
    assert (access["status"], access["form"]) == (200, "raw")
    assert access["size"] == len(answer.body)
    # From the first byte to the last: at least what the prediction took of it.
    assert access["took_ms"] >= answer.json["timing_ms"]["total"] - 0.1
    assert access["request"] == "POST /v1/predictions?x=3&y=4 HTTP/1.1"
    assert prediction["point"] == [3, 4]
    assert prediction["timing_ms"] == answer.json["timing_ms"]
    models = prediction["models"]
    assert isinstance(models, dict)
    assert models["themes"]["label"] == "green"
    assert service["message"] == "a plain message"
    assert (service["level"], service["logger"]) == ("WARNING", "dsapi.service")
    assert access["took_ms"] == round(access["took_ms"], 1)  # type: ignore[call-overload]
    assert {"time", "level", "logger"} <= access.keys() & prediction.keys() & service.keys()


def test_a_line_tells_how_many_points_were_asked_for_and_no_more_of_a_request_than_fits(
    tmp_path: Path, quiet: RunningServer
) -> None:
    log_to(tmp_path, quiet, log_format="json")
    quiet.post_picture(PICTURE, "points=[[3,4],[5,6],[7,8]]", "/v1/predictions/batch")
    read_lines(tmp_path / "access.log", 1)  # or the lines could come in the other order
    quiet.ask("GET", f"/{'a' * 300}")
    [prediction] = read_json(tmp_path / "predictions.log", 1)
    assert (prediction["points"], prediction["point"]) == (3, [3, 4])
    _, access = read_json(tmp_path / "access.log", 2)
    assert access["request"] == f"GET /{'a' * 195}"


def test_text_lines_say_the_same_for_people(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet)
    quiet.ask("POST", "/v1/predictions?x=900&y=4", PICTURE, {"X-Request-ID": "mine"})
    read_lines(tmp_path / "access.log", 1)  # or the lines could come in the other order
    quiet.ask("POST", "/v1/predictions?x=3&y=4", PICTURE, {"X-Request-ID": "other"})
    refused, answered = read_lines(tmp_path / "access.log", 2)
    assert 'mine 127.0.0.1 "POST /v1/predictions?x=900&y=4 HTTP/1.1" 400' in refused
    assert refused.endswith(" bad_point")
    assert "other" in answered
    prediction = (tmp_path / "predictions.log").read_text(encoding="utf-8")
    assert "other source='body' format=PNG" in prediction
    assert "themes=" in prediction
    assert '"green":' in prediction
    assert "total_ms=" in prediction


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_model_without_a_label_to_tell_is_logged_as_such(
    tmp_path: Path, quiet: RunningServer, form: str
) -> None:
    log_to(tmp_path, quiet, log_format=form)
    answer = quiet.post_picture(PICTURE, "min_probability=1")
    assert answer.json["predictions"] == {"themes": [], "colors": []}
    [line] = read_lines(tmp_path / "predictions.log", 1)
    version = quiet.workers.models["themes"].version
    if form == "text":
        assert f" themes={version}:- " in line
    else:
        unknown = {"version": version, "label": None, "probability": None}
        assert json.loads(line)["models"]["themes"] == unknown


def test_behind_a_proxy_the_callers_own_address_is_logged(
    tmp_path: Path, tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, trusted_proxies=("127.0.0.1",)))
    log_to(tmp_path, server, log_format="json")
    server.ask("GET", "/health/live", None, {"X-Forwarded-For": "192.0.2.7"})
    [access] = read_json(tmp_path / "access.log", 1)
    assert access["client"] == "192.0.2.7"


def test_a_path_cannot_end_a_line(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet)
    (quiet.settings.image_roots[0] / "logged.png").write_bytes(PICTURE)
    path = "a\n2026-01-01 forged/../logged.png"
    answer = quiet.ask(
        "POST",
        "/v1/predictions",
        json.dumps({"path": path}),
        {"Content-Type": "application/json", "X-Request-ID": "mine"},
    )
    assert answer.status == 200
    [line] = read_lines(tmp_path / "predictions.log", 1)
    assert f"mine source={path!r} " in line


def test_no_log_holds_bytes_of_a_picture(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet, log_level="DEBUG")
    quiet.post_picture(PICTURE)
    quiet.post_picture(PICTURE[:40])
    quiet.ask("POST", "/v1/predictions", PICTURE, {"Content-Type": "application/json"})
    logged = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"PNG\\r" not in logged
    assert PICTURE[:8] not in logged
    assert len(logged) < 4000


def test_files_that_grow_are_rotated_and_a_few_kept(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet, log_max_bytes=500, log_backups=2)
    for _ in range(20):
        last = quiet.ask("GET", "/health/live").headers["X-Request-ID"]
    newest = tmp_path / "access.log"
    # Written after the answer is out, and perhaps to a file made for it.
    eventually(lambda: newest.exists() and last in newest.read_text(encoding="utf-8"))
    kept = sorted(file.name for file in tmp_path.glob("access.log*"))
    assert kept == ["access.log", "access.log.1", "access.log.2"]
    assert all(file.stat().st_size <= 500 for file in tmp_path.glob("access.log*"))


def test_several_processes_do_not_rotate_one_file(tmp_path: Path, quiet: RunningServer) -> None:
    with pytest.raises(StartupError, match="set log_max_bytes = 0 and use logrotate"):
        log_to(tmp_path, quiet, log_max_bytes=500, processes=2)
    log_to(tmp_path, quiet, log_max_bytes=0, processes=2)


def test_each_kind_of_line_is_in_its_own_file_from_the_level_on(
    tmp_path: Path, quiet: RunningServer
) -> None:
    folder = tmp_path / "not/yet/there"
    log_to(folder, quiet, log_level="WARNING")
    logging.getLogger("dsapi.service").info("not told")
    logging.getLogger("dsapi.service").warning("told → to whoever reads it")
    log_to(folder, quiet)
    quiet.ask("GET", "/health/live")
    assert read_lines(folder / "access.log", 1)
    [line] = read_lines(folder / "dsapi.log", 1)
    time, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", time)
    assert rest == "WARNING dsapi.service: told → to whoever reads it"


def test_where_no_log_can_be_made_requests_are_answered_and_lines_counted(
    tmp_path: Path, quiet: RunningServer
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    log_to(folder, quiet)
    folder.rename(tmp_path / "moved")
    answers = [quiet.ask("GET", "/health/live").status for _ in range(5)]
    answers += [quiet.post_picture(PICTURE).status for _ in range(5)]
    assert answers == [200] * 10
    assert eventually(lambda: count_lost_lines() >= 15)  # after the last answer is out
    folder.mkdir()
    quiet.ask("GET", "/health/ready")
    assert eventually((folder / "access.log").exists)
    assert any("/health/ready" in line for line in read_lines(folder / "access.log", 1))


def test_a_request_line_cannot_end_a_line(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet)
    quiet.ask("GET", '/a%0a2026-01-01%20forged%1b[31m%9b1m"\\', None, {"X-Request-ID": "mine"})
    [line] = read_lines(tmp_path / "access.log", 1)
    told = '"GET /a\\x0a2026-01-01 forged\\x1b[31m\\x9b1m\\x22\\x5c HTTP/1.1" 404'
    assert f"mine 127.0.0.1 {told}" in line


def test_a_file_that_logrotate_has_moved_is_made_anew(tmp_path: Path, quiet: RunningServer) -> None:
    log_to(tmp_path, quiet)
    quiet.ask("GET", "/health/live")
    assert read_lines(tmp_path / "access.log", 1)
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    quiet.ask("GET", "/health/ready")
    assert eventually((tmp_path / "access.log").exists)
    assert any("/health/ready" in line for line in read_lines(tmp_path / "access.log", 1))


needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="a disk that is full, by the kernel"
)


@needs_full_disk
@pytest.mark.parametrize("log_max_bytes", [0, 10_000])
def test_a_full_disk_loses_lines_and_counts_them_and_nothing_else(
    tmp_path: Path, quiet: RunningServer, capsys: pytest.CaptureFixture[str], log_max_bytes: int
) -> None:
    for name in ("access.log", "predictions.log", "dsapi.log"):
        (tmp_path / name).symlink_to("/dev/full")
    log_to(tmp_path, quiet, log_max_bytes=log_max_bytes)
    answers = [quiet.post_picture(PICTURE).status for _ in range(5)]
    assert answers == [200] * 5
    eventually(lambda: count_lost_lines() >= 10)
    told = re.search(rb"^dsapi_log_lines_lost (\d+)", quiet.ask("GET", "/metrics").body, re.M)
    assert told is not None
    assert int(told[1]) >= 10
    assert "Traceback" not in capsys.readouterr().err


@needs_full_disk
def test_lines_that_standard_error_cannot_take_are_counted_too(
    quiet: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - its end cannot be written either
    monkeypatch.setattr(sys, "stderr", full)
    configure_logs(quiet.settings.model_copy(update={"log_dir": tmp_path / "log"}))
    logging.getLogger("dsapi.access").info("lost")
    assert count_lost_lines() == 1
    assert not (tmp_path / "log").exists()
    with suppress(OSError):
        full.close()
