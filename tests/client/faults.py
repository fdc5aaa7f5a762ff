"""A real server that behaves badly, connection by connection, as it is told."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, repeat

from dsapi.web.openapi import build_openapi

Behavior = Callable[[socket.socket], None]
_EXAMPLE = build_openapi()["paths"]["/v1/predictions"]["post"]["responses"]["200"]["content"]


def respond(status: str, body: str | bytes, *headers: str) -> Behavior:
    """Read the request and answer it, then keep the connection open for the next one."""

    def behave(connection: socket.socket) -> None:
        data = body.encode() if isinstance(body, str) else body
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
        while _read_request(connection):
            connection.sendall("\r\n".join((*head, "", "")).encode("latin-1") + data)

    return behave


def answer(*headers: str) -> Behavior:
    """Answer like the service: the example of its document."""
    return respond("200 OK", json.dumps(_EXAMPLE["application/json"]["example"]), *headers)


def answer_with(value: str, other: str) -> Behavior:
    """Answer like the service, but for one value."""
    text = json.dumps(_EXAMPLE["application/json"]["example"])
    if value not in text:
        raise ValueError(f"{value} is not in the example")
    return respond("200 OK", text.replace(value, other))


def refuse(status: str, code: str, *headers: str) -> Behavior:
    """Answer with a problem."""
    return respond(status, f'{{"code": "{code}", "detail": "as told"}}', *headers)


def say_nothing(connection: socket.socket) -> None:
    """Take the request and never answer."""
    _read_request(connection)
    with suppress(OSError):
        connection.recv(1)


def hang_up(connection: socket.socket) -> None:
    """Take the request and close."""
    _read_request(connection)


def talk_nonsense(connection: socket.socket) -> None:
    """Answer something that is not HTTP."""
    _read_request(connection)
    connection.sendall(b"\x00\xff SSH-2.0-nonsense\r\n\r\n")


def drip(connection: socket.socket) -> None:
    """Answer one byte at a time, each well before any socket timeout, and never finish."""
    begin = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    _drip(connection, begin, piece=b" ", every_s=0.02)


def drip_head(connection: socket.socket) -> None:
    """Answer with headers that do not end, each well before any socket timeout."""
    # A client gives up at 100 headers, which takes too long.
    _drip(connection, b"HTTP/1.1 200 OK\r\n", piece=b"X-Header: 1\r\n", every_s=0.15)


def _drip(connection: socket.socket, begin: bytes, *, piece: bytes, every_s: float) -> None:
    _read_request(connection)
    with suppress(OSError):
        connection.sendall(begin)
        while True:
            connection.sendall(piece)
            time.sleep(every_s)


def stop_halfway(connection: socket.socket) -> None:
    """Announce more than is sent."""
    _read_request(connection)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"id": "')


def flood(connection: socket.socket) -> None:
    """Answer without an end, as fast as it goes."""
    _read_request(connection)
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)


def _read_request(connection: socket.socket) -> bool:
    """Read a request to its end; false when there is none."""
    data = b""
    with suppress(OSError):
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += connection.recv(65536)
        return True
    return False


class FaultyServer:
    """Listens on a free port; each connection behaves like the next in a list, then the last.

    Attributes:
        connections: how many there were.
    """

    def __init__(self, *behaviors: Behavior) -> None:
        self.connections = 0
        self._behaviors = chain(behaviors, repeat(behaviors[-1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def become(self, behavior: Behavior) -> None:
        """Behave like this from now on, also on connections that are kept: they are closed."""
        self._behaviors = repeat(behavior)
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            behavior = next(self._behaviors)
            threading.Thread(target=self._serve, args=(connection, behavior), daemon=True).start()

    def _serve(self, connection: socket.socket, behavior: Behavior) -> None:
        with connection, suppress(OSError):
            behavior(connection)
