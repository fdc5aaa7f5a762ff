"""Measure everything in one run, and write docs/performance.md: ``python -m benchmarks.bench``.

The servers run one after another, in rounds. Before and after each, the bare loop is measured
again; what is reported is the ratio to that, which stands when the machine's speed changes.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Measured, is_listened_on, measure, wait_until_ready
from benchmarks.processes import Server, read_cpu_s, running, weigh
from benchmarks.report import write_report
from benchmarks.results import Bare, Result, Run
from benchmarks.subjects import PEERS, ROOT, Subject, own, peers
from dsapi.cores import count_cores
from tests.pictures import encode, photo

_START_PATIENCE_S = 120.0
_PICTURE_BYTES = 300_000
ENGINES = ("tensorflow", "openvino")


@dataclass(frozen=True)
class Plan:
    """How long what is measured.

    Attributes:
        rounds: how often each server is started.
        seconds: of load, at each concurrency.
        bare_seconds: of each measurement of the bare loop.
        cores: threads of the bare loop.
    """

    rounds: int
    seconds: float
    bare_seconds: float
    cores: int


class BareProcess:
    """`benchmarks.bare` in a process of its own."""

    def __init__(self, picture: Path, *, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare", str(picture), "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._read()

    def run(
        self, engine: str, *, threads: int, seconds: float, mode: str = "series"
    ) -> tuple[float, float, float]:
        """Measure; return pictures a second, the median and the processor milliseconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{engine} {threads} {seconds} {mode}\n")
        self._process.stdin.flush()
        per_s, median_ms, cpu_ms = map(float, self._read().split())
        return per_s, median_ms, cpu_ms

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _read(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the bare loop has ended; is a model missing?")
        return line.strip()


def make_picture() -> bytes:
    """Make a JPEG of 2 megapixels and about 300 kB: smooth structure with fine noise."""
    image = photo(1600, 1200)
    encoded = b""
    for quality in range(90, 30, -2):
        encoded = encode(image, "JPEG", quality=quality)
        if len(encoded) <= _PICTURE_BYTES:
            break
    return encoded


def run_subject(subject: Subject, bare: BareProcess, plan: Plan, *, picture: bytes) -> Result:
    """Start a server, load it, and hold it against the bare loop of the same minute."""
    request = subject.request(picture)
    before = run_bare(bare, subject.engine, cores=plan.cores, seconds=plan.bare_seconds)
    with serving(subject, request) as (server, start_s):
        measure(request, port=subject.port, concurrency=4, seconds=min(2.0, plan.seconds))
        alone = measure(request, port=subject.port, concurrency=1, seconds=plan.seconds)
        together, cpu_ms = load_with_many(subject, server, request, seconds=plan.seconds)
        memory = weigh(server)
    after = run_bare(bare, subject.engine, cores=plan.cores, seconds=plan.bare_seconds)
    reference = Bare(
        per_s=(before.per_s + after.per_s) / 2,
        median_ms=(before.median_ms + after.median_ms) / 2,
        cpu_ms=(before.cpu_ms + after.cpu_ms) / 2,
    )
    result = Result(
        subject.name,
        subject.engine,
        start_s=start_s,
        alone=alone,
        together=together,
        cpu_ms=cpu_ms,
        memory=memory,
        bare=reference,
    )
    _tell(result)
    return result


def run_bare(bare: BareProcess, engine: str, *, cores: int, seconds: float) -> Bare:
    """Measure the bare loop on all cores, and on one."""
    per_s, _, cpu_ms = bare.run(engine, threads=cores, seconds=seconds)
    _, median_ms, _ = bare.run(engine, threads=1, seconds=seconds)
    return Bare(per_s, median_ms, cpu_ms)


def load_with_many(
    subject: Subject, server: Server, request: bytes, *, seconds: float
) -> tuple[Measured, float]:
    """Load a server with 8 callers; give also the processor milliseconds of an answer."""
    before_s = read_cpu_s(server)
    together = measure(request, port=subject.port, concurrency=8, seconds=seconds)
    return together, (read_cpu_s(server) - before_s) / together.count * 1000


@contextmanager
def serving(subject: Subject, request: bytes) -> Iterator[tuple[Server, float]]:
    """Run a server; yield it and the seconds until its first prediction."""
    log = Path(tempfile.gettempdir()) / f"dsapi-bench-{subject.port}.log"
    log.write_bytes(b"")
    if is_listened_on(subject.port):
        raise RuntimeError(f"port {subject.port} is in use; another server would be measured")
    started_s = time.perf_counter()
    with running(
        subject.command, environment=subject.environment, folder=subject.folder, log=log
    ) as server:
        try:
            wait_until_ready(request, port=subject.port, patience_s=_START_PATIENCE_S)
        except TimeoutError:
            print(log.read_text(errors="replace")[-3000:], flush=True)
            raise
        yield server, time.perf_counter() - started_s


def _tell(result: Result) -> None:
    print(
        f"{result.name:28} start {result.start_s:5.1f} s   alone {result.alone.p50_ms:6.1f} ms   "
        f"8 at a time {result.together.per_s:6.1f}/s = {result.share:4.0%} of the bare loop, "
        f"p50 {result.together.p50_ms:6.1f} p99 {result.together.p99_ms:6.1f} ms   "
        f"{result.memory.pss:5.0f} MiB   "
        f"CPU {result.cpu_ms:5.1f} ms, bare {result.bare.cpu_ms:5.1f}",
        flush=True,
    )


def measure_variants(bare: BareProcess, plan: Plan, *, picture: bytes) -> list[Result]:
    """Measure this server with 1 to 8 workers, and with several processes."""
    variants = [own("tensorflow", name=f"{n} workers", workers=n) for n in (1, 2, 4, 8)]
    variants.append(own("tensorflow", name="2 processes × 1 worker", workers=1, processes=2))
    variants.append(own("openvino", name="OpenVINO, 2 processes × 1", workers=1, processes=2))
    variants.append(own("openvino", name="OpenVINO, weights shared", share_weights="on"))
    variants.append(own("tensorflow", name="2 workers, upload", workers=2, upload=True))
    return [run_subject(variant, bare, plan, picture=picture) for variant in variants]


def measure_bare(bare: BareProcess, plan: Plan) -> dict[str, list[tuple[float, float, float]]]:
    """Measure the bare loop on 1 and all cores, models in series and parallel, interleaved."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(max(2, plan.rounds)):
        for engine in ENGINES:
            for threads in (1, plan.cores):
                for mode in ("series", "parallel"):
                    figures = bare.run(
                        engine, threads=threads, seconds=plan.bare_seconds, mode=mode
                    )
                    found.setdefault(f"{engine} {threads} {mode}", []).append(figures)
    return found


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--environments", type=Path, default=PEERS)
    parser.add_argument("--only", default="", help="part of the names of the servers to measure")
    parser.add_argument("--no-variants", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    asked = parser.parse_args()
    plan = Plan(asked.rounds, asked.seconds, bare_seconds=asked.seconds / 3, cores=count_cores())
    began_s = time.perf_counter()
    picture = make_picture()
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(picture)
        file.flush()
        bare = BareProcess(Path(file.name), threads=plan.cores)
    subjects = [own("tensorflow"), own("openvino"), *peers(asked.environments)]
    chosen = [subject for subject in subjects if asked.only.lower() in subject.name.lower()]
    loops = measure_bare(bare, plan)
    results = [
        run_subject(subject, bare, plan, picture=picture)
        for _ in range(plan.rounds)
        for subject in chosen
    ]
    variants = [] if asked.no_variants else measure_variants(bare, plan, picture=picture)
    bare.close()
    run = Run(
        results=results,
        variants=variants,
        loops={name: _median_of(figures) for name, figures in loops.items()},
        picture_bytes=len(picture),
        cores=plan.cores,
        took_s=time.perf_counter() - began_s,
    )
    write_report(run, asked.output)
    print(f"done in {run.took_s:.0f} s; the tables are in {asked.output}", flush=True)


def _median_of(figures: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    per_s, median_ms, cpu_ms = (statistics.median(column) for column in zip(*figures, strict=True))
    return per_s, median_ms, cpu_ms


if __name__ == "__main__":
    main()
