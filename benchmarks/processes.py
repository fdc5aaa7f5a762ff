"""Processes: start a server in a group of its own, weigh it with all its children, end it."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 20.0
# In the environment of a server and so of whatever it starts, whoever its parent is now.
_MARK = "DSAPI_BENCH_MARK"


@dataclass(frozen=True)
class Memory:
    """What a server and its children hold, in MiB.

    Attributes:
        rss: sum of the resident sets; pages that processes share count once for each.
        pss: likewise, with shared pages divided among those who share them.
        processes: how many there are.
    """

    rss: float
    pss: float
    processes: int


@dataclass(frozen=True)
class Server:
    """A running server: the process that was started, and the mark that all of its bear."""

    pid: int
    mark: str


@contextmanager
def serving_as_shipped() -> Iterator[tuple[int, int]]:
    """Serve with the shipped configuration on a free port; yield process and port; end it."""
    command = [sys.executable, "-m", "dsapi", "serve", "--port", "0", "--log-level", "ERROR"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            told = server.stdout.readline() if server.stdout else ""
            found = re.search(r"http://\S+:(\d+)", told)
            if found is None:
                raise SystemExit("the server did not start")
            yield server.pid, int(found[1])
        finally:
            server.send_signal(signal.SIGTERM)


@contextmanager
def running(
    command: tuple[str, ...], *, environment: dict[str, str], folder: Path, log: Path
) -> Iterator[Server]:
    """Run a server in a session of its own; yield it; end all of it."""
    mark = str(uuid.uuid4())
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment, _MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Server(process.pid, mark)
    finally:
        _end(process, mark)


def weigh(server: Server) -> Memory:
    """Add up the memory of all processes of a server."""
    rss = pss = 0
    members = _marked(server.mark)
    for member in members:
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
        rss += int(sizes["Rss"])
        pss += int(sizes["Pss"])
    return Memory(rss / 1024, pss / 1024, len(members))


def read_cpu_s(server: Server) -> float:
    """Add up the processor seconds of all processes of a server."""
    return sum(read_process_cpu_s(member) for member in _marked(server.mark))


def read_process_cpu_s(pid: int) -> float:
    """Read the processor seconds of one process; 0 if it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _marked(mark: str) -> set[int]:
    """Find all processes of a server, also those that have let go of their parent."""
    wanted = f"{_MARK}={mark}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if wanted in environment.split(b"\0"):
                found.add(int(entry.name))
    return found


def _end(process: "subprocess.Popen[bytes]", mark: str) -> None:
    """Ask it to leave; kill whatever of it is left."""
    process.send_signal(signal.SIGTERM)
    give_up_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_s and process.poll() is None:
        time.sleep(0.05)
    while left := _marked(mark):
        for member in left:
            try:
                os.kill(member, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.poll()
        time.sleep(0.1)
    process.wait()
