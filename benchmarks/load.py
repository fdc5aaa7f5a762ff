"""Load: requests as bytes in, throughput and latencies out.

A client sends the same bytes again and again over one kept connection, and reads no more of an
answer than it must: on two cores, what the client takes the server lacks.
"""

import re
import socket
import threading
import time
from dataclasses import dataclass

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_TIMEOUT_S = 60.0
_BOUNDARY = "bench-9d8f1c"


@dataclass(frozen=True)
class Measured:
    """What a server did under load.

    Attributes:
        per_s: answers a second.
        p50_ms: median time to an answer.
        p99_ms: time that 1 % of the answers exceed.
    """

    per_s: float
    p50_ms: float
    p99_ms: float


def raw_request(path: str, picture: bytes, *, port: int) -> bytes:
    """Write a request whose body is the picture."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(picture)}\r\n\r\n"
    )
    return head.encode() + picture


def upload_request(path: str, picture: bytes, *, port: int, fields: dict[str, int]) -> bytes:
    """Write a request as browsers upload files: ``multipart/form-data``."""
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = "".join(parts).encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client:
    """One connection, kept where the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> int:
        """Send a request and read its whole answer; return the status.

        Raises:
            OSError: the server cannot be reached or hangs up in the middle.
        """
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        head, body = self._read_head()
        found = _LENGTH.search(head)
        while (len(body) < int(found[1])) if found else not body.endswith(b"0\r\n\r\n"):
            body += self._receive()
        if b"connection: close" in head.lower():
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read_head(self) -> tuple[bytes, bytes]:
        received = self._receive()
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        return head, body

    def _receive(self) -> bytes:
        assert self._socket is not None
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionResetError("the server hung up in the middle of an answer")
        return received


def is_listened_on(port: int) -> bool:
    """Tell whether something accepts connections on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def wait_until_ready(request: bytes, *, port: int, patience_s: float) -> None:
    """Ask until an answer is 200.

    Raises:
        TimeoutError: there is none in time.
    """
    give_up_s = time.perf_counter() + patience_s
    while time.perf_counter() < give_up_s:
        client = Client(port)
        try:
            if client.ask(request) == 200:
                return
        except OSError:
            pass
        finally:
            client.close()
        time.sleep(0.02)
    raise TimeoutError(f"no answer on port {port} within {patience_s:g} s")


def measure(request: bytes, *, port: int, concurrency: int, seconds: float) -> Measured:
    """Ask from `concurrency` connections at a time, each as soon as it is answered.

    Raises:
        RuntimeError: an answer was not 200.
    """
    end_s = time.perf_counter() + seconds
    ended_s: list[float] = []
    taken_s: list[float] = []
    wrong: list[object] = []

    def ask_on() -> None:
        client = Client(port)
        try:
            while (began_s := time.perf_counter()) < end_s:
                status = client.ask(request)
                now_s = time.perf_counter()
                taken_s.append(now_s - began_s)
                ended_s.append(now_s)
                if status != 200:
                    wrong.append(status)
        except OSError as error:
            wrong.append(error)
        finally:
            client.close()

    began_s = time.perf_counter()
    threads = [threading.Thread(target=ask_on) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong or not taken_s:
        raise RuntimeError(f"port {port}: {len(wrong)} answers were not 200: {wrong[:3]}")
    taken_s.sort()
    return Measured(
        per_s=len(taken_s) / (max(ended_s) - began_s),
        p50_ms=taken_s[len(taken_s) // 2] * 1000,
        p99_ms=taken_s[min(len(taken_s) - 1, int(len(taken_s) * 0.99))] * 1000,
    )
