"""Day after day: memory stays flat, faults pass, and no request is lost."""

import json
import os
import socket
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import GREEN, encode, plain
from tests.soak.conftest import LONG, Extent, StartService
from tests.soak.load import send_mixed, steady_load
from tests.soak.service import Service
from tests.waiting import eventually

PICTURE = encode(plain(GREEN))
HEAD = b"POST /v1/predictions HTTP/1.1\r\nHost: soak\r\nContent-Length: 5000\r\n"
_SAMPLES = 60
_WARM_UP_SHARE = 0.4


def open_connections(service: Service, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(count)]


def close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def predicts(service: Service, times: int = 5) -> bool:
    return [service.ask("POST", "/v1/predictions", PICTURE)[0] for _ in range(times)] == [
        200
    ] * times


def have_reloaded(service: Service, count: int) -> bool:
    # On a machine that is busy with other things, loading can take minutes.
    return eventually(lambda: service.reloads >= count, patience_s=600.0)


def test_memory_stays_flat_over_mixed_requests(start_service: StartService, extent: Extent) -> None:
    service = start_service()
    samples: list[tuple[int, int]] = []
    step = extent.requests // _SAMPLES

    def sample(sent: int) -> None:
        if sent % step == 0:
            samples.append((sent, service.memory_bytes))
            if LONG:
                print(f"{sent} requests, {samples[-1][1] / 2**20:.1f} MiB", flush=True)

    started_s = time.monotonic()
    wrong = send_mixed(service, extent.requests, callers=4, after_each=sample)
    took_s = time.monotonic() - started_s
    assert not wrong, wrong
    sent, memory = np.array(samples, dtype=float).T
    settled = sent > extent.requests * _WARM_UP_SHARE
    slope, _ = np.polyfit(sent[settled], memory[settled], 1)
    growth_bytes = slope * (1 - _WARM_UP_SHARE) * extent.requests
    report(service, extent, samples=samples, took_s=took_s, slope_bytes=float(slope))
    assert growth_bytes < extent.memory_slack_bytes, f"{growth_bytes / 2**20:.1f} MiB more"
    assert service.files < 100
    assert service.ask("GET", "/health/ready")[0] == 200


def report(
    service: Service,
    extent: Extent,
    *,
    samples: list[tuple[int, int]],
    took_s: float,
    slope_bytes: float,
) -> None:
    """Write the figures of a long run where DSAPI_SOAK_REPORT says."""
    if LONG and (path := os.environ.get("DSAPI_SOAK_REPORT")):
        figures = {
            "requests": extent.requests,
            "took_s": round(took_s, 1),
            "slope_bytes_per_1000_requests": round(slope_bytes * 1000, 1),
            "threads": service.threads,
            "memory_bytes": samples,
        }
        Path(path).write_text(json.dumps(figures), encoding="utf-8")


