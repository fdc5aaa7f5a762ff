"""The client: one request, a second one where that helps, and the answer, all within a set time."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import urllib3

from dsapi.client.breaker import Breaker
from dsapi.client.errors import ClientError, Refused, TimedOut, Unavailable
from dsapi.client.result import Result, read_answer

_LOGGER = logging.getLogger("dsapi.client")
_MAX_ANSWER_BYTES = 1024 * 1024
# For a call whose time is up: urllib3 takes no timeout of 0.
_LEAST_S = 0.001
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_T = TypeVar("_T")


class Client:
    """Asks one service; keeps its connections open. May be shared by threads, and be forked.

    Args:
        url: where the service is, such as ``http://127.0.0.1:9000``.
        key: access key, where the service wants one.
        timeout_s: longest time that a call takes, with its retry, name look-up and all; only a
            `Path` is read before.
        failures_to_open: after so many failures in a row the service is left alone …
        pause_s: … for so long; then one request tries whether it is back.
        max_connections: connections kept open; more are made where more threads ask at a time, and
            urllib3 warns of each.

    Raises:
        ValueError: `url` has another scheme than http or https or names no host, or the key is no
            visible ASCII text, which a header cannot carry.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 0.5,
        failures_to_open: int = 5,
        pause_s: float = 5.0,
        max_connections: int = 64,
    ) -> None:
        if not _is_url(url):
            raise ValueError(f"url must be like http://127.0.0.1:9000, got {url!r}")
        self._url = f"{url.rstrip('/')}/v1/predictions"
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": "dsapi-client", "Accept": "application/json"}
        if key:
            if not (key.isascii() and key.isprintable()):
                raise ValueError("key must be visible ASCII characters, as `dsapi key` makes it")
            self._headers["Authorization"] = f"Bearer {key}"
        self._max_connections = max_connections
        self._pool, self._process = self._make_pool(), os.getpid()
        self._breaker = Breaker(failures_to_open, pause_s)

    def predict(
        self,
        image: bytes | Path | str,
        x: float | None = None,
        y: float | None = None,
        *,
        unit: Literal["px", "percent"] | None = None,
        models: str | Sequence[str] | None = None,
        top: int | None = None,
        min_probability: float | None = None,
        request_id: str | None = None,
    ) -> Result:
        """Ask what a picture shows at a point.

        Args:
            image: the encoded picture, a `Path` to read it from here, or, as text, its path on
                the server.
            x: the point, from the left edge of the upright picture; without both: the center.
            y: from the top edge.
            unit: ``px`` (default) or ``percent``.
            models: which to run, several names or one; ``None``: the service's default ones.
            top: how many labels each; ``None``: 5.
            min_probability: leave out labels below this.
            request_id: to find the request in the service's log: 1 to 128 of letters, digits and
                ``._-``; any other is left out, as the service would replace it.

        Raises:
            Rejected: the picture or the point is unusable.
            Unavailable: there is no answer: `TimedOut`, `CircuitOpen`, refused, 5xx, garbage.
            OSError: the picture cannot be read from `image`.
            ValueError: `image` is a `Path` that no file can have.
            TypeError: `image` is none of these, such as an open file.
        """
        # Text is a sequence too: of letters.
        names = models if models is None or isinstance(models, str) else ",".join(models)
        query = _encode_given(
            x=x, y=y, unit=unit, models=names, top=top, min_probability=min_probability
        )
        headers = dict(self._headers)
        if request_id and _REQUEST_ID.fullmatch(request_id):
            headers["X-Request-ID"] = request_id
        headers["Content-Type"], body = _encode_picture(image)
        with self._breaker:
            try:
                return self._ask(f"{self._url}?{query}", body, headers)
            except TimeoutError as error:
                raise TimedOut(f"no answer within {self._timeout_s:g} s") from error

    def predict_or_empty(
        self,
        image: bytes | Path | str,
        x: float | None = None,
        y: float | None = None,
        **options: Any,
    ) -> Result:
        """Ask like `predict`, but answer any failure with an empty result that tells the reason.

        So a prediction that fails never fails what it is part of.
        """
        reason: Exception
        try:
            return self.predict(image, x, y, **options)
        except (ClientError, OSError) as error:
            _LOGGER.info("no prediction: %s", error)
            reason = error
        except Exception as error:  # whatever it is: that is the promise
            _LOGGER.exception("no prediction, for a reason that was not foreseen")
            reason = error
        return Result(reason=str(reason) or type(reason).__name__)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(maxsize=self._max_connections, retries=False)

    def _ask(self, url: str, body: bytes, headers: Mapping[str, str]) -> Result:
        """Send, a second time if the service was not there or full, within the time in all.

        Raises:
            TimeoutError: that time is over.
        """
        ends_s = time.monotonic() + self._timeout_s
        # After a fork the parent has the same connections: each would get answers of the other.
        if self._process != os.getpid():
            self._pool, self._process = self._make_pool(), os.getpid()

        def attempt() -> tuple[int, float, bytes]:
            left_s = ends_s - time.monotonic()
            return _within(left_s, lambda: self._send(url, body, headers, ends_s))

        try:
            status, retry_after_s, answer = attempt()
        except Refused:
            status, retry_after_s, answer = 0, 0.0, b""
        if status in (0, 503):
            left_s = ends_s - time.monotonic()
            # As long as asked for, if time permits; else a moment, for another try is cheap.
            time.sleep(max(0.0, min(retry_after_s, left_s / 4)))
            status, _, answer = attempt()
        return read_answer(status, answer)

    def _send(
        self, url: str, body: bytes, headers: Mapping[str, str], ends_s: float
    ) -> tuple[int, float, bytes]:
        """Send once; the status, Retry-After in seconds, and the body.

        Raises:
            Unavailable: the exchange broke off.
            TimeoutError: it took longer than to `ends_s`, on `time.monotonic`'s clock.
        """
        try:
            response = self._pool.request(
                "POST", url, body=body, headers=headers, preload_content=False, redirect=False,
                timeout=urllib3.Timeout(total=max(_LEAST_S, ends_s - time.monotonic())),
            )  # fmt: skip
            answer = _read_body(response, ends_s)
            response.release_conn()
        except urllib3.exceptions.NameResolutionError as error:
            # A name server may fail for a moment: worth a second try as well.
            host = urllib3.util.parse_url(url).host
            raise Refused(f"the name of the service's machine is unknown: {host}") from error
        except urllib3.exceptions.NewConnectionError as error:
            raise Refused("the service refuses connections") from error
        except urllib3.exceptions.TimeoutError as error:
            raise TimeoutError(str(error)) from error
        except urllib3.exceptions.ProtocolError as error:
            # A kept connection that the service has closed meanwhile looks like this, too.
            raise Refused("the service closed the connection") from error
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the exchange with the service failed: {error}") from error
        retry_after = response.headers.get("Retry-After", "")
        wait_s = float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else 0.05
        return response.status, wait_s, answer


