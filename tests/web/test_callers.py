"""Callers that are slow, silent, gone or too many: real sockets, and none of them harms others."""

import contextlib
import gc
import http.client
import io
import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsapi.settings import load_settings
from dsapi.web.heads import find_header, read_head
from tests.conftest import RunningServer, StartServer
from tests.pictures import GREEN, encode, photo, plain
from tests.waiting import eventually

PICTURE = encode(plain(GREEN))
# Of tcp(7)'s TCP_INFO: the other side has ended its stream; 7 were a closed connection.
_CLOSE_WAIT = 8
HEAD = b"POST /v1/predictions HTTP/1.1\r\nHost: t\r\nContent-Type: image/png\r\n"
RELOAD = b"POST /v1/models/reload HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def hasty(tiny_config: Path, start_server: StartServer) -> RunningServer:
    """A server that gives requests a second, and few threads to read them."""
    return start_server(
        load_settings(
            tiny_config,
            request_timeout=1.0,
            socket_timeout=0.6,
            http_threads=2,
            queue_size=2,
            max_connections=40,
            max_bytes=200_000,
        )
    )


class Caller:
    """A socket, and what comes out of it."""

    def __init__(self, server: RunningServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)

    def send(self, *pieces: bytes, pause_s: float = 0) -> None:
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(pause_s)

    def answer(self) -> tuple[int, http.client.HTTPMessage, bytes]:
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        return response.status, response.headers, response.read()

    def problem(self) -> tuple[int, str, str]:
        status, headers, body = self.answer()
        assert headers["Content-Type"] == "application/problem+json"
        # Or the caller would ask its next request in vain, where nobody reads any more.
        assert headers["Connection"] == "close"
        problem = json.loads(body)
        assert problem["request_id"] == headers["X-Request-ID"]
        return status, problem["code"], problem["detail"]

    def at_end(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def connect() -> Iterator[Callable[[RunningServer], Caller]]:
    """Make callers, all of whom hang up at the end."""
    callers: list[Caller] = []

    def connect(server: RunningServer) -> Caller:
        callers.append(Caller(server))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.socket.close()


Connect = Callable[[RunningServer], Caller]


@pytest.fixture
def caller(hasty: RunningServer, connect: Connect) -> Caller:
    return connect(hasty)


def test_a_body_that_drips_gets_504_at_the_deadline_of_its_request(caller: Caller) -> None:
    caller.send(HEAD + b"Content-Length: 1000\r\n\r\n")
    with pytest.raises(OSError, match=r"[Pp]ipe|reset"):  # the server hangs up after its answer
        caller.send(*[b"x"] * 100, pause_s=0.1)
    caller.socket.close()


def test_who_breaks_off_a_body_has_sent_a_bad_request_and_is_no_fault_of_the_service(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    def codes() -> list[str]:
        told = [r.msg for r in caplog.records if r.name == "dsapi.access"]
        return [record.code for record in told if record.request_id == "broken-off"]

    with caplog.at_level("INFO", logger="dsapi.access"):
        expecting = b"X-Request-ID: broken-off\r\nExpect: 100-continue\r\n"
        caller.send(HEAD + expecting + b"Content-Length: 1000\r\n\r\n")
        assert caller.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        # Without a word: what the other side reads of it is an error.
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.socket.close()
        assert eventually(lambda: bool(codes()))
    assert codes() == ["bad_request"]


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 1000\r\n\r\n",
        RELOAD + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["picture", "reload"],
)
def test_a_body_that_drips_is_told_why(caller: Caller, head: bytes) -> None:
    caller.send(head)
    caller.send(*[b"x"] * 11, pause_s=0.1)
    assert caller.problem() == (
        504,
        "deadline_exceeded",
        "not answered within request_timeout = 1 s",
    )


def test_a_head_that_drips_is_told_why(caller: Caller) -> None:
    caller.send(HEAD)
    caller.send(*[b"X-Header: 1\r\n"] * 12, pause_s=0.1)
    assert caller.problem()[:2] == (504, "deadline_exceeded")


def test_a_body_that_stops_coming_gets_400(caller: Caller) -> None:
    caller.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 10)
    assert caller.problem() == (400, "bad_request", "the body stalled after 10 bytes")


