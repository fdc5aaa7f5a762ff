"""A real daemon: it forks, loads, answers, stops; and what is said when it cannot."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from dsapi.process.checks import check_restart
from dsapi.process.daemon import stop
from dsapi.process.pidfile import running_pid
from dsapi.settings import Settings, load_settings
from tests.another_user import ask_as_another_user
from tests.installation import PICTURE, Installation
from tests.ports import free_port
from tests.waiting import eventually


def test_a_daemon_starts_answers_and_stops(installation: Installation) -> None:
    started = installation.run("start")
    assert started.returncode == 0, started.stderr
    assert f"http://127.0.0.1:{installation.port}" in started.stdout
    assert [installation.predict() for _ in range(2)] == ["green", "green"]
    status = installation.run("status")
    assert status.returncode == 0
    assert "ready" in status.stdout
    assert str(running_pid(installation.pid_file)) in status.stdout
    run = installation.pid_file.parent
    assert {file.name: file.stat().st_mode & 0o022 for file in run.iterdir()} == {
        "dsapi.pid": 0,
        "dsapi.pid.address": 0,
    }
    stopped = installation.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "dsapi has stopped\n")
    assert not installation.pid_file.exists()
    with pytest.raises(ConnectionRefusedError):
        installation.predict()
    logs = installation.folder / "log"
    service_log = (logs / "dsapi.log").read_text()
    assert "loaded themes" in service_log
    assert re.search(r"process \d+ stops on SIGTERM\n.*process \d+ has stopped after", service_log)
    assert (logs / "predictions.log").read_text().count("total_ms=") == 2
    assert '"POST /v1/predictions HTTP/1.1" 200' in (logs / "access.log").read_text()
    assert (logs / "dsapi.log").stat().st_mode & 0o022 == 0


def test_a_daemon_that_was_started_elsewhere_is_found_there(installation: Installation) -> None:
    port = str(free_port())
    root = installation.folder / "elsewhere"
    root.mkdir()
    options = ("--image-root", str(root), "--workers", "1", "--log-level", "WARNING")
    started = installation.run("start", "--port", port, *options)
    assert started.returncode == 0, started.stderr
    found = installation.run("status")
    assert found.returncode == 0
    assert f"port {port}, ready" in found.stdout
    # All options hold, over what the file says.
    assert "0 busy, 1 of 1 alive" in found.stdout
    assert "loaded themes" not in (installation.folder / "log/dsapi.log").read_text()
    (root / "green.png").write_bytes(PICTURE)
    asked = f"http://127.0.0.1:{port}/v1/predictions"
    with urllib.request.urlopen(asked, b"path=green.png", timeout=20) as answer:
        assert json.load(answer)["predictions"]["themes"][0]["label"] == "green"
    # What is asked for by name wins.
    assert "not ready" in installation.run("status", "--port", str(installation.port)).stdout
    assert installation.run("reload").returncode == 0
    restarted = installation.run("restart", "--port", port)
    assert f":{port}" in restarted.stdout
    assert installation.run("stop").returncode == 0


def test_without_a_daemon_stop_and_status_say_so(installation: Installation) -> None:
    told = f": no process holds {installation.pid_file}\n"
    assert installation.run("stop").stdout == f"dsapi was not running{told}"
    for command in ("status", "reload"):
        found = installation.run(command)
        assert (found.returncode, found.stdout) == (3, f"dsapi is not running{told}")


def test_a_reload_that_may_not_be_asked_for_names_the_signal_that_may(
    installation: Installation,
) -> None:
    installation.change("[global]", "[global]\nadmin_loopback = False")
    assert installation.run("start").returncode == 0
    done = installation.run("reload")
    assert done.returncode == 1
    assert "this needs one of admin_keys, and none are set" in done.stderr
    pid = running_pid(installation.pid_file)
    assert done.stderr.endswith(f"; instead: kill -HUP {pid}\n")


def test_a_restart_is_another_process(installation: Installation) -> None:
    installation.run("start")
    before = running_pid(installation.pid_file)
    restarted = installation.run("restart")
    assert (restarted.returncode, restarted.stderr) == (0, "")
    assert running_pid(installation.pid_file) not in (None, before)
    assert installation.predict() == "green"


def test_a_second_start_is_refused_and_the_first_goes_on(installation: Installation) -> None:
    installation.run("start")
    second = installation.run("start")
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "runs already" in second.stderr
    assert installation.predict() == "green"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_daemon_starts_whatever_its_caller_has_closed(
    installation: Installation, closed: str
) -> None:
    command = f'exec "$0" -m dsapi start --config "$1" {closed}'
    started = subprocess.run(
        ["bash", "-c", command, sys.executable, str(installation.config)], timeout=120, check=False
    )
    assert started.returncode == 0
    assert installation.predict() == "green"


def test_a_stop_that_finds_only_what_a_killed_daemon_has_left_says_so(
    installation: Installation,
) -> None:
    installation.change("[global]", "[global]\nshutdown_timeout = 0")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    installation.pid_file.parent.mkdir()
    installation.pid_file.write_text(f"{gone.pid}\n")
    with installation.pid_file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stopped = installation.run("stop")
    assert stopped.returncode == 2
    assert f"fuser -k {installation.pid_file}" in stopped.stderr
    assert "Traceback" not in stopped.stderr


@pytest.mark.parametrize(("command", "named"), [(stop, "stop"), (check_restart, "restart")])
def test_a_daemon_of_another_user_is_said_to_be_one(
    tiny_config: Path, command: Callable[[Settings], object], named: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, Path(folder, "dsapi.pid").open("w") as held:
        Path(folder).chmod(0o755)
        held.write("1\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        settings = load_settings(tiny_config).model_copy(update={"pid_file": Path(held.name)})
        told = ask_as_another_user(command, settings)
    assert told == f"dsapi (PID 1) is another user's; {named} it as that user"


# A fault of ours, that is: no file of settings has such a number of threads.
_UNFORESEEN = """
import sys
from pathlib import Path
from dsapi.errors import StartupError
from dsapi.process.daemon import start
from dsapi.settings import Settings, load_settings
try:
    start(load_settings(Path(sys.argv[1])).model_copy(update={"http_threads": None}))
