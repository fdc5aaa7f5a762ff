"""The model registry: graphs that are missing are downloaded before they are loaded.

Enters: the models' sections with `url` and `sha256`. Leaves: their graph files, whole and
verified. Called by whoever loads models: the server's start and the commands.

A download goes to ``GRAPH.part`` beside the graph. If it is cut, the next try asks for the rest
(HTTP Range, RFC 9110 section 14). Only a file with the configured hash gets the graph's name, by
a rename, so no reader ever sees half of one.
"""

import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

from dsapi.errors import StartupError
from dsapi.operation.progress import OnBytes, show_progress, tell
from dsapi.prediction.spec import ModelSpec

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True)
class Patience:
    """How long a download is tried.

    Attributes:
        attempts: connections in a row, counted from the last that brought something new.
        timeout_s: silence after which a connection counts as cut.
        pause_s: before the second attempt; doubled before each further one.
        max_bytes: of a file; one that never ends would fill the disk. Protobuf reads no more.
    """

    attempts: int = 5
    timeout_s: float = 30.0
    pause_s: float = 1.0
    max_bytes: int = 1 << 31


class _CutError(Exception):
    """The connection brought less than it promised.

    `problem` says so, with the url, the bytes that are there and the reason; `advice` is for who
    has tried often enough.
    """

    problem = "the download of {url} was cut after {there} bytes ({reason})"
    advice = "start again to go on from there"

    def describe(self, url: str, there: int) -> str:
        return self.problem.format(url=url, there=there, reason=self)


class _UnreachableError(_CutError):
    """No connection came about."""

    problem = "cannot connect to {url} ({reason})"
    advice = "check url, and that this machine can connect to it"


class _UnwillingError(_CutError):
    """The server says that it cannot send the file now."""

    problem = "{url}: {reason}"
    advice = "try again later"


class _RestartError(_CutError):
    """The connection was cut, and the server always begins anew."""

    advice = "the server does not resume: fetch the file by other means, or from another url"


def fetch_graphs(models: Mapping[str, ModelSpec], *, patience: Patience | None = None) -> None:
    """Download every graph that is missing and has a `url`; show how far it is.

    The progress is a bar on a terminal, else a line every two seconds: in the log of a service, on
    the standard error of a command.

    Raises:
        StartupError: a download failed for good or has another hash than `sha256`.
    """
    for name, spec in models.items():
        if spec.url is None or spec.sha256 is None or spec.graph.exists():
            continue
        try:
            with show_progress(name) as on_bytes:
                download_graph(
                    spec.url,
                    spec.graph,
                    sha256=spec.sha256,
                    patience=patience or Patience(),
                    on_bytes=on_bytes,
                )
        except StartupError as error:
            raise StartupError(f"[models.{name}] {error}") from error
        except OSError as error:
            raise StartupError(
                f"[models.{name}] cannot write {spec.graph}: {error.strerror or error}"
            ) from error