def test_a_head_that_stops_coming_gets_400(
    hasty: RunningServer, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dsapi.access")
    caller.send(HEAD)
    status, code, detail = caller.problem()
    assert (status, code) == (400, "bad_request")
    assert "socket_timeout" in detail
    took = re.search(r" 400 - ([0-9.]+)ms bad_request", caplog.messages[-1])
    assert took is not None
    assert float(took[1]) >= hasty.settings.socket_timeout * 1000


def test_a_caller_that_sends_nothing_is_hung_up_on(caller: Caller) -> None:
    assert caller.at_end()


BAD_HEADS = {
    "negative length": (b"Content-Length: -5\r\n", "Content-Length must be a number"),
    "huge length": (b"Content-Length: 99999999999999999999\r\n", "Content-Length must be"),
    "signed length": (b"Content-Length: +5\r\n", "Content-Length must be"),
    "length and chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "came both"),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length came twice"),
    "two hosts": (b"Host: other\r\n", "Host came twice"),
    "space before the colon": (b"Content-Length : 5\r\n", "malformed"),
    "folded line": (b"X-A: 1\r\n b\r\n", "malformed"),
    "zero byte": (b"X-A: 1\0 2\r\n", "zero byte"),
    "bare line break": (b"X-A: 1\rX-B: 2\r\n", "line break"),
    "unknown coding": (b"Transfer-Encoding: gzip\r\n", "must be chunked, got 'gzip'"),
    "two codings": (b"Transfer-Encoding: gzip, chunked\r\n", "got 'gzip, chunked'"),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked\r\n", "got 'chunked, chunked'"),
    "chunked and nothing": (b"Transfer-Encoding: chunked,\r\n", "got 'chunked,'"),
    "no coding": (b"Transfer-Encoding:\r\n", "must be chunked, got ''"),
    "endless head": (b"X-A: " + b"a" * 40_000 + b"\r\n", "head has over 32768 bytes"),
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_malformed_head_gets_400(caller: Caller, name: str) -> None:
    lines, told = BAD_HEADS[name]
    caller.send(HEAD + lines + b"\r\n")
    status, code, detail = caller.problem()
    assert (status, code) == (400, "bad_request")
    assert told in detail
    assert caller.at_end()


def test_an_endless_first_line_gets_the_limit_of_a_head(caller: Caller) -> None:
    caller.send(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n")
    assert caller.problem() == (400, "bad_request", "the request's head has over 32768 bytes")


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"no header\r\nX-Request-ID: mine-1\r\n\r\n",
        b"CONNECT t:443 HTTP/1.1\r\nHost: t\r\nx-request-id: mine-1\r\n\r\n",
    ],
)
def test_the_callers_id_counts_also_behind_what_is_wrong_with_the_head(
    caller: Caller, head: bytes
) -> None:
    caller.send(head)
    assert caller.answer()[1]["X-Request-ID"] == "mine-1"


@pytest.mark.parametrize("line", [b"GET /health/live HTTP/1.1\r", b"GET /health\r/live HTTP/1.1"])
def test_a_first_line_has_no_line_break_in_it(caller: Caller, line: bytes) -> None:
    caller.send(line + b"\r\nHost: t\r\n\r\n")
    assert caller.problem() == (
        400,
        "bad_request",
        "the request's head is malformed: its first line has a line break in it",
    )


@pytest.mark.parametrize("version", ["1.-1", "1.+1", "+1.1", " 1.1", "\t1.1", "01.1", "1.01"])
def test_a_protocol_that_only_counts_as_one_gets_400(caller: Caller, version: str) -> None:
    caller.send(f"GET /health/live HTTP/{version}\r\nHost: t\r\n\r\n".encode())
    told = f"its protocol must be HTTP/1.0 or HTTP/1.1, got {f'HTTP/{version}'!r}"
    expected = (400, "bad_request", f"the request's head is malformed: {told}")
    assert caller.problem() == expected


