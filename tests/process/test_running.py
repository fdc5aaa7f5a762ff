"""A daemon whose settings or graphs change while it runs: it is found, and not taken down."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dsapi.process.pidfile import read_pid, running_pid
from tests.installation import Installation
from tests.ports import free_port
from tests.waiting import eventually


def test_a_daemon_is_found_where_it_answers_not_where_the_file_says_now(
    installation: Installation,
) -> None:
    assert installation.run("start").returncode == 0
    # What scripts read: the number and nothing else.
    assert installation.pid_file.read_text() == f"{read_pid(installation.pid_file)}\n"
    installation.change(f"port = {installation.port}", f"port = {free_port()}")
    assert f"port {installation.port}, ready" in installation.run("status").stdout
    reloaded = installation.run("reload")
    assert (reloaded.returncode, reloaded.stderr) == (0, "")
    assert "only after a restart: port" in reloaded.stdout
    assert installation.run("top", "--count", "1", "--interval", "0.2").returncode == 0
    assert installation.run("stop").returncode == 0
    assert list(installation.pid_file.parent.iterdir()) == []


def test_a_daemon_on_any_free_port_is_found(installation: Installation) -> None:
    installation.change(f"port = {installation.port}", "port = 0")
    started = installation.run("start")
    port = started.stdout.strip().rpartition(":")[2]
    assert f"port {port}, ready" in installation.run("status").stdout
    reloaded = installation.run("reload")
    assert (reloaded.returncode, reloaded.stderr) == (0, "")
    assert "restart" not in reloaded.stdout


def test_a_daemon_is_stopped_whatever_else_is_wrong_in_its_settings(
    installation: Installation,
) -> None:
    installation.run("start")
    installation.change("[global]", "[global]\nrequest_timeout = 0\nlog_level = DEBUG")
    installation.change("request_timeout = 20.0\n", "")
    installation.change(f"port = {installation.port}", "port = 70000")
    status = installation.run("status")
    assert status.returncode == 0
    assert f"port {installation.port}, ready" in status.stdout
    assert status.stderr.count("dsapi: warning: ") == 3
    restarted = installation.run("restart")
    assert restarted.returncode == 2
    assert installation.predict() == "green"
    reloaded = installation.run("reload")
    assert reloaded.returncode == 1
    assert "nothing has changed" in reloaded.stderr
    stopped = installation.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "dsapi has stopped\n")
    assert "request_timeout = 0" in stopped.stderr


def test_a_restart_that_could_not_start_again_changes_nothing(installation: Installation) -> None:
    installation.run("start")
    before = running_pid(installation.pid_file)
    whole = installation.config.read_text(encoding="utf-8")
    golden = installation.folder / "golden.json"
    golden.write_text(json.dumps([{"image": "none.png", "label": "green"}]))
    taken = socket.create_server(("127.0.0.1", 0))
    for old, new, told in (
        (
            f"port = {installation.port}",
            f"port = {taken.getsockname()[1]}",
            "Address already in use",
        ),
        ("models/themes.pb", "models/none.pb", "[models.themes] cannot read the graph"),
        ('crop = "9px"', 'crop = "9px"\ngolden = "golden.json"', "[models.colors] golden check"),
        ('host = "127.0.0.1"', 'host = "no.such.host.invalid"', "choose a host whose name"),
        ("[global]", '[global]\nlog_dir = "dsapi.conf/log"', "cannot write the log"),
        ("[global]", "[global]\nprocesses = 2\nlog_max_bytes = 1000000", "use logrotate"),
    ):
        installation.change(old, new)
        failed = installation.run("restart")
        assert failed.returncode == 2, failed.stdout
        assert failed.stderr.startswith("dsapi: nothing has changed: "), failed.stderr
        assert told in failed.stderr
        assert running_pid(installation.pid_file) == before
        installation.config.write_text(whole, encoding="utf-8")
    taken.close()
    assert installation.predict() == "green"
    assert installation.run("restart").returncode == 0
    assert running_pid(installation.pid_file) not in (None, before)


def test_a_missing_volume_does_not_keep_the_service_down_but_is_told(
    installation: Installation,
) -> None:
    installation.change('["pictures"]', '["pictures"]\nmax_bytes = 4096')
    assert installation.run("start").returncode == 0
    missing = installation.folder / "pictures"
    log = installation.folder / "log/dsapi.log"
    assert f"image_roots: {missing} is no folder" in log.read_text(encoding="utf-8")
    missing.mkdir()
    told = log.read_text(encoding="utf-8").count("is no folder")
    assert installation.run("reload").returncode == 0
    assert log.read_text(encoding="utf-8").count("is no folder") == told


def test_a_limit_of_files_that_is_too_low_for_the_connections_is_told(
    installation: Installation,
) -> None:
    command = ["bash", "-c", 'ulimit -n 400; exec "$@"', "bash"]
    started = installation.run("start", within=command)
    assert started.returncode == 0, started.stderr
    log = (installation.folder / "log/dsapi.log").read_text()
    assert "this process may open 400 files, too few for max_connections = 4096" in log
    assert "set max_connections = 144" in log
    assert installation.predict() == "green"


def test_a_change_of_engine_loses_no_line_of_the_log(tmp_path: Path, tiny_config: Path) -> None:
    installed = Installation(tmp_path, tiny_config)
    installed.change("[global]", '[global]\nengine = "openvino"')
    log = tmp_path / "log"
    command = [sys.executable, "-m", "dsapi", "serve", "--config", str(installed.config)]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            assert eventually(installed.is_ready, patience_s=60)
            installed.change("openvino", "tensorflow")
            process.send_signal(signal.SIGHUP)
            asked = 0
            # TensorFlow is imported in a process that has answered without it.
            while "reloaded in" not in log.read_text() and asked < 10_000:
                installed.predict()
                asked += 1
            line = '"POST /v1/predictions HTTP/1.1" 200'
            assert eventually(lambda: log.read_text().count(line) == asked)
        finally:
            process.kill()


def in_a_terminal(command: str, installation: Installation) -> tuple[int, subprocess.Popen[bytes]]:
    """Run a command in a terminal of its own; closing the number that is returned hangs it up."""
    terminal, end = os.openpty()
    dsapi = [sys.executable, "-m", "dsapi", command, "--config", str(installation.config)]
    process = subprocess.Popen(["setsid", "--ctty", *dsapi], stdin=end, stdout=end, stderr=end)
    os.close(end)
    return terminal, process


@pytest.mark.parametrize("processes", [1, 2])
def test_what_serves_in_a_terminal_reloads_on_a_signal_and_leaves_with_the_terminal(
    installation: Installation, processes: int
) -> None:
    """Else it would hold the port, where nobody sees it."""
    installation.change("[global]", f"[global]\nprocesses = {processes}")
    terminal, process = in_a_terminal("serve", installation)
    try:
        told = b""
        while b"open it, or stop with Ctrl-C" not in told:
            told += os.read(terminal, 4096)
        process.send_signal(signal.SIGHUP)
        while told.count(b"reloaded in") < processes:
            told += os.read(terminal, 4096)
        os.close(terminal)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_daemon_that_was_started_in_a_terminal_goes_on_without_it(
    installation: Installation,
) -> None:
    terminal, process = in_a_terminal("start", installation)
    assert process.wait(timeout=60) == 0
    os.close(terminal)
    pid = running_pid(installation.pid_file)
    assert pid is not None
    os.kill(pid, signal.SIGHUP)
    log = installation.folder / "log/dsapi.log"
    assert eventually(lambda: "reloaded in" in log.read_text(encoding="utf-8"))
    assert running_pid(installation.pid_file) == pid


def test_what_a_foreground_service_writes_under_a_manager_is_json_lines_alone(
    installation: Installation,
) -> None:
    installation.change("[global]", '[global]\nlog_format = "json"')
    written = installation.folder / "written"
    with written.open("w") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "dsapi", "serve", "--config", str(installation.config)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            assert eventually(installation.is_ready, patience_s=60.0)
        finally:
            service.terminate()
            service.wait(60)
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert {"time", "level", "logger"} <= set.intersection(*map(set, lines))