def download_graph(
    url: str, path: Path, *, sha256: str, patience: Patience, on_bytes: OnBytes
) -> None:
    """Download `url` to `path`, going on where an earlier try was cut.

    Raises:
        StartupError: the server refuses, keeps cutting, or sends a file with another hash.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _lock_part(part) as stream:
        if path.exists():
            return
        try:
            found = _complete_and_hash(
                url, stream, sha256=sha256, patience=patience, on_bytes=on_bytes
            )
        except BaseException:
            if not stream.seek(0, os.SEEK_END):
                part.unlink()  # nothing to go on with
            raise
        if found != sha256:
            part.unlink()
            raise StartupError(
                f"{url} has SHA-256 {found}, but sha256 = {sha256!r}; the download was "
                "thrown away: correct url or sha256"
            )
        os.fsync(stream.fileno())
        os.replace(part, path)


def _lock_part(part: Path) -> BufferedRandom:
    """Open the unfinished file for this process alone.

    Of two that start at once one downloads, and the other then finds the graph there.
    """
    while True:
        stream = part.open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"another process is downloading {part}; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:
            return stream
        stream.close()  # thrown away by the one that had it


def _complete_and_hash(
    url: str, stream: BufferedRandom, *, sha256: str, patience: Patience, on_bytes: OnBytes
) -> str:
    """Make the file whole; give its hash."""
    resumed = stream.seek(0, os.SEEK_END) > 0
    _complete(url, stream, patience=patience, on_bytes=on_bytes)
    found = _hash(stream)
    if found == sha256 or not resumed:
        return found
    # What was there may be of an older file. Once more, from the start.
    stream.truncate(0)
    _complete(url, stream, patience=patience, on_bytes=on_bytes)
    return _hash(stream)


def _complete(url: str, stream: BufferedRandom, *, patience: Patience, on_bytes: OnBytes) -> None:
    """Connect until the file is whole; give up after `attempts` (see `Patience`)."""
    failures, pause_s = 0, patience.pause_s
    while True:
        before = stream.seek(0, os.SEEK_END)
        try:
            _receive(url, stream, patience=patience, on_bytes=on_bytes)
            return
        except _CutError as error:
            there = stream.seek(0, os.SEEK_END)
            if there > before:
                failures, pause_s = 0, patience.pause_s
            failures += 1
            if failures >= patience.attempts:
                raise StartupError(f"{error.describe(url, there)}; {error.advice}") from error
            tell(f"{error.describe(url, there)}; once more in {pause_s:g} s")
        time.sleep(pause_s)
        pause_s *= 2


def _receive(url: str, stream: BufferedRandom, *, patience: Patience, on_bytes: OnBytes) -> None:
    """Add to `stream` what one connection brings."""

    def watch(there: int, total: int | None) -> None:
        if max(there, total or 0) > patience.max_bytes:
            stream.truncate(0)
            raise StartupError(
                f"{url} has over {patience.max_bytes} bytes, which no graph has; correct url"
            )
        on_bytes(there, total)

    start = stream.seek(0, os.SEEK_END)
    response = _ask(url, start, timeout_s=patience.timeout_s)
    if response is None:
        return
    with response:
        total = _measure_total(response, start)
        if response.status == http.client.PARTIAL_CONTENT:
            _copy(response, stream, total=total, on_bytes=watch)
            return
        # What the server does not do by ranges it sends anew as a whole.
        stream.truncate(0)
        try:
            _copy(response, stream, total=total, on_bytes=watch)
        except _CutError as error:
            if start:
                raise _RestartError(str(error)) from error
            raise


def _ask(url: str, start: int, *, timeout_s: float) -> http.client.HTTPResponse | None:
    """Ask for the file from a byte on; ``None``: there is no more of it."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None  # All of it was there already; the hash tells whether it is right.
        if error.code >= 500:
            raise _UnwillingError(f"the server answers {error.code}") from error
        reason = " ".join(error.reason.split())  # of too many redirects it has lines
        raise StartupError(f"{url}: the server answers {error.code} {reason}; check url") from error
    except urllib.error.URLError as error:
        kind = _CutError if start else _UnreachableError
        raise kind(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error
    return response


def _measure_total(response: http.client.HTTPResponse, start: int) -> int | None:
    """Length of the whole file, if the server says it."""
    if response.status == http.client.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
        if found is None or int(found[1]) != start:
            raise _CutError(f"the server sent another range than from byte {start} on")
        return None if found[2] == "*" else int(found[2])
    return response.length


def _copy(
    response: http.client.HTTPResponse,
    stream: BufferedRandom,
    *,
    total: int | None,
    on_bytes: OnBytes,
) -> None:
    while piece := _read_piece(response):
        stream.write(piece)
        on_bytes(stream.tell(), total)
    stream.flush()
    if total is not None and stream.tell() < total:
        raise _CutError(f"{total} were promised")


def _read_piece(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_PIECE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error


def _hash(stream: BufferedRandom) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()
