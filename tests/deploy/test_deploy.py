"""What is in deploy/ holds together with the settings, passes its tools, and works where it can."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from dsapi.settings import load_settings
from tests.installation import Installation
from tests.pictures import GREEN, encode, plain
from tests.ports import free_port
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
PICTURE = encode(plain(GREEN))


def tool(name: str) -> str:
    """Find a tool on the path or beside the interpreter; skip the test without it."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def check(*command: str | Path) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def setting(text: str, name: str) -> str:
    found = re.search(rf"^\s*{name}[ =]+([^;\n]+)", text, re.MULTILINE)
    assert found, name
    return found[1]


def test_the_unit_is_valid_and_hardened(tmp_path: Path) -> None:
    unit = tmp_path / "dsapi.service"
    text = (DEPLOY / "systemd/dsapi.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/dsapi/bin/dsapi", "/bin/true"), encoding="utf-8")
    check(tool("systemd-analyze"), "verify", unit)
    told = check(tool("systemd-analyze"), "security", "--offline=true", unit)
    exposure = re.search(r"exposure level for dsapi.service: ([\d.]+)", told)
    assert exposure, told
    assert float(exposure[1]) < 2.0


def test_every_stop_waits_longer_than_the_service_needs() -> None:
    needed_s = load_settings().shutdown_timeout
    unit = (DEPLOY / "systemd/dsapi.service").read_text(encoding="utf-8")
    assert float(setting(unit, "TimeoutStopSec").rstrip("s")) > needed_s
    pod = yaml.safe_load((DEPLOY / "kubernetes/deployment.yaml").read_text())["spec"]["template"]
    sleep_s = int(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > needed_s + sleep_s


def test_nginx_has_the_limits_of_the_service() -> None:
    settings = load_settings()
    text = (DEPLOY / "nginx/dsapi.conf").read_text(encoding="utf-8")
    megabytes = setting(text, "client_max_body_size").removesuffix("m")
    assert int(megabytes) * 1024 * 1024 == settings.max_bytes
    assert float(setting(text, "proxy_read_timeout").rstrip("s")) > settings.request_timeout
    # The first one is that of the connections to dsapi.
    assert float(setting(text, "keepalive_timeout").rstrip("s")) < settings.socket_timeout


def test_kubernetes_does_not_inject_a_port_that_is_no_number() -> None:
    pod = yaml.safe_load((DEPLOY / "kubernetes/deployment.yaml").read_text())["spec"]["template"]
    assert pod["spec"]["enableServiceLinks"] is False


def test_kustomize_lists_every_manifest() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    there = {path.name for path in MANIFESTS} - {"kustomization.yaml"}
    assert set(listed) == there


@pytest.mark.parametrize(
    "manifest", [path for path in MANIFESTS if path.stem != "kustomization"], ids=lambda p: p.stem
)
def test_a_manifest_follows_the_schema(manifest: Path) -> None:
    assert "passed" in check(tool("kubernetes-validate"), "--strict", manifest)


def test_the_dockerfile_has_no_known_mistakes() -> None:
    dockerfile = DEPLOY / "docker/Dockerfile"
    check(tool("hadolint"), dockerfile)
    assert re.search(r"^USER \d+", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def instances(
    request: pytest.FixtureRequest, tmp_path: Path, tiny_config: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three services in the foreground; their ports are in `ports` beside them.

    A parameter is their queue's size.
    """
    queue_size = getattr(request, "param", 64)
    pytest.importorskip("openvino")
    tool("nginx")
    started = []
    ports = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        installed = Installation(folder, tiny_config)
        installed.change(
            "[global]",
            f'[global]\nengine = "openvino"\nlog_level = "WARNING"\nqueue_size = {queue_size}',
        )
        ports.append(installed.port)
        command = [sys.executable, "-m", "dsapi", "serve", "--config", str(installed.config)]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    (tmp_path / "ports").write_text(" ".join(map(str, ports)))
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def proxy(tmp_path: Path, instances: list[subprocess.Popen[bytes]]) -> Iterator[int]:
    """Nginx with the shipped configuration, moved to free ports; its port when all answer."""
    text = (DEPLOY / "nginx/dsapi.conf").read_text(encoding="utf-8")
    for old, new in zip((9001, 9002, 9003), (tmp_path / "ports").read_text().split(), strict=True):
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    port = free_port()
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    (tmp_path / "dsapi.conf").write_text(text, encoding="utf-8")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"  {kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    main = tmp_path / "nginx.conf"
    main.write_text(
        f"pid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\nworker_processes 1;\n"
        "daemon off;\nevents {}\n"
        f"http {{\n  access_log off;\n{paths}  include {tmp_path}/dsapi.conf;\n}}\n"
    )
    check(tool("nginx"), "-t", "-q", "-e", tmp_path / "error.log", "-c", main)
    process = subprocess.Popen([tool("nginx"), "-e", tmp_path / "error.log", "-c", main])
    try:
        for instance in (tmp_path / "ports").read_text().split():
            wait_until(lambda instance=int(instance): answers(instance))  # type: ignore[misc]
        wait_until(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port: int, method: str = "POST", path: str = "/v1/predictions") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = PICTURE if method == "POST" else None
        connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool]) -> None:
    assert eventually(condition, patience_s=90.0)


def answers(port: int) -> bool:
    try:
        return ask(port)[0] == 200
    except OSError:
        return False


def test_killing_one_of_three_instances_under_load_fails_no_request(
    instances: list[subprocess.Popen[bytes]], proxy: int
) -> None:
    statuses: list[int] = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            statuses.append(ask(proxy)[0])

    callers = [threading.Thread(target=keep_asking) for _ in range(6)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(statuses) > 60)
    instances[1].send_signal(signal.SIGKILL)
    instances[1].wait()
    killed_at = len(statuses)
    wait_until(lambda: len(statuses) > killed_at + 120)
    stop.set()
    for caller in callers:
        caller.join()
    print(f"answers before and after the kill: {killed_at}, {len(statuses) - killed_at}")
    assert set(statuses) == {200}
    # What nginx itself refuses has the form of our own errors.
    status, body = ask(proxy, "GET", "/metrics")
    assert (status, yaml.safe_load(body)["code"]) == (404, "not_found")


def test_a_machine_that_does_not_answer_fails_no_request(
    tmp_path: Path, instances: list[subprocess.Popen[bytes]], proxy: int
) -> None:
    instances[1].kill()
    instances[1].wait()
    port = int((tmp_path / "ports").read_text().split()[1])
    with ExitStack() as stack:
        # The kernel drops who wants to connect to a listener whose backlog is full.
        stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        callers = [stack.enter_context(socket.socket()) for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        statuses = {ask(proxy)[0] for _ in range(20)}
    assert statuses == {200}


@pytest.mark.parametrize("instances", [1], indirect=True)
def test_full_instances_are_not_taken_for_dead_ones(
    instances: list[subprocess.Popen[bytes]], proxy: int
) -> None:
    codes: Counter[str] = Counter()
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            status, body = ask(proxy)
            codes["answered" if status == 200 else json.loads(body)["code"]] += 1

    callers = [threading.Thread(target=keep_asking) for _ in range(40)]
    for caller in callers:
        caller.start()
    wait_until(lambda: codes["answered"] > 200 and codes["overloaded"] > 20)
    stop.set()
    for caller in callers:
        caller.join()
    assert set(codes) == {"answered", "overloaded"}
    assert all(instance.poll() is None for instance in instances)


def test_without_an_instance_the_proxy_says_so_in_our_form(
    instances: list[subprocess.Popen[bytes]], proxy: int
) -> None:
    for instance in instances:
        instance.kill()
        instance.wait()
    status, body = ask(proxy)
    assert (status, json.loads(body)["status"]) == (503, 503)
    assert json.loads(body)["code"] == "not_ready"
