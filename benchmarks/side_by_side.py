"""Servers side by side: all started, then loaded in turn, round after round.

``python -m benchmarks.side_by_side``: against the best peer, with OpenVINO also with shared
weights; with ``--checkout DIR`` against dsapi as it is there, to see what a change does. A run of
`benchmarks.bench` takes minutes, in which the speed of a virtual machine changes; here what is
compared is measured within the same seconds.
Prints the medians of the rounds' ratios as a table for docs/performance.md.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.bench import (
    ENGINES,
    BareProcess,
    load_with_many,
    make_picture,
    run_bare,
    serving,
)
from benchmarks.load import Measured, measure
from benchmarks.processes import Server
from benchmarks.results import Bare
from benchmarks.subjects import PEERS, PORT, Subject, own, peers
from dsapi.cores import count_cores


@dataclass(frozen=True)
class Turn:
    """What a server did in one round, beside the bare loop and the peer of the same round.

    Attributes:
        together: with 8 callers.
        cpu_ms: processor milliseconds of an answer then.
        alone_ms: median time to an answer with 1 caller.
        bare: the loop with the server's engine.
    """

    together: Measured
    cpu_ms: float
    alone_ms: float
    bare: Bare


def run_round(
    servers: list[tuple[Subject, Server]], bare: BareProcess, *, seconds: float, picture: bytes
) -> dict[str, Turn]:
    """Load each server once, with 8 callers and with 1; give what it did by its name."""
    cores = count_cores()
    loops = {engine: run_bare(bare, engine, cores=cores, seconds=seconds) for engine in ENGINES}
    turns = {}
    for subject, server in servers:
        request = subject.request(picture)
        together, cpu_ms = load_with_many(subject, server, request, seconds=seconds)
        alone = measure(request, port=subject.port, concurrency=1, seconds=seconds)
        turns[subject.name] = Turn(together, cpu_ms, alone.p50_ms, loops[subject.engine])
    return turns


def tabulate(rounds: list[dict[str, Turn]], *, others: dict[str, str]) -> str:
    """Write the medians of the rounds' ratios as Markdown.

    Args:
        rounds: what each server did.
        others: by the name of a row's server, the one that it is held against.
    """
    rows = [
        "| 8 callers | answers/s | of the bare loop | CPU: the loop's of the server's "
        "| against | answers/s | CPU: the other's of the server's | p99 of p50 "
        "| added to the bare loop, 1 caller |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, other in others.items():

        def median(
            figure: Callable[[Turn, Turn], float], name: str = name, other: str = other
        ) -> float:
            return statistics.median(figure(turns[name], turns[other]) for turns in rounds)

        rows.append(
            f"| {name} | {median(lambda own, _: own.together.per_s):.0f} "
            f"| {median(lambda own, _: own.together.per_s / own.bare.per_s):.0%} "
            f"| {median(lambda own, _: own.bare.cpu_ms / own.cpu_ms):.0%} "
            f"| {other} "
            f"| {median(lambda own, other: own.together.per_s / other.together.per_s):.2f} × "
            f"| {median(lambda own, other: other.cpu_ms / own.cpu_ms):.0%} "
            f"| {median(lambda own, _: own.together.p99_ms / own.together.p50_ms):.1f} × "
            f"| {median(lambda own, _: own.alone_ms - own.bare.median_ms):.1f} ms |"
        )
    return "\n".join(rows)


def find_rivals(subjects: list[Subject], asked: argparse.Namespace) -> list[Subject]:
    """Find what each of this version's servers is held against.

    Raises:
        SystemExit: the peer is not installed.
    """
    port = PORT + len(subjects)
    if asked.checkout is None:
        found = [one for one in peers(asked.environments, port=port) if one.name == asked.peer]
        if not found:
            raise SystemExit(f"{asked.peer} is not installed; run: make bench-peers")
        return found * len(subjects)
    return [
        replace(
            own(subject.engine, port=port + at),
            name=f"{subject.name}, in {asked.checkout.name}",
            folder=asked.checkout.resolve(),
        )
        for at, subject in enumerate(subjects)
    ]


def main() -> None:
    """Start the servers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--peer", default="Flask + gunicorn", help="the best of the peers")
    parser.add_argument("--checkout", type=Path, help="another version of dsapi, not the peer")
    parser.add_argument("--environments", type=Path, default=PEERS)
    asked = parser.parse_args()
    picture = make_picture()
    subjects = [own(engine, port=PORT + at) for at, engine in enumerate(ENGINES)]
    if asked.checkout is None:
        port = PORT + len(subjects)
        subjects.append(own("openvino", name="– weights shared", share_weights="on", port=port))
    rivals = find_rivals(subjects, asked)
    others = {one.name: rival.name for one, rival in zip(subjects, rivals, strict=True)}
    others |= {rival.name: rival.name for rival in rivals}
    subjects = list({one.name: one for one in (*subjects, *rivals)}.values())
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file, ExitStack() as running:
        file.write(picture)
        file.flush()
        bare = BareProcess(Path(file.name), threads=count_cores())
        running.callback(bare.close)
        servers = []
        for subject in subjects:
            request = subject.request(picture)
            server, _ = running.enter_context(serving(subject, request))
            servers.append((subject, server))
            measure(request, port=subject.port, concurrency=8, seconds=asked.seconds)
        rounds = []
        for number in range(asked.rounds):
            order = servers if number % 2 else servers[::-1]
            rounds.append(run_round(order, bare, seconds=asked.seconds, picture=picture))
            print(f"round {number + 1} of {asked.rounds}", flush=True)
    print(tabulate(rounds, others=others))


if __name__ == "__main__":
    main()
