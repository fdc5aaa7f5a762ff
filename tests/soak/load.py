"""Mixed requests as many callers send them: good, bad, slow, broken off."""

import base64
import http.client
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.pictures import encode, halves, photo
from tests.soak.service import Service

_PICTURES = [
    encode(photo(640, 480), "JPEG", quality=85),
    encode(photo(1600, 1200), "JPEG", quality=85),
    encode(photo(320, 200), "PNG"),
    encode(photo(400, 300), "WEBP"),
    encode(halves(30, 7), "GIF"),
]
_BOUNDARY = "soak"
_Request = tuple[str, str, bytes | None, dict[str, str]]


def make_request(random: random.Random) -> tuple[_Request, set[int]]:
    """Draw a request, and the statuses that are right for it."""
    picture = random.choice(_PICTURES)
    point = f"x={random.randrange(30)}&y={random.randrange(7)}"
    draw = random.random()
    path = "/v1/predictions"
    if draw < 0.45:
        return ("POST", f"{path}?{point}", picture, {"Content-Type": "image/jpeg"}), {200}
    if draw < 0.6:
        body = b'--soak\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        body += picture + b"\r\n--soak--\r\n"
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return ("POST", path, body, {"Content-Type": kind}), {200}
    if draw < 0.7:
        text = json.dumps({"image": base64.b64encode(picture).decode(), "x": 1, "y": 2})
        return ("POST", path, text.encode(), {"Content-Type": "application/json"}), {200}
    if draw < 0.75:
        points = f"{path}/batch?points=[[1,2],[3,4],[5,6]]"
        return ("POST", points, picture, {"Content-Type": "image/jpeg"}), {200}
    if draw < 0.8:
        return ("POST", f"{path}?x=99999&y=0", picture, {}), {400}
    if draw < 0.85:
        return ("POST", path, picture[: len(picture) // 2], {}), {200, 400, 422}
    if draw < 0.88:
        return ("POST", path, random.randbytes(5000), {}), {415, 422}
    if draw < 0.9:
        return ("POST", path, b"{", {"Content-Type": "application/json"}), {400}
    if draw < 0.93:
        return ("GET", "/v1/models", None, {}), {200}
    if draw < 0.95:
        return ("GET", f"/{random.randbytes(8).hex()}", None, {}), {404}
    if draw < 0.97:
        return ("GET", "/metrics", None, {}), {200}
    return ("GET", "/health/ready", None, {}), {200}


def send_mixed(
    service: Service, count: int, *, callers: int, after_each: Callable[[int], None]
) -> Counter[str]:
    """Send mixed requests from several callers.

    Args:
        service: who answers.
        count: how many in all.
        callers: how many at a time, each with a connection of its own.
        after_each: called, by one at a time, with the number of requests sent so far.

    Returns:
        How often each wrong status came for what; empty if all is right.
    """
    wrong: Counter[str] = Counter()
    lock = threading.Lock()
    sent = 0

    def call(number: int) -> None:
        nonlocal sent
        draw = random.Random(number)
        connection = service.connect()
        while True:
            with lock:
                if sent >= count:
                    break
                sent += 1
                after_each(sent)
            if draw.random() < 0.02:
                break_off(service, draw)
                continue
            request, right = make_request(draw)
            connection.request(request[0], request[1], request[2], request[3])
            answer = connection.getresponse()
            answer.read()
            if answer.status not in right:
                wrong[f"{answer.status} for {request[0]} {request[1][:40]}"] += 1
        connection.close()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def break_off(service: Service, draw: random.Random) -> None:
    """Hang up in the middle of a body."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as sock:
        head = b"POST /v1/predictions HTTP/1.1\r\nHost: soak\r\nContent-Length: 90000\r\n\r\n"
        sock.sendall(head + draw.randbytes(1000))


@contextmanager
def steady_load(service: Service) -> Iterator[Counter[str]]:
    """Have three callers ask all the while; count the outcomes by status or error."""
    outcomes: Counter[str] = Counter()
    stop = threading.Event()
    lock = threading.Lock()

    def call() -> None:
        connection = service.connect()
        while not stop.is_set():
            try:
                connection.request("POST", "/v1/predictions", _PICTURES[0], {})
                answer = connection.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
                connection.close()
            with lock:
                outcomes[outcome] += 1
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join()
