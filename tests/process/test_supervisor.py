"""Several processes on one port: they share the work, are replaced, reload and leave together."""

import json
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dsapi.process.pidfile import running_pid
from tests.installation import PICTURE, Installation
from tests.waiting import eventually

PATIENCE_S = 60.0


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager, told by whatever is started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield manager


@pytest.fixture
def several(tmp_path: Path, tiny_config: Path, manager: socket.socket) -> Iterator[Installation]:
    """A daemon of two processes, with OpenVINO as that starts fast."""
    pytest.importorskip("openvino")
    installed = Installation(tmp_path, tiny_config)
    installed.change(
        "[global]", '[global]\nprocesses = 2\nengine = "openvino"\nshutdown_timeout = 5.0'
    )
    started = installed.run("start")
    assert started.returncode == 0, started.stderr
    yield installed
    if pid := running_pid(installed.pid_file):
        os.kill(pid, signal.SIGKILL)


def children(installation: Installation) -> set[int]:
    supervisor = running_pid(installation.pid_file)
    assert supervisor is not None
    text = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
    return {int(pid) for pid in text.split()}


def wait_until(condition: Callable[[], bool], told: str) -> None:
    assert eventually(condition, patience_s=PATIENCE_S), told


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def predicts(installation: Installation) -> bool:
    try:
        return installation.predict() == "green"
    except OSError:
        return False


def count_files(pid: int | None) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_killed_process_is_replaced_and_all_leave_together(
    several: Installation, manager: socket.socket
) -> None:
    before = children(several)
    assert len(before) == 2
    supervisor = running_pid(several.pid_file)
    files = count_files(supervisor)
    assert {several.predict() for _ in range(8)} == {"green"}
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: len(children(several)) == 2 and victim not in children(several), "not replaced"
    )
    # Before, a signal would end it without a word.
    wait_until(
        lambda: numbers(several, "dsapi_ready") == {"0": 1, "1": 1}, "the new process is not ready"
    )
    every = children(several)
    wait_until(lambda: count_files(supervisor) == files, "something of the killed one is kept")
    assert several.run("stop").returncode == 0
    assert not [pid for pid in every if is_alive(pid)]
    log = (several.folder / "log/dsapi.log").read_text()
    left = {int(pid) for pid in re.findall(r"process (\d+) has stopped after", log)}
    assert left == {supervisor, *every}, "one did not leave by itself"
    assert f"process {victim} ended by itself (SIGKILL); another takes its place" in log
    # Once for all of them.
    assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def numbers(installation: Installation, name: str, **labels: str) -> dict[str, float]:
    """Read one of the metrics, by the process that it is of."""
    body = installation.ask("GET", "/metrics")[1].decode()
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


def reloads(installation: Installation, result: str) -> list[float]:
    """Read how often each process has reloaded, in ascending order."""
    found: dict[str, float] = {}

    def tell() -> bool:
        # Who is too busy to tell within half a second is left out of the metrics.
        found.update(numbers(installation, "dsapi_reloads_total", result=result))
        return set(found) == {"0", "1"}

    wait_until(tell, "not both tell")
    return sorted(found.values())


def wait_for_reloads(installation: Installation, count: int) -> None:
    wait_until(lambda: min(reloads(installation, "succeeded")) >= count, "not all have reloaded")


def test_whoever_is_asked_for_the_numbers_tells_those_of_all(several: Installation) -> None:
    for _ in range(8):
        several.predict()
    counted = partial(numbers, several, "dsapi_request_seconds_count", endpoint="/v1/predictions")
    # A request is counted when its answer is out.
    wait_until(lambda: sum(counted().values()) == 8, "not counted")
    for _ in range(8):
        assert sum(counted().values()) == 8
    told = several.run("status").stdout
    assert "0 busy, 4 of 4 alive" in told
    assert "0 of 128 waiting" in told


def test_each_process_reloads_once_for_each_request_and_each_signal(several: Installation) -> None:
    for asked in range(1, 4):
        assert several.run("reload").returncode == 0
        wait_for_reloads(several, asked)
    assert reloads(several, "succeeded") == [3, 3]
    supervisor = running_pid(several.pid_file)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGHUP)
    wait_for_reloads(several, 4)
    assert several.run("stop").returncode == 0
    log = (several.folder / "log/dsapi.log").read_text()
    assert log.count("reloaded in") == 4 * 2