@pytest.mark.parametrize(
    ("engine", "processes"),
    [("tensorflow", 1), ("openvino", 2)]
    + [("tensorflow", 2), ("openvino", 1)] * LONG,  # each takes minutes
)
def test_reloads_under_load_lose_no_request_and_no_memory(
    start_service: StartService, extent: Extent, engine: str, processes: int
) -> None:
    pytest.importorskip(engine)
    service = start_service(f'engine = "{engine}"', f"processes = {processes}")
    memory = [service.memory_bytes]
    statuses = []
    started_s = time.monotonic()
    with steady_load(service) as outcomes:
        for number in range(1, extent.reloads + 1):
            statuses.append(service.reload()[0])
            # Memory that another process loads into at the moment says nothing of a leak.
            assert have_reloaded(service, number * processes)
            memory.append(service.memory_bytes)
    took_s = time.monotonic() - started_s
    settled = np.array(memory[len(memory) // 3 :], dtype=float)
    slope_bytes = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    print(
        f"{engine}, processes = {processes}: {len(statuses)} reloads in {took_s:.0f} s, "
        f"{dict(outcomes)}, MiB at the start, a third, the end: {memory[0] / 2**20:.0f} "
        f"{settled[0] / 2**20:.0f} {settled[-1] / 2**20:.0f}, {slope_bytes / 2**20:+.2f} a reload"
    )
    assert statuses == [200] * extent.reloads
    assert set(outcomes) == {"200"}
    assert service.reloads == extent.reloads * processes
    assert service.running == processes, "a process has died"
    # The memory of two generations comes and goes: few samples say little of the slope.
    assert slope_bytes * len(settled) < extent.reload_slack_bytes * processes
    assert service.stop() == 0


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_graph_replaced_or_spoiled_under_the_server_harms_nothing(
    start_service: StartService, engine: str
) -> None:
    pytest.importorskip(engine)
    service = start_service(f'engine = "{engine}"')
    graph = next((service.config.parent / "models").glob("theme*.pb"))
    good = graph.read_bytes()
    with steady_load(service) as outcomes:
        graph.write_bytes(good[: len(good) // 2])  # in place, as cp does
        assert predicts(service)
        assert service.reload()[0] == 409
        graph.unlink()
        assert predicts(service)
        assert service.reload()[0] == 409
        graph.write_bytes(good)
        assert service.reload()[0] == 200
    assert set(outcomes) == {"200"}


def test_thousands_of_idle_connections_cost_no_threads_and_hinder_nobody(
    start_service: StartService, extent: Extent
) -> None:
    service = start_service("socket_timeout = 60.0")
    assert predicts(service)
    threads, memory = service.threads, service.memory_bytes
    idle = open_connections(service, extent.connections)
    try:
        assert predicts(service)
        assert service.ask("GET", "/health/ready")[0] == 200
        assert service.number("dsapi_connections_waiting") >= extent.connections
        assert service.threads == threads
        assert service.memory_bytes - memory < 80 * 2**20
        # Each of them can still become a request.
        idle[0].sendall(b"GET /health/live HTTP/1.1\r\nHost: soak\r\n\r\n")
        assert idle[0].recv(100).startswith(b"HTTP/1.1 200")
    finally:
        close_all(idle)


def test_slow_writers_slow_readers_and_half_open_sockets_hinder_nobody(
    start_service: StartService,
) -> None:
    service = start_service("request_timeout = 3.0", "socket_timeout = 2.0")
    assert predicts(service)
    files = service.files
    writers = open_connections(service, 30)
    for sock in writers:
        sock.sendall(HEAD + b"\r\n" + b"x" * 100)
    half = open_connections(service, 30)
    for sock in half:
        sock.sendall(HEAD)
    readers = open_connections(service, 20)
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: soak\r\n\r\n" * 200
    for sock in readers:  # ask for much, take nothing
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(asked)
    try:
        for _ in range(8):
            assert predicts(service, 2)
            assert service.ask("GET", "/health/ready")[0] == 200
            for sock in writers:
                try:
                    sock.send(b"x")
                except OSError:
                    continue  # hung up on, as it should
            time.sleep(0.5)
        # The server lets go of all of them, although none of the callers has.
        assert eventually(lambda: service.files <= files + 2), f"{service.files} files, not {files}"
        for sock in half[::2]:  # these vanish without a word
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        close_all(writers + half + readers)
    assert predicts(service)


@pytest.mark.parametrize("jump_s", [86_400, -172_800])
def test_a_clock_that_jumps_changes_no_timeout(
    start_service: StartService, tmp_path: Path, jump_s: int
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0", encoding="ascii")
    here = str(Path(__file__).parent / "jumping_clock")
    service = start_service(environment={"PYTHONPATH": here, "DSAPI_TEST_CLOCK": str(clock)})
    held = service.connect()
    held.request("GET", "/health/live")
    assert held.getresponse().read() == b'{"status":"live"}'
    begun = service.connect()
    begun.putrequest("POST", "/v1/predictions")
    begun.putheader("Content-Length", str(len(PICTURE)))
    begun.endheaders(PICTURE[:10])
    time.sleep(0.3)  # until a thread reads it, against its deadline
    clock.write_text(str(jump_s), encoding="ascii")
    time.sleep(1.5)  # longer than the server's look for silent connections
    held.request("GET", "/health/live")  # on the same connection, which must be open
    answer = held.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"status":"live"}')
    held.close()
    begun.send(PICTURE[10:])
    assert begun.getresponse().status == 200
    begun.close()
    assert predicts(service)
    assert service.reload()[0] == 200
    assert service.stop() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, by the kernel")
def test_a_full_disk_loses_log_lines_and_no_request(start_service: StartService) -> None:
    service = start_service(logs=Path("/dev/full"))
    with steady_load(service) as outcomes:
        time.sleep(1)
        assert service.reload()[0] == 200
    assert set(outcomes) == {"200"}
    assert service.number("dsapi_log_lines_lost") > 10
    assert service.stop() == 0