def _is_url(text: str) -> bool:
    try:
        url = urllib3.util.parse_url(text)
    except urllib3.exceptions.LocationParseError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _encode_given(**parameters: float | str | None) -> str:
    return urlencode({name: value for name, value in parameters.items() if value is not None})


def _encode_picture(image: bytes | Path | str) -> tuple[str, bytes]:
    """Write a picture, or its path on the server, as a request's body, with its media type."""
    if isinstance(image, str):
        # A name that is no UTF-8 goes as the bytes that it is, for the service to judge.
        form = urlencode({"path": image}, errors="surrogateescape")
        return "application/x-www-form-urlencoded", form.encode()
    data = image.read_bytes() if isinstance(image, Path) else image
    # Refuses an open file: a second try would send what the first has left of it, nothing.
    return "application/octet-stream", bytes(memoryview(data))


def _read_body(response: urllib3.BaseHTTPResponse, ends_s: float) -> bytes:
    """Read piece by piece: a socket's timeout bounds one read, not a body that drips."""
    body = bytearray()
    while piece := response.read1(_MAX_ANSWER_BYTES):
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            response.close()
            raise Unavailable("the answer is longer than any answer of the service")
        if time.monotonic() > ends_s:
            response.close()
            raise TimeoutError
    return bytes(body)


def _within(seconds: float, work: Callable[[], _T]) -> _T:
    """Do work in a thread of its own, and give it up after a time.

    A socket's timeout bounds neither a head that drips nor the look-up of a name. The thread
    ends with its own timeouts; nobody waits for it.

    Raises:
        TimeoutError: it takes longer.
    """
    if seconds <= 0:
        raise TimeoutError
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:  # handed to the caller
            outcome.set_exception(error)

    threading.Thread(target=run, name="dsapi-client", daemon=True).start()
    return outcome.result(timeout=seconds)