def test_a_reload_that_fails_is_reported_and_reaches_no_other_process(
    several: Installation,
) -> None:
    several.change("three.txt", "four.txt")
    failed = several.run("reload")
    assert failed.returncode == 1
    assert "nothing has changed: [models.themes] cannot read the labels" in failed.stderr
    several.change("four.txt", "three.txt")
    assert several.run("reload").returncode == 0
    wait_for_reloads(several, 1)
    # Had the first one been passed on, both would have failed.
    assert reloads(several, "failed") == [0, 1]
    assert several.predict() == "green"


def kill_every_process(installation: Installation) -> None:
    before = children(installation)
    for victim in before:
        os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: len(children(installation)) == 2 and not before & children(installation),
        "not replaced",
    )
    wait_until(lambda: all(predicts(installation) for _ in range(8)), "the new ones do not answer")


def test_a_process_that_replaces_another_has_the_settings_in_force(several: Installation) -> None:
    several.change("[global]", "[global]\nmax_bytes = 2048")
    assert several.run("reload").returncode == 0
    wait_for_reloads(several, 1)
    kill_every_process(several)
    assert several.ask("POST", "/v1/predictions", b"x" * 3000)[0] == 413
    several.change("three.txt", "four.txt")
    assert several.run("reload").returncode == 1
    kill_every_process(several)
    assert several.ask("POST", "/v1/predictions", b"x" * 3000)[0] == 413


def test_a_process_that_takes_a_place_while_the_others_reload_has_their_new_settings(
    several: Installation,
) -> None:
    victim, other = sorted(children(several))
    supervisor = running_pid(several.pid_file)
    assert supervisor is not None
    # The other one is held up in its reload until the victim has been replaced.
    os.kill(other, signal.SIGSTOP)
    try:
        several.change("[global]", "[global]\nmax_bytes = 2048")
        os.kill(victim, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGHUP)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(children(several) - {victim}) == 2, "not replaced")
    finally:
        os.kill(other, signal.SIGCONT)

    log = several.folder / "log/dsapi.log"
    wait_until(lambda: log.read_text().count(" answers on http") == 3, "it does not answer")

    def refused() -> bool:
        try:
            return several.ask("POST", "/v1/predictions", b"x" * 3000)[0] == 413
        except OSError:
            return False

    wait_until(lambda: all(refused() for _ in range(16)), "one has the old settings")


def test_a_process_that_cannot_be_replaced_yet_is_replaced_later(several: Installation) -> None:
    supervisor = running_pid(several.pid_file)
    assert supervisor is not None
    victim = min(children(several))
    files = count_files(supervisor)
    before = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (3, before[1]))
    os.kill(victim, signal.SIGKILL)
    log = several.folder / "log/dsapi.log"
    wait_until(
        lambda: f"process {victim} ended by itself and cannot be replaced yet" in log.read_text(),
        "not told",
    )
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: len(children(several) - {victim}) == 2, "not replaced")
    wait_until(lambda: all(predicts(several) for _ in range(8)), "the new process does not answer")
    assert count_files(supervisor) == files
    stuck = min(children(several))
    os.kill(stuck, signal.SIGSTOP)
    assert several.run("stop").returncode == 0
    assert not is_alive(stuck)


def test_processes_that_took_a_place_after_a_reload_follow_each_later_one_once(
    several: Installation,
) -> None:
    supervisor = running_pid(several.pid_file)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGHUP)
    wait_for_reloads(several, 1)
    kill_every_process(several)
    for asked in range(1, 4):
        assert several.run("reload").returncode == 0
        wait_for_reloads(several, asked)
    assert several.run("stop").returncode == 0
    log = (several.folder / "log/dsapi.log").read_text()
    assert log.count("reloaded in") == (1 + 3) * 2


def test_a_process_that_dies_at_once_is_not_started_all_the_time(
    several: Installation, tiny_config: Path
) -> None:
    graph = several.folder / "models.pb"
    several.change(f"{tiny_config.parent / 'models/themes.pb'}", f"{graph}")
    graph.write_bytes((tiny_config.parent / "models/themes.pb").read_bytes())
    assert several.run("reload").returncode == 0
    wait_for_reloads(several, 1)
    graph.rename(several.folder / "away.pb")
    os.kill(min(children(several)), signal.SIGKILL)
    log = several.folder / "log/dsapi.log"
    starts = re.compile(r"^(\S+) .*another takes its place", re.MULTILINE)
    wait_until(lambda: len(starts.findall(log.read_text())) >= 2, "not tried again")
    first, second = (datetime.fromisoformat(at) for at in starts.findall(log.read_text())[:2])
    # By the supervisor's own lines: how long a process takes to fail is up to the machine.
    assert second - first > timedelta(seconds=1.9)
    assert several.predict() == "green"
    (several.folder / "away.pb").rename(graph)
    wait_until(
        lambda: numbers(several, "dsapi_ready") == {"0": 1, "1": 1}, "no process takes its place"
    )


