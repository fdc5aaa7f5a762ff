"""Processes: start a server in a group of its own, weigh it with all its children, end it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 20.0


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


@contextmanager
def running(
    command: tuple[str, ...], *, environment: dict[str, str], folder: Path, log: Path
) -> Iterator[int]:
    """Run a server in a session of its own; yield its PID; end all of it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        _end(process)


def weigh(pid: int) -> Memory:
    """Add up the memory of a process and all its descendants."""
    rss = pss = 0
    members = _family(pid)
    for member in members:
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
        rss += int(sizes["Rss"])
        pss += int(sizes["Pss"])
    return Memory(rss / 1024, pss / 1024, len(members))


def _family(pid: int) -> set[int]:
    """Find a process, what descends from it, and what shares its session."""
    parents, sessions = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    family = {pid} | {member for member, session in sessions.items() if session == pid}
    while more := {m for m, parent in parents.items() if parent in family and m not in family}:
        family |= more
    return family


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to leave; kill whatever of it is left."""
    family = _family(process.pid)
    process.send_signal(signal.SIGTERM)
    give_up_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_s and process.poll() is None:
        time.sleep(0.05)
    for member in family | _family(process.pid):
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
