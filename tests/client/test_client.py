"""The client against the real service, and against real servers that behave badly."""

import io
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dsapi.client import (
    CircuitOpen,
    Client,
    ClientError,
    Label,
    Refused,
    Rejected,
    TimedOut,
    Unavailable,
)
from dsapi.client.breaker import Breaker
from tests.client import faults
from tests.client.faults import Behavior, FaultyServer
from tests.conftest import RunningServer
from tests.pictures import encode, halves
from tests.ports import free_port

PICTURE = encode(halves())
CLOSE = "Connection: close"
Start = Callable[..., FaultyServer]


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """A client of the real service, with time enough for a busy machine."""
    with Client(f"http://127.0.0.1:{server.port}", timeout_s=20) as client:
        yield client


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that behave as told."""
    started = []

    def start(*behaviors: Behavior) -> FaultyServer:
        started.append(FaultyServer(*behaviors))
        return started[-1]

    yield start
    for server in started:
        server.close()


def test_a_picture_and_a_point_get_typed_labels(client: Client) -> None:
    result = client.predict(PICTURE, 10, 10)
    assert not result.empty
    assert isinstance(result.labels("colors")[0], Label)
    assert result.labels("colors")[0].label == "red"
    assert 0.9 < result.labels("colors")[0].probability <= 1
    assert (result.point, result.size) == ((10, 10), (64, 48))
    assert result.crops["colors"] == (6, 6, 15, 15)
    assert result.timing_ms["total"] > 0
    assert result.errors == {}
    assert result.versions.keys() == {"themes", "colors"}
    assert re.fullmatch("[0-9a-f]{12}", result.versions["colors"])
    assert result.id


def test_without_a_point_the_center_is_asked(client: Client) -> None:
    assert client.predict(PICTURE).point == (32, 24)


def test_the_first_pixel_is_a_point_like_any_other(client: Client) -> None:
    assert client.predict(PICTURE, 0, 0).point == (0, 0)


def test_a_slash_at_the_end_of_the_services_address_does_no_harm(server: RunningServer) -> None:
    with Client(f"http://127.0.0.1:{server.port}/", timeout_s=20) as client:
        assert client.predict(PICTURE).point == (32, 24)


def test_a_path_is_read_here_and_text_is_a_path_on_the_server(
    client: Client, server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "here.png").write_bytes(PICTURE)
    (server.settings.image_roots[0] / "there & then.png").write_bytes(PICTURE)
    here = client.predict(tmp_path / "here.png", 75, 50, unit="percent")
    there = client.predict("there & then.png", 75, 50, unit="percent")
    assert here.point == there.point == (48, 24)
    assert here.predictions == there.predictions


def test_models_top_and_least_probability_are_passed_on(client: Client) -> None:
    result = client.predict(PICTURE, 10, 10, models=["colors"], top=2, min_probability=0.5)
    assert list(result.predictions) == ["colors"]
    assert len(result.labels("colors")) == 1
    assert result.labels("themes") == ()


def test_one_model_may_be_named_without_a_list(client: Client) -> None:
    assert set(client.predict(PICTURE, models="colors").predictions) == {"colors"}
    both = client.predict(PICTURE, models="colors,themes")
    assert set(both.predictions) == {"colors", "themes"}


def test_what_the_service_refuses_is_told_with_its_code(client: Client) -> None:
    with pytest.raises(Rejected, match="x must be between 0 and 63") as caught:
        client.predict(PICTURE, 64, 0)
    assert (caught.value.status, caught.value.code) == (400, "bad_point")
    with pytest.raises(Rejected, match="unsupported_media_type"):
        client.predict(b"no picture")
    # A file's name may be no UTF-8: it is the service that judges it.
    with pytest.raises(Rejected, match="bad_request"):
        client.predict("caf\udce9.jpg")


def test_what_goes_wrong_in_another_process_arrives_as_what_it_is() -> None:
    # Pools of processes and task queues pickle what a task raises.
    refusal = Rejected(status=400, code="bad_point", detail="x must be …")
    for error in (refusal, Refused("gone"), TimedOut("late"), CircuitOpen("open")):
        arrived = pickle.loads(pickle.dumps(error))
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
        assert vars(arrived) == vars(error)


def test_an_unusable_picture_gets_an_empty_result_that_says_why(
    client: Client, tmp_path: Path
) -> None:
    assert client.predict_or_empty(b"no picture").reason.startswith("unsupported_media_type")
    missing = client.predict_or_empty(tmp_path / "nowhere.jpg")
    assert missing.empty
    assert "nowhere.jpg" in missing.reason
    assert missing.labels("themes") == ()


def test_refusals_do_not_open_the_circuit(client: Client) -> None:
    for _ in range(20):
        assert client.predict_or_empty(b"no picture").reason.startswith("unsupported")
    assert not client.predict_or_empty(PICTURE).empty


def test_the_connection_is_kept_until_the_client_is_closed(start: Start) -> None:
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        faults.answer()(connection)
        ended.set()

    server = start(answer)
    with Client(server.url, timeout_s=20) as client:
        for _ in range(10):
            assert client.predict(PICTURE).labels("themes")[0].label == "Gardening"
        assert not ended.is_set()
    assert server.connections == 1
    assert ended.wait(20)


def test_the_key_and_the_request_id_are_sent(start: Start) -> None:
    received = []

    def listen(connection: socket.socket) -> None:
        received.append(connection.recv(65536).decode("latin-1"))

    server = start(listen)
    Client(server.url, "secret", timeout_s=5).predict_or_empty(b"abc", request_id="upload-7")
    assert "Authorization: Bearer secret\r\n" in received[0]
    assert "X-Request-ID: upload-7\r\n" in received[0]


# What the servers do, and what the caller gets; each of them for good, so retries fail, too.
FAULTS: dict[str, tuple[Behavior, type[ClientError], str]] = {
    "hangs": (faults.say_nothing, TimedOut, "no answer"),
    "drips": (faults.drip, TimedOut, "no answer"),
    "hangs up": (faults.hang_up, Refused, "closed the connection"),
    "stops halfway": (faults.stop_halfway, Refused, "closed the connection"),
    "talks nonsense": (faults.talk_nonsense, Refused, "closed the connection"),
    "floods": (faults.flood, Unavailable, "longer than any answer"),
    "sends a page": (faults.respond("200 OK", "<html>hello"), Unavailable, "something else"),
    "sends other JSON": (faults.respond("200 OK", '{"a": 1}'), Unavailable, "something else"),
    "sends a list": (faults.respond("200 OK", "[1]"), Unavailable, "something else"),
    "sends a huge number": (
        faults.answer_with('"width": 1600', '"width": 1e999'),
        Unavailable,
        "something else",
    ),
    "sends a long number": (
        faults.answer_with('"probability": 0.9012', f'"probability": {"9" * 400}'),
        Unavailable,
        "something else",
    ),
    "tells no time to wait": (
        faults.refuse("503 Service Unavailable", "overloaded", "Retry-After: \xb2"),
        Unavailable,
        "503",
    ),
    "sends nothing": (faults.respond("200 OK", ""), Unavailable, "something else"),
    "sends bytes": (faults.respond("200 OK", b"\xff\xfe\x00"), Unavailable, "something else"),
    "sends no gzip": (
        faults.respond("200 OK", "no gzip", "Content-Encoding: gzip"),
        Unavailable,
        "exchange with the service failed",
    ),
    "redirects": (
        faults.respond("302 Found", "", "Location: http://127.0.0.1:1/"),
        Unavailable,
        "answered 302",
    ),
    "fails": (faults.refuse("500 Internal Server Error", "internal_error"), Unavailable, "500"),
    "is full": (faults.refuse("503 Service Unavailable", "overloaded"), Unavailable, "503"),
    "is too slow itself": (
        faults.refuse("504 Gateway Timeout", "deadline_exceeded"),
        Unavailable,
        "504",
    ),
    "is behind a broken proxy": (
        faults.respond("502 Bad Gateway", "<h1>502"),
        Unavailable,
        "answered 502",
    ),
    "limits the rate": (
        faults.refuse("429 Too Many Requests", "rate_limited", "Retry-After: 9"),
        Rejected,
        "rate_limited",
    ),
}


def fail_without_a_word() -> Iterator[str]:
    """Fail as where memory ends: with an error that has no text."""
    raise MemoryError
    yield "themes"


@pytest.mark.parametrize(
    ("image", "options"),
    [
        ("caf\udce9.jpg", {}),
        (Path("a\0b"), {}),
        (PICTURE, {"request_id": "a\nb"}),
        (PICTURE, {"request_id": "é€"}),
        (PICTURE, {"models": 5}),
        (PICTURE, {"models": fail_without_a_word()}),
    ],
)
def test_nothing_that_is_asked_breaks_the_caller(
    client: Client, image: bytes | Path | str, options: dict[str, object]
) -> None:
    result = client.predict_or_empty(image, 1, 1, **options)
    assert result.empty == ("request_id" not in options)


@pytest.mark.parametrize("key", ["€", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        Client("http://127.0.0.1:1", key)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9000",
        "localhost:9000",
        "http//127.0.0.1:9000",
        "http:///v1",
        "ftp://127.0.0.1:9000",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1",
    ],
)
def test_a_url_that_leads_nowhere_is_refused_before_the_first_request(url: str) -> None:
    # Else every answer is empty, which looks like a service that has nothing to suggest.
    with pytest.raises(ValueError, match=r"url must be like http://127\.0\.0\.1:9000") as caught:
        Client(url)
    assert str(caught.value).endswith(f"got {url!r}")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_at_fault_never_breaks_its_caller(start: Start, fault: str) -> None:
    behavior, error, words = FAULTS[fault]
    server = start(behavior)
    with Client(server.url, timeout_s=1.0) as client:
        with pytest.raises(error, match=words):
            client.predict(PICTURE, 10, 10)
        result = client.predict_or_empty(PICTURE, 10, 10)
    assert result.empty
    assert words in result.reason
    assert result.labels("themes") == ()


def test_an_open_file_is_refused_before_anything_is_sent(start: Start) -> None:
    # It would be at its end when it is sent a second time.
    server = start(faults.hang_up, faults.answer())
    picture: Any = io.BytesIO(PICTURE)
    with Client(server.url, timeout_s=20) as client:
        with pytest.raises(TypeError, match="bytes-like"):
            client.predict(picture)
        assert "bytes-like" in client.predict_or_empty(picture).reason
    assert server.connections == 0


def test_an_answer_with_many_long_labels_is_taken(start: Start) -> None:
    name = "Gardening " * 50_000
    server = start(faults.answer_with('"Gardening"', f'"{name}"'))
    with Client(server.url, timeout_s=20) as client:
        assert client.predict(PICTURE).labels("themes")[0].label == name


def test_a_model_that_failed_is_told_with_its_reason(start: Start) -> None:
    server = start(faults.answer_with('"errors": {}', '"errors": {"themes": "no memory"}'))
    with Client(server.url, timeout_s=20) as client:
        assert client.predict(PICTURE).errors == {"themes": "no memory"}


def test_nobody_listening_is_told_at_once() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", timeout_s=20)
    with client, pytest.raises(Refused, match="refuses connections"):
        client.predict(PICTURE)


def test_a_host_that_does_not_exist_is_told() -> None:
    with Client("http://nowhere.invalid:9000", timeout_s=20) as client:
        reason = client.predict_or_empty(PICTURE).reason
    assert reason == "the name of the service's machine is unknown: nowhere.invalid"


@pytest.mark.parametrize("behavior", [faults.say_nothing, faults.drip_head, faults.drip])
def test_a_call_ends_in_time_however_long_the_server_takes(
    start: Start, behavior: Behavior
) -> None:
    started_s = time.monotonic()
    with Client(start(behavior).url, timeout_s=0.3) as client:
        assert client.predict_or_empty(PICTURE).reason.startswith("no answer within")
    # The server would take for ever; the margin is for a busy machine.
    assert time.monotonic() - started_s < 10


def test_nothing_is_left_of_a_call_whose_answer_drips(start: Start) -> None:
    def threads() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "dsapi-client"]

    with Client(start(faults.drip).url, timeout_s=0.3) as client:
        assert client.predict_or_empty(PICTURE).empty
    for thread in threads():
        thread.join(20)
    assert threads() == []


@pytest.mark.parametrize(
    "first",
    [
        faults.refuse("503 Service Unavailable", "overloaded", "Retry-After: 1", CLOSE),
        faults.refuse("503 Service Unavailable", "not_ready", CLOSE),
        faults.hang_up,
    ],
)
def test_a_second_try_gets_the_answer(start: Start, first: Behavior) -> None:
    server = start(first, faults.answer())
    with Client(server.url, timeout_s=5) as client:
        assert not client.predict_or_empty(PICTURE).empty
    assert server.connections == 2


def test_a_second_try_does_not_wait_longer_than_there_is_time(start: Start) -> None:
    later = faults.refuse("503 Service Unavailable", "overloaded", "Retry-After: 4", CLOSE)
    server = start(later, faults.answer())
    began_s = time.monotonic()
    with Client(server.url, timeout_s=2) as client:
        assert not client.predict(PICTURE).empty
    assert server.connections == 2
    assert time.monotonic() - began_s > 0.2, "it did not wait at all"


def test_there_is_no_third_try(start: Start) -> None:
    server = start(faults.hang_up)
    with Client(server.url, timeout_s=20) as client, pytest.raises(Refused):
        client.predict(PICTURE)
    assert server.connections == 2


@pytest.mark.parametrize("status", ["400 Bad Request", "429 Too Many Requests"])
def test_a_refusal_is_not_tried_again(start: Start, status: str) -> None:
    server = start(faults.refuse(status, "as_told", CLOSE))
    with Client(server.url, timeout_s=20) as client, pytest.raises(Rejected):
        client.predict(PICTURE)
    assert server.connections == 1


@pytest.mark.parametrize("status", ["500 Internal Server Error", "504 Gateway Timeout"])
def test_a_service_that_fails_is_not_asked_for_the_same_again(start: Start, status: str) -> None:
    server = start(faults.refuse(status, "internal_error", CLOSE))
    with Client(server.url, timeout_s=20) as client, pytest.raises(Unavailable, match="as told"):
        client.predict(PICTURE)
    assert server.connections == 1


def test_a_kept_connection_that_the_server_closed_costs_nothing(start: Start) -> None:
    server = start(faults.answer())
    with Client(server.url, timeout_s=20) as client:
        assert not client.predict(PICTURE).empty
        server.become(faults.answer())
        assert not client.predict(PICTURE).empty


def test_after_failures_in_a_row_a_dead_server_is_left_alone(start: Start) -> None:
    server = start(faults.respond("200 OK", "garbage"))
    with Client(server.url, timeout_s=20, failures_to_open=3, pause_s=60) as client:
        for _ in range(3):
            with pytest.raises(Unavailable, match="something else"):
                client.predict(PICTURE)
        server.become(faults.answer())
        with pytest.raises(CircuitOpen, match="failed 3 times"):
            client.predict(PICTURE)
        assert client.predict_or_empty(PICTURE).empty
    assert server.connections == 1


def test_a_server_that_lets_its_callers_wait_is_left_alone_too(start: Start) -> None:
    with Client(start(faults.say_nothing).url, timeout_s=0.2, failures_to_open=2) as client:
        for _ in range(2):
            with pytest.raises(TimedOut):
                client.predict(PICTURE)
        with pytest.raises(CircuitOpen, match="failed 2 times"):
            client.predict(PICTURE)


def test_after_the_pause_one_request_tries_and_closes_the_circuit(start: Start) -> None:
    server = start(faults.respond("200 OK", "garbage"))
    with Client(server.url, timeout_s=20, failures_to_open=2, pause_s=0.2) as client:
        for _ in range(2):
            assert client.predict_or_empty(PICTURE).empty
        time.sleep(0.25)
        assert "something else" in client.predict_or_empty(PICTURE).reason
        assert "failed" in client.predict_or_empty(PICTURE).reason
        server.become(faults.answer())
        time.sleep(0.25)
        for _ in range(5):
            assert not client.predict_or_empty(PICTURE).empty


def test_while_one_request_tries_the_others_wait_for_what_becomes_of_it() -> None:
    breaker = Breaker(failures_to_open=1, pause_s=0.5)
    with suppress(Unavailable), breaker:
        raise Unavailable("down")
    time.sleep(0.5)
    with breaker, pytest.raises(CircuitOpen), breaker:
        pytest.fail("two tried at a time")
    with breaker:
        pass  # the one that tried got its answer


def test_a_service_that_refuses_is_there_and_failures_are_counted_anew() -> None:
    breaker = Breaker(failures_to_open=3, pause_s=60)
    down, refusal = Unavailable("down"), Rejected(status=400, code="bad_point", detail="no")
    for error in (down, down, refusal, down, down):
        with suppress(ClientError), breaker:
            raise error
    with breaker:
        pass


def test_a_flapping_server_gives_every_answer_or_an_empty_result(start: Start) -> None:
    flapping = [faults.hang_up, faults.answer(CLOSE), faults.hang_up, faults.hang_up]
    server = start(*flapping * 5, faults.answer())
    with Client(server.url, timeout_s=20, failures_to_open=99) as client:
        results = [client.predict_or_empty(PICTURE) for _ in range(12)]
    assert [result.empty for result in results[:4]] == [False, True, False, True]
    assert not results[-1].empty


def test_threads_share_a_client(client: Client) -> None:
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(client.predict(PICTURE, 10, 10)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.labels("colors")[0].label for result in results] == ["red"] * 16


def test_forty_threads_keep_their_connections(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(40)

    def answer_together(connection: socket.socket) -> None:
        together.wait(20)
        faults.answer()(connection)

    server = start(answer_together)
    with Client(server.url, timeout_s=20) as client, ThreadPoolExecutor(40) as threads:
        results = list(threads.map(lambda _: client.predict_or_empty(PICTURE), range(40)))
    assert [result.reason for result in results] == [""] * 40
    assert caplog.records == []


def test_parent_and_child_of_a_fork_have_connections_of_their_own(start: Start) -> None:
    server = start(faults.answer())
    code = (
        "import os, sys; from dsapi.client import Client;"
        "client = Client(sys.argv[1], timeout_s=20);"
        "client.predict(b'abc');"
        "child = os.fork();"
        "client.predict(b'abc');"
        "child and os.waitpid(child, 0)"
    )
    subprocess.run([sys.executable, "-c", code, server.url], check=True)
    assert server.connections == 2


def test_the_client_needs_neither_tensorflow_nor_the_server() -> None:
    code = (
        "import sys; forbidden = ['tensorflow', 'cherrypy', 'numpy', 'PIL', 'pydantic'];"
        "sys.modules.update(dict.fromkeys(forbidden));"
        "from dsapi.client import Client;"
        "print(Client('http://127.0.0.1:1').predict_or_empty(b'abc').empty)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