def test_killing_the_supervisor_ends_the_others_too(several: Installation) -> None:
    every = children(several)
    supervisor = running_pid(several.pid_file)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in every if is_alive(pid)], "a process was left over")
    log = (several.folder / "log/dsapi.log").read_text(encoding="utf-8")
    # Each says why, as nobody has sent it the signal that it then stops on.
    assert log.count(f"the supervisor ({supervisor}) has gone") == len(every)
    started = several.run("start")
    assert started.returncode == 0, started.stderr
    assert several.predict() == "green"


def test_a_start_that_fails_in_the_processes_says_why(tmp_path: Path, tiny_config: Path) -> None:
    pytest.importorskip("openvino")
    installed = Installation(tmp_path, tiny_config)
    installed.change("[global]", '[global]\nprocesses = 2\nengine = "openvino"')
    installed.change('crop = "9px"', 'crop = "9px"\noutput_tensor = "missing"')
    started = installed.run("start")
    assert started.returncode == 2
    assert "output_tensor = 'missing' is not in the graph" in started.stderr
    assert running_pid(installed.pid_file) is None


def test_a_port_in_use_stops_several_processes_too(tmp_path: Path, tiny_config: Path) -> None:
    installed = Installation(tmp_path, tiny_config)
    installed.change("[global]", "[global]\nprocesses = 2")
    with socket.create_server(("127.0.0.1", installed.port)):
        started = installed.run("start")
    assert started.returncode == 2
    assert "cannot listen on" in started.stderr


def test_several_processes_do_not_rotate_one_file(tmp_path: Path, tiny_config: Path) -> None:
    installed = Installation(tmp_path, tiny_config)
    installed.change("[global]", "[global]\nprocesses = 2\nlog_max_bytes = 1000000")
    started = installed.run("start")
    assert started.returncode == 2
    assert "use logrotate" in started.stderr


def test_the_service_manager_is_told_when_it_is_ready_and_when_it_leaves(
    tmp_path: Path, tiny_config: Path, manager: socket.socket
) -> None:
    pytest.importorskip("openvino")
    installed = Installation(tmp_path, tiny_config)
    installed.change("[global]", '[global]\nengine = "openvino"')
    assert installed.run("start").returncode == 0
    assert manager.recv(100) == b"READY=1"
    status, body = installed.ask("GET", "/health/ready")
    assert (status, json.loads(body)["status"]) == (200, "ready")
    with socket.create_connection(("127.0.0.1", installed.port)) as caller:
        caller.settimeout(PATIENCE_S)
        caller.sendall(b"POST /v1/predictions HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        pid = running_pid(installed.pid_file)
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        caller.sendall(b"cd")
        # It was told before the request in flight was waited for.
        assert b" 415 " in caller.recv(100)
    wait_until(lambda: running_pid(installed.pid_file) is None, "it is still there")


def test_processes_on_any_free_port_share_the_one_that_was_found(several: Installation) -> None:
    assert several.run("stop").returncode == 0
    several.change(f"port = {several.port}", "port = 0")
    started = several.run("start")
    assert started.returncode == 0, started.stderr
    found = re.search(r"http://127\.0\.0\.1:(\d+)", started.stdout)
    assert found is not None
    several.port = int(found[1])
    counted = partial(numbers, several, "dsapi_request_seconds_count", endpoint="/v1/predictions")
    for _ in range(40):
        several.predict()
    # Each connection of 40 goes to either process as likely.
    wait_until(lambda: sum(counted().values()) == 40, "not counted")
    assert all(counted().get(place) for place in ("0", "1"))


def test_a_stop_waits_for_a_slow_caller_as_long_as_is_configured(several: Installation) -> None:
    assert several.run("stop").returncode == 0
    several.change("shutdown_timeout = 5.0", "shutdown_timeout = 20.0")
    assert several.run("start").returncode == 0
    head = f"POST /v1/predictions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", several.port), timeout=20) as caller:
        caller.sendall(head.encode() + PICTURE[:20])
        busy = partial(numbers, several, "dsapi_http_threads_busy")
        # Beside those that the question itself keeps busy.
        wait_until(lambda: sum(busy().values()) > 1, "the caller is not heard")
        supervisor = running_pid(several.pid_file)
        assert supervisor is not None
        os.kill(supervisor, signal.SIGTERM)
        # Longer than processes get beside that time.
        time.sleep(4)
        caller.sendall(PICTURE[20:])
        assert caller.recv(100).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: running_pid(several.pid_file) is None, "not stopped")