except StartupError as error:
    print(error)
"""


def test_a_daemon_that_ends_without_a_word_has_its_log_named(installation: Installation) -> None:
    command = [sys.executable, "-c", _UNFORESEEN, str(installation.config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    log = installation.folder / "log/dsapi.log"
    assert ended.stdout == f"the daemon died while it started; {log} says more\n"
    assert "TypeError: unsupported operand" in ended.stderr


def test_a_start_after_a_crash_ignores_the_stale_pid_file(installation: Installation) -> None:
    installation.run("start")
    pid = running_pid(installation.pid_file)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: running_pid(installation.pid_file) is None)
    assert installation.pid_file.exists()
    assert installation.run("status").returncode == 3
    assert installation.run("start").returncode == 0
    assert installation.predict() == "green"


def test_a_pid_file_with_the_number_of_somebody_else_is_stale(installation: Installation) -> None:
    installation.pid_file.parent.mkdir()
    installation.pid_file.write_text(f"{os.getpid()}\n")
    assert installation.run("status").returncode == 3
    assert installation.run("start").returncode == 0


def failed_start(installation: Installation) -> str:
    """Start where it must fail: exit code 2, one line, nothing left running."""
    failed = installation.run("start")
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert failed.stderr.count("\n") == 1, failed.stderr
    assert running_pid(installation.pid_file) is None
    return failed.stderr


def test_a_taken_port_is_named(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)):
        told = failed_start(installation)
    assert f"127.0.0.1:{installation.port}: Address already in use" in told


def test_an_unwritable_log_folder_is_named(installation: Installation) -> None:
    (installation.folder / "log").write_text("a file, not a folder")
    told = failed_start(installation)
    assert f"cannot write the log {installation.folder / 'log/dsapi.log'}: Not a dir" in told


@pytest.mark.parametrize("name", ["dsapi.log", "access.log", "predictions.log"])
def test_a_log_file_that_cannot_be_opened_is_named(installation: Installation, name: str) -> None:
    file = installation.folder / "log" / name
    file.mkdir(parents=True)
    told = f"dsapi: cannot write the log {file}: Is a directory; change log_dir"
    assert failed_start(installation).startswith(told)
    checked = installation.run("check")
    assert checked.returncode == 2
    assert checked.stderr.startswith(told)


def test_an_unwritable_pid_file_is_named(installation: Installation) -> None:
    (installation.folder / "run").write_text("a file, not a folder")
    assert f"cannot write the PID file {installation.pid_file}" in failed_start(installation)


def test_a_missing_graph_is_named(installation: Installation) -> None:
    installation.change("models/themes.pb", "models/none.pb")
    told = failed_start(installation)
    assert "[models.themes] cannot read the graph" in told
    assert "none.pb" in told


def test_a_corrupt_graph_is_named(installation: Installation) -> None:
    (installation.folder / "broken.pb").write_bytes(b"\x00broken")
    for line in installation.config.read_text().splitlines():
        if "colors.pb" in line:
            installation.change(line, 'graph = "broken.pb"')
    assert "[models.colors]" in failed_start(installation)


def test_a_wrong_number_of_labels_is_named(installation: Installation) -> None:
    (installation.folder / "two.txt").write_text("a\nb\n")
    config = installation.config.read_text()
    line = next(line for line in config.splitlines() if "three.txt" in line)
    installation.config.write_text(config.replace(line, 'labels = "two.txt"', 1))
    told = failed_start(installation)
    assert "gives 3 scores" in told
    assert "two.txt has 2 labels" in told


def test_a_wrong_setting_is_named(installation: Installation) -> None:
    installation.change("prediction_workers", "prediction_wrokers")
    assert "did you mean prediction_workers?" in failed_start(installation)


def test_serving_in_the_foreground_ends_with_a_signal(installation: Installation) -> None:
    command = [sys.executable, "-m", "dsapi", "serve", "--config", str(installation.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{installation.port}" in process.stdout.readline()
        assert installation.predict() == "green"
        told = installation.run("reload")
        assert told.returncode == 3
        assert f"(What answers on port {installation.port} is no daemon" in told.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_serving_on_a_taken_port_fails_with_one_line(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)):
        failed = installation.run("serve")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("dsapi: cannot listen on 127.0.0.1:")
    assert "Traceback" not in failed.stderr
