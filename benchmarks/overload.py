"""The overload curve: what a server does when more is asked than it can do.

Finds the most that callers who wait for their answers get (8 at a time), then offers multiples of
it, at random times and whether or not answers come, and draws what was answered, how fast, and what
was refused. Server and callers share the machine, so that refusals cost throughput here that they
would not cost with callers elsewhere. Run: python -m benchmarks.overload
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.pictures import encode, photo

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Outcome:
    """What became of requests that were offered at one rate.

    Attributes:
        callers_cpu: what the callers took of all cores meanwhile, 0 to 1: it is not the server's.
    """

    factor: float
    offered_per_s: float
    answered_per_s: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    refused_p99_ms: float
    callers_cpu: float


async def ask(port: int, picture: bytes) -> tuple[str, float]:
    """Ask once, on a connection of its own: status, and seconds until the answer."""
    started_s = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /v1/predictions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
                b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
            )
            writer.write(picture)
            status = (await reader.readline()).split()[1].decode()
            await reader.read()
            writer.close()
    except TimeoutError:
        status = "hung"
    except (OSError, IndexError) as error:
        status = type(error).__name__
    return status, time.perf_counter() - started_s


async def measure_peak(port: int, picture: bytes, *, seconds: float) -> float:
    """Count answers a second to 8 callers who wait for theirs."""
    end_s = time.perf_counter() + seconds
    answered = 0

    async def call() -> None:
        nonlocal answered
        while time.perf_counter() < end_s:
            status, _ = await ask(port, picture)
            answered += status == "200"

    await asyncio.gather(*(call() for _ in range(8)))
    return answered / seconds


async def offer(
    port: int, picture: bytes, *, peak: float, factor: float, seconds: float
) -> Outcome:
    """Offer requests at random times (a Poisson process), and wait for what becomes of them."""
    draw = random.Random(int(factor * 100))
    rate = peak * factor
    asked: list[asyncio.Task[tuple[str, float]]] = []
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    at_s = 0.0
    while at_s < seconds:
        await asyncio.sleep(max(0.0, started_s + at_s - time.perf_counter()))
        asked.append(asyncio.create_task(ask(port, picture)))
        at_s += draw.expovariate(rate)
    # What is answered after the last was asked was still waiting: it counts with its time.
    results = await asyncio.gather(*asked)
    took_s = time.perf_counter() - started_s
    answered = [1000 * s for status, s in results if status == "200"] or [float("nan")]
    refused = [1000 * s for status, s in results if status == "503"] or [float("nan")]
    return Outcome(
        factor,
        offered_per_s=len(asked) / seconds,
        answered_per_s=sum(status == "200" for status, _ in results) / took_s,
        statuses=dict(Counter(status for status, _ in results)),
        p50_ms=float(np.percentile(answered, 50)),
        p99_ms=float(np.percentile(answered, 99)),
        refused_p99_ms=float(np.percentile(refused, 99)),
        callers_cpu=(time.process_time() - started_cpu_s) / took_s / len(os.sched_getaffinity(0)),
    )


def draw_curve(outcomes: list[Outcome], *, peak: float, path: Path) -> None:
    """Draw throughput and times over what was offered."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    offered = [one.offered_per_s for one in outcomes]
    left.plot(offered, [one.answered_per_s for one in outcomes], "o-", label="answered")
    left.axhline(peak, linestyle=":", color="gray", label="8 callers who wait")
    left.set(xlabel="offered, requests/s", ylabel="requests/s", ylim=0)
    left.legend()
    right.plot(offered, [one.p50_ms for one in outcomes], "o-", label="answered, median")
    right.plot(offered, [one.p99_ms for one in outcomes], "o-", label="answered, 99 %")
    right.plot(offered, [one.refused_p99_ms for one in outcomes], "s--", label="refused, 99 %")
    right.set(xlabel="offered, requests/s", ylabel="ms", yscale="log")
    right.legend()
    figure.savefig(path, dpi=90)


async def run(port: int, *, seconds: float) -> tuple[float, list[Outcome]]:
    """Measure the peak, then every factor of it."""
    picture = encode(photo(1600, 1200), "JPEG", quality=80)
    await measure_peak(port, picture, seconds=2)
    peak = await measure_peak(port, picture, seconds=seconds)
    print(f"peak: {peak:.1f}/s with {len(picture)} bytes each", flush=True)
    outcomes = []
    for factor in FACTORS:
        outcome = await offer(port, picture, peak=peak, factor=factor, seconds=seconds)
        print(outcome, flush=True)
        outcomes.append(outcome)
    # The same again: on a shared machine the peak moves.
    print(f"peak afterwards: {await measure_peak(port, picture, seconds=seconds):.1f}/s")
    return peak, outcomes


def main() -> None:
    """Start a server, measure, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--plot", type=Path, default=Path("docs/overload.png"))
    parser.add_argument("--json", type=Path, default=Path("docs/overload.json"))
    options = parser.parse_args()
    command = [sys.executable, "-m", "dsapi", "serve", "--port", "0", "--log-level", "ERROR"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://[^:]+:(\d+)", server.stdout.readline())
        assert found is not None, "the server does not start"
        try:
            peak, outcomes = asyncio.run(run(int(found[1]), seconds=options.seconds))
        finally:
            server.send_signal(signal.SIGTERM)
    draw_curve(outcomes, peak=peak, path=options.plot)
    figures = {"peak_per_s": peak, "outcomes": [asdict(outcome) for outcome in outcomes]}
    options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
