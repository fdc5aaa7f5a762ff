"""Report: a run's tables, written between two marks of a Markdown page."""

import platform
import re
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

from benchmarks.results import Run

_OWN = "dsapi"
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write_report(run: Run, page: Path) -> None:
    """Replace what stands between the marks of `page`, or begin the page."""
    tables = "\n\n".join(
        (_circumstances(run), _servers(run), _bars(run), _loops(run), _variants(run))
    )
    text = page.read_text(encoding="utf-8") if page.exists() else f"{_BEGIN}\n{_END}\n"
    block = f"{_BEGIN}\n{tables}\n{_END}"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        re.sub(f"{_BEGIN}.*{_END}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8"
    )


def _circumstances(run: Run) -> str:
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC in one run of {run.took_s / 60:.0f} "
        f"minutes: {run.cores} cores of an {_processor()}, Python {platform.python_version()}, "
        f"a JPEG of 1600 × 1200 pixels and {run.picture_bytes // 1000} kB."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _servers(run: Run) -> str:
    ours = f"{_OWN}, TensorFlow"
    base = run.median(ours, lambda r: r.share) if ours in run.names() else 1.0
    rows = [
        "| server | answers/s, 8 callers | of the bare loop | of dsapi with TensorFlow "
        "| CPU an answer (bare loop) | p50, p99 with 8 | p50, p99 with 1 | start to first answer "
        "| memory: PSS (RSS) "
        "| processes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in run.names():

        def of(figure: str, name: str = name) -> float:
            return run.median(name, attrgetter(figure))

        rows.append(
            f"| {name} | {of('together.per_s'):.1f} | {of('share'):.0%} "
            f"| {of('share') / base:.2f} "
            f"| {of('cpu_ms'):.1f} ({of('bare.cpu_ms'):.1f}) ms "
            f"| {of('together.p50_ms'):.0f}, {of('together.p99_ms'):.0f} ms "
            f"| {of('alone.p50_ms'):.1f}, {of('alone.p99_ms'):.1f} ms "
            f"| {of('start_s'):.1f} s "
            f"| {of('memory.pss'):.0f} ({of('memory.rss'):.0f}) MiB "
            f"| {of('memory.processes'):.0f} |"
        )
    return "\n".join(rows)


def _bars(run: Run) -> str:
    """Hold the run against what this server is meant to reach."""
    names = run.names()
    tensorflow, openvino = f"{_OWN}, TensorFlow", f"{_OWN}, OpenVINO"
    others = [name for name in names if not name.startswith(_OWN)]
    rows = ["| aim | limit | measured | reached |", "|---|---|---|---|"]

    def row(aim: str, *, limit: str, measured: str, reached: bool, possible: bool = True) -> None:
        verdict = "yes" if reached else "no"
        if not possible:
            verdict = "unclear: other programs slowed the bare loop down"
        rows.append(f"| {aim} | {limit} | {measured} | {verdict} |")

    for name, faster, start_s in ((tensorflow, 1.5, 5.0), (openvino, 2.0, 1.5)):
        if name not in names:
            continue
        share = run.median(name, lambda r: r.share)
        row(f"{name}: throughput of the bare loop's, 8 callers", limit="≥ 92 %",
            measured=f"{share:.0%}", reached=share >= 0.92, possible=share <= 1.05)  # fmt: skip
        cpu_share = run.median(name, lambda r: r.cpu_share)
        row(f"{name}: CPU of the bare loop of its own, 8 callers", limit="≥ 92 %",
            measured=f"{cpu_share:.0%}", reached=cpu_share >= 0.92)  # fmt: skip
        if others:
            # Each server by the bare TensorFlow loop of its own minute.
            best = max(others, key=lambda other: run.median(other, lambda r: r.share))
            ratio = share * _speed_of(run, name) / run.median(best, lambda r: r.share)
            row(f"{name}: throughput against the best peer's ({best})", limit=f"≥ {faster} ×",
                measured=f"{ratio:.2f} ×", reached=ratio >= faster)  # fmt: skip
            thrifty = max(others, key=lambda other: run.median(other, lambda r: r.cpu_share))
            less = run.median(thrifty, lambda r: r.cpu_ms / r.bare.cpu_ms)
            less /= run.median(name, lambda r: r.cpu_ms / r.bare.cpu_ms) / _cpu_of(run, name)
            row(f"{name}: CPU an answer, of the thriftiest peer ({thrifty}) against its own",
                limit=f"≥ {faster} ×", measured=f"{less:.2f} ×",
                reached=less >= faster)  # fmt: skip
        tail = run.median(name, lambda r: r.together.p99_ms / r.together.p50_ms)
        row(f"{name}: p99 of p50, 8 callers", limit="≤ 3 ×",
            measured=f"{tail:.1f} ×", reached=tail <= 3)  # fmt: skip
        more_ms = run.median(name, lambda r: r.overhead_ms)
        row(f"{name}: added to the bare loop, 1 caller", limit="≤ 1.5 ms",
            measured=f"{more_ms:.1f} ms", reached=more_ms <= 1.5, possible=more_ms > 0)  # fmt: skip
        took_s = run.median(name, lambda r: r.start_s)
        row(f"{name}: start to first answer", limit=f"≤ {start_s} s",
            measured=f"{took_s:.1f} s", reached=took_s <= start_s)  # fmt: skip
        if others:
            mine = run.median(name, lambda r: r.memory.pss)
            leanest = min(others, key=lambda other: run.median(other, lambda r: r.memory.pss))
            least = run.median(leanest, lambda r: r.memory.pss)
            row(f"{name}: memory (PSS) against the leanest peer's ({leanest})",
                limit=f"≤ {least:.0f} MiB", measured=f"{mine:.0f} MiB",
                reached=mine <= least)  # fmt: skip
    return "\n".join(rows)


def _cpu_of(run: Run, name: str) -> float:
    """Tell how much less CPU the bare loop takes with a server's engine than with TensorFlow."""
    engine = next(result.engine for result in run.results if result.name == name)
    tensorflow = run.loops[f"tensorflow {run.cores} series"][2]
    return tensorflow / run.loops[f"{engine} {run.cores} series"][2]


def _speed_of(run: Run, name: str) -> float:
    """Tell how much faster the bare loop is with a server's engine than with TensorFlow."""
    engine = next(result.engine for result in run.results if result.name == name)
    return (
        run.loops[f"{engine} {run.cores} series"][0]
        / run.loops[f"tensorflow {run.cores} series"][0]
    )


def _loops(run: Run) -> str:
    rows = [
        "| bare loop | pictures/s | median of one | CPU of one |",
        "|---|---|---|---|",
    ]
    for name, (per_s, median_ms, cpu_ms) in run.loops.items():
        engine, threads, mode = name.split()
        shown = {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}[engine]
        several = "threads" if threads != "1" else "thread"
        rows.append(
            f"| {shown}, {threads} {several}, models in {mode} | {per_s:.1f} "
            f"| {median_ms:.1f} ms | {cpu_ms:.1f} ms |"
        )
    return "\n".join(rows)


def _variants(run: Run) -> str:
    if not run.variants:
        return "Other settings of this server were not measured in this run."
    rows = [
        "| dsapi with | of the bare loop, 8 callers | CPU an answer (bare loop) | p50, p99 with 8 "
        "| p50 with 1 | start | memory: PSS |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in run.variants:
        rows.append(
            f"| {result.name} | {result.share:.0%} "
            f"| {result.cpu_ms:.1f} ({result.bare.cpu_ms:.1f}) ms "
            f"| {result.together.p50_ms:.0f}, {result.together.p99_ms:.0f} ms "
            f"| {result.alone.p50_ms:.1f} ms | {result.start_s:.1f} s "
            f"| {result.memory.pss:.0f} MiB |"
        )
    return "\n".join(rows)