def test_a_first_line_in_two_packets_is_one_line(caller: Caller) -> None:
    caller.send(b"GET ")
    time.sleep(0.1)
    caller.send(b"//x HTTP/1.1\r\nHost: t\r\n\r\n")
    status, code, detail = caller.problem()
    assert (status, code, detail) == (404, "not_found", "there is no '//x'")


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        (b"zz\r\n", "bad_request"),
        (b"-5\r\nabcde\r\n", "bad_request"),
        (b"5\r\nabcdefg\r\n", "bad_request"),
        (b"ffffffffff\r\n", "bad_request"),
        (b"0\r\n" + b"A: b\r\n" * 40, "bad_request"),
        (b"0\r\nA: b\n\r\n", "bad_request"),
        (b"0\r\n\n\r\n", "bad_request"),
        (b"0\r\nGET /health/live HTTP/1.1\r\n\r\n", "bad_request"),
        (b"7fffffff\r\n" + b"x" * 300_000, "too_large"),
    ],
)
def test_malformed_and_endless_chunks_are_refused(caller: Caller, chunks: bytes, code: str) -> None:
    caller.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert caller.problem()[1] == code


def test_chunks_of_any_size_make_a_picture(caller: Caller) -> None:
    chunks = [b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in (PICTURE[:1], PICTURE[1:50])]
    rest = b"%X\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(PICTURE) - 50, PICTURE[50:])
    caller.send(HEAD + b"Transfer-Encoding: Chunked\r\n\r\n", *chunks, rest, pause_s=0.02)
    assert caller.answer()[0] == 200
    caller.send(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n")
    assert caller.answer()[0] == 200


def test_a_body_that_ends_within_a_chunk_is_refused_although_a_picture_is_in_it(
    caller: Caller,
) -> None:
    caller.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + PICTURE)
    caller.socket.shutdown(socket.SHUT_WR)
    told = f"the body is malformed after {len(PICTURE)} bytes"
    assert caller.problem() == (400, "bad_request", told)


def test_a_trailer_that_is_cut_is_not_the_end_of_its_request(caller: Caller) -> None:
    # The reader takes 4096 bytes of a line; what is left of this one looks like the empty line.
    trailer = b"A: " + b"a" * 4093 + b"\r\n"
    caller.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + trailer)
    caller.send(b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n")
    assert caller.problem()[:2] == (400, "bad_request")
    assert caller.at_end()


def test_what_follows_chunks_of_http_1_0_is_not_taken_for_a_request(caller: Caller) -> None:
    caller.send(
        b"GET /health/live HTTP/1.0\r\nConnection: Keep-Alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n"
    )
    with caller.socket.makefile("rb") as stream:
        assert stream.read().count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("expected", [b"100-continue", b"100-Continue"])
def test_who_asks_before_it_sends_a_picture_is_told_to_go_on(
    caller: Caller, expected: bytes
) -> None:
    head = HEAD + b"Content-Length: %d\r\nExpect: %b\r\n\r\n"
    caller.send(head % (len(PICTURE), expected))
    assert caller.socket.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.send(PICTURE)
    assert caller.answer()[0] == 200


@pytest.mark.parametrize(
    ("version", "options", "answered"),
    [
        (b"1.1", b"Close", "close"),
        (b"1.1", b"TE, close", "close"),
        (b"1.1", b"keep-alive", None),
        (b"1.0", b"keep-alive", "Keep-Alive"),
        (b"1.0", b"Keep-Alive, close", None),
    ],
)
def test_a_caller_says_in_any_spelling_whether_its_connection_is_kept(
    caller: Caller, version: bytes, options: bytes, answered: str | None
) -> None:
    request = b"GET /health/live HTTP/%b\r\nHost: t\r\nConnection: %b\r\n\r\n"
    caller.send(request % (version, options))
    status, headers, _ = caller.answer()
    assert (status, headers["Connection"]) == (200, answered)


def test_each_request_of_a_connection_has_its_own_time(
    tiny_config: Path, start_server: StartServer, connect: Connect
) -> None:
    caller = connect(start_server(load_settings(tiny_config, request_timeout=1.0)))
    # Longer than a request may take, and shorter than a caller may be silent.
    for pause_s in (1.1, 0):
        caller.send(b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n")
        assert caller.answer()[0] == 200
        time.sleep(pause_s)


def test_an_announced_body_that_nobody_reads_costs_no_memory_and_the_answer_arrives(
    caller: Caller,
) -> None:
    caller.send(b"GET /health/live HTTP/1.1\r\nHost: t\r\nContent-Length: 9000000000\r\n\r\n")
    caller.send(b"x" * 100_000)
    status, headers, _ = caller.answer()
    assert (status, headers["Connection"]) == (200, "close")


def test_a_body_over_the_limit_is_refused_although_it_is_still_sent(caller: Caller) -> None:
    caller.send(HEAD + b"Content-Length: 3000000\r\n\r\n", *[b"x" * 100_000] * 30)
    assert caller.problem()[:2] == (413, "too_large")


def test_who_asks_on_behind_the_last_request_of_a_connection_is_not_reset(caller: Caller) -> None:
    caller.send(b"GET /health/live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" * 2000)
    assert caller.answer()[0] == 200
    time.sleep(0.2)
    state = caller.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    assert state == _CLOSE_WAIT


def test_a_refused_caller_that_sends_a_little_more_is_not_reset(caller: Caller) -> None:
    caller.send(HEAD + b"Content-Length: 3000000\r\n\r\n", b"x" * 1000, pause_s=0.1)
    caller.send(b"x" * 1000)
    time.sleep(3.2)  # what is sent to nobody is taken for two seconds
    # A reset would take the answer away from callers of some systems.
    state = caller.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    assert state == _CLOSE_WAIT
    assert caller.problem()[:2] == (413, "too_large")


def test_requests_sent_together_are_answered_in_order(caller: Caller) -> None:
    one = b"GET /health/live HTTP/1.1\r\nHost: t\r\nX-Request-ID: %d\r\n\r\n"
    caller.send(b"".join(one % number for number in range(5)))
    ids = []
    with caller.socket.makefile("rb") as stream:
        for _ in range(5):
            lines = list(iter(stream.readline, b"\r\n"))
            headers = dict(line.lower().rstrip().split(b": ", 1) for line in lines[1:])
            ids.append(headers[b"x-request-id"])
            assert json.loads(stream.read(int(headers[b"content-length"]))) == {"status": "live"}
    assert ids == [b"0", b"1", b"2", b"3", b"4"]


@pytest.fixture(scope="module")
def refusing(tiny_config: Path, start_server: StartServer) -> RunningServer:
    """A server that refuses predictions before it reads them, as its workers have stopped."""
    server = start_server(load_settings(tiny_config, cors_origins=("https://example.org",)))
    server.workers.stop()
    return server


def test_an_early_refusal_has_the_callers_id_wherever_it_stands_in_the_head(
    refusing: RunningServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dsapi.access")
    for padding in (10, 2500, 20_000):
        caller = connect(refusing)
        head = HEAD + b"X-A: %b\r\nx-request-id:  far-down \r\n\r\n" % (b"a " * (padding // 2))
        caller.send(head)
        status, headers, _ = caller.answer()
        assert (status, headers["X-Request-ID"]) == (503, "far-down")
        assert (headers["Connection"], headers["Server"]) == ("close", "dsapi")
        # The log has its first line, and nothing of the headers.
        line = HEAD.partition(b"\r\n")[0].decode()
        assert f'far-down 127.0.0.1 "{line}" 503 - ' in caplog.messages[-1]


def test_of_a_long_first_line_an_early_refusal_logs_the_beginning(
    refusing: RunningServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dsapi.access")
    caller = connect(refusing)
    caller.send(b"POST /v1/predictions?" + b"a" * 1000 + b" HTTP/1.1\r\nHost: t\r\n\r\n")
    assert caller.answer()[0] == 503
    assert f'"POST /v1/predictions?{"a" * 179}" 503 ' in caplog.messages[-1]


def test_an_early_refusal_takes_no_id_from_a_body_or_a_line_that_is_cut(
    refusing: RunningServer, connect: Connect
) -> None:
    for sent in (
        HEAD + b"Content-Length: 99\r\n\r\n\r\nX-Request-ID: of-the-body\r\n",
        HEAD + b"X-Request-ID: of-the-li",
        HEAD + b"X-Request-ID: one\r\nX-Request-ID: two\r\n\r\n",
    ):
        caller = connect(refusing)
        caller.send(sent)
        assert re.fullmatch("[0-9a-f-]{36}", caller.answer()[1]["X-Request-ID"])


def test_pages_of_a_permitted_origin_may_read_an_early_refusal(
    refusing: RunningServer, connect: Connect
) -> None:
    overloaded, malformed = HEAD + b"Origin: %b\r\n\r\n", HEAD + b"Origin: %b\r\nno colon\r\n\r\n"
    malformed = malformed.replace(b"/v1/predictions", b"/v1/models")
    for request, expected in ((overloaded, 503), (malformed, 400)):
        for origin, permitted in ((b"https://example.org", True), (b"https://example.net", False)):
            caller = connect(refusing)
            caller.send(request % origin)
            status, headers, _ = caller.answer()
            assert status == expected
            assert headers["Access-Control-Allow-Origin"] == (
                origin.decode() if permitted else None
            )
            exposed = "X-Request-ID, Retry-After" if permitted else None
            assert headers["Access-Control-Expose-Headers"] == exposed


def test_the_answer_to_a_malformed_head_request_has_no_body(caller: Caller) -> None:
    caller.send(b"HEAD /health/live HTTP/1.1\r\nHost: t\r\nno colon\r\n\r\n")
    with caller.socket.makefile("rb") as stream:
        head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Length: " in head
    assert body == b""


def test_nothing_in_a_head_makes_it_slow_to_search() -> None:
    head = b"POST / HTTP/1.1\r\nX-Request-ID:" + b" " * 30_000 + b"a" + b" \t" * 15_000
    began_s = time.monotonic()
    assert find_header(head, b"X-Request-ID") == ""
    assert find_header(head + b"\r\n", b"X-Request-ID") == "a"
    assert time.monotonic() - began_s < 1


def test_lines_of_one_name_are_one_list_in_their_order() -> None:
    # Or a caller could say first what the proxy before it says last.
    lines = b"X-Forwarded-For: 10.1.2.3\r\nHost: t\r\nx-forwarded-for:  192.0.2.7 \r\n\r\n"
    listed = "10.1.2.3, 192.0.2.7"
    assert read_head(io.BytesIO(lines), {})[b"X-Forwarded-For"].decode() == listed
    assert find_header(b"GET / HTTP/1.1\r\n" + lines, b"X-Forwarded-For") == listed


def test_headers_with_underscores_cannot_pose_as_others(caller: Caller) -> None:
    caller.send(b"GET /health/live HTTP/1.1\r\nHost: t\r\nX_Request_ID: spoofed\r\n\r\n")
    assert caller.answer()[1]["X-Request-ID"] != "spoofed"


def test_health_answers_while_every_other_thread_waits_for_slow_bodies(
    hasty: RunningServer, connect: Connect
) -> None:
    slow = [connect(hasty) for _ in range(10)]
    for caller in slow:
        caller.send(HEAD + b"Content-Length: 1000\r\n\r\n")
    for method in ("HEAD", "GET"):
        for path in ("/health/ready", "/health/live", "/metrics"):
            began_s = time.monotonic()
            assert hasty.ask(method, path).status == 200
            # The slow ones hold their threads for as long as they may be silent.
            assert time.monotonic() - began_s < hasty.settings.socket_timeout / 2
    # Those whose turn came were silent for too long, the others waited for too long.
    assert {caller.problem()[0] for caller in slow} <= {400, 504}


def test_whom_no_thread_will_serve_soon_is_told_when_to_come_back(
    tiny_config: Path, start_server: StartServer, connect: Connect
) -> None:
    server = start_server(
        load_settings(tiny_config, http_threads=1, prediction_workers=1, queue_size=1)
    )
    slow = [connect(server) for _ in range(18)]
    head = RELOAD + b"X-Request-ID: mine\r\nTransfer-Encoding: chunked\r\n\r\n"
    for caller in slow:
        caller.send(head)

    def refused() -> list[Caller]:
        readable, _, _ = select.select([caller.socket for caller in slow], [], [], 0)
        return [caller for caller in slow if caller.socket in readable]

    # There are three threads, for each of which four may wait.
    assert eventually(lambda: len(refused()) >= 3)
    for caller in refused():
        status, headers, body = caller.answer()
        assert (status, json.loads(body)["code"]) == (503, "overloaded")
        assert (headers["Retry-After"], headers["X-Request-ID"]) == ("1", "mine")


def test_health_answers_while_others_are_slow_to_ask_for_it(
    hasty: RunningServer, connect: Connect
) -> None:
    slow = [connect(hasty) for _ in range(5)]
    for caller in slow:
        caller.send(b"GET /health/live HTTP/1.1\r\nHost: t\r\n")
    time.sleep(0.2)
    assert hasty.ask("GET", "/health/live").status == 200
    # They hold their threads for as long as they may be silent, and then are told.
    answered, _, _ = select.select([caller.socket for caller in slow], [], [], 0)
    assert not answered


def test_health_answers_while_others_do_not_take_what_they_asked_for(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, socket_timeout=3.0, http_threads=8))
    with contextlib.ExitStack() as slow:
        for _ in range(3):
            caller = slow.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            caller.connect(("127.0.0.1", server.port))
            caller.sendall(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n" * 400)
        until_s = time.monotonic() + 4
        # It takes a while until the system takes no more for them.
        while (began_s := time.monotonic()) < until_s:
            assert server.ask("GET", "/health/live").status == 200
            assert time.monotonic() - began_s < server.settings.socket_timeout / 2
            time.sleep(0.05)
    # Nothing of it is left for the tests that follow: the one thread is this request's.
    idle = b"dsapi_http_threads_busy 1.0"
    assert eventually(lambda: idle in server.ask("GET", "/metrics").body)


def test_who_does_not_take_a_file_holds_a_thread_no_longer_than_others_may_be_silent(
    hasty: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dsapi.access")
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        caller.connect(("127.0.0.1", hasty.port))
        caller.sendall(b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: t\r\n\r\n")
        # The line is written when its thread is done with it.
        assert eventually(lambda: any("bundle.js" in line for line in caplog.messages))


def test_silent_connections_hold_no_thread_and_the_oldest_make_room(
    hasty: RunningServer, connect: Connect
) -> None:
    silent = [connect(hasty) for _ in range(60)]
    assert hasty.post_picture(PICTURE).status == 200
    # 40 may wait: the first ones were hung up on before their time.
    assert silent[0].at_end()


def test_a_flood_is_refused_with_the_contracts_body_and_the_callers_id(
    tiny_config: Path, start_server: StartServer
) -> None:
    small = start_server(load_settings(tiny_config, prediction_workers=1, queue_size=1))
    slow = encode(photo(2500, 2000), "PNG", compress_level=1)
    answers = []

    def ask(number: int) -> None:
        headers = {"Content-Type": "image/png", "X-Request-ID": f"caller-{number}"}
        answers.append(small.ask("POST", "/v1/predictions", slow, headers))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert sorted({answer.headers["X-Request-ID"] for answer in answers}) == sorted(
        f"caller-{number}" for number in range(12)
    )
    refused = [answer for answer in answers if answer.status != 200]
    assert refused
    assert {answer.json["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


@pytest.mark.parametrize(
    ("path", "picture"),
    [
        ("/v1/predictions?x=9999&y=0", PICTURE),
        ("/v1/predictions", PICTURE[:60]),
        ("/v1/predictions", b"no picture"),
        ("/made/up", b""),
    ],
)
def test_an_error_keeps_nothing_of_its_request_in_memory(
    tiny_config: Path, start_server: StartServer, path: str, picture: bytes
) -> None:
    """No circle of references: Python looks for them so rarely that pictures would pile up."""
    server = start_server(load_settings(tiny_config))
    for _ in range(3):
        server.ask("POST", path, picture)
    time.sleep(0.2)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert server.ask("POST", path, picture).status >= 400
        time.sleep(0.2)  # the journal is written after the answer
        assert gc.collect() < 20 * 5
    finally:
        gc.enable()


def test_a_caller_who_hangs_up_while_waiting_is_not_worked_for(
    tiny_config: Path, start_server: StartServer, connect: Connect
) -> None:
    small = start_server(load_settings(tiny_config, prediction_workers=1))
    slow = encode(photo(3000, 2000), "PNG", compress_level=1)
    busy = threading.Thread(target=lambda: small.post_picture(slow))
    busy.start()
    while not small.workers.status.busy:
        time.sleep(0.001)
    gone = connect(small)
    gone.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE)
    while not small.workers.status.waiting:
        time.sleep(0.001)
    # One who stays has sent its next request already.
    eager = connect(small)
    eager.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE)
    while small.workers.status.busy and small.workers.status.waiting < 2:
        time.sleep(0.001)
    eager.send(b"GET /v1/models HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    gone.socket.close()
    busy.join()
    with eager.socket.makefile("rb") as stream:
        assert stream.read().count(b"HTTP/1.1 200 OK\r\n") == 2
    counted = 'dsapi_errors_total{code="caller_gone"} 1.0'
    assert eventually(lambda: counted in small.ask("GET", "/metrics").body.decode())
    assert small.post_picture(PICTURE).status == 200
    assert small.workers.status.dropped == {"caller_gone": 1, "deadline": 0}
