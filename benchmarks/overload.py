"""The overload curve: what a server does when more is asked than it can do.

Finds the most that callers who wait for their answers get (8 at a time), then offers multiples of
it, at random times and whether or not answers come, and draws what was answered, how fast, and what
was refused. These callers come with a new connection each, which costs more than a kept one, so
each multiple is held against what they get at that peak itself, too. Server and callers share the
machine: what callers take of it is measured and told. And so is what the 8 callers get who wait
while nginx, where it is installed, refuses as many others: hardly any server could refuse them for
less. Run: python -m benchmarks.overload
"""

import argparse
import json
import math
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.arrivals import call_at
from benchmarks.bench import make_picture
from benchmarks.load import is_listened_on, measure, raw_request
from benchmarks.processes import read_process_cpu_s, serving_as_shipped
from dsapi.cores import count_cores

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
PATIENCE_S = 30.0
_PATH = "/v1/predictions?x=700&y=500"
_NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr crit;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ return 503; }} }}
}}
"""


@dataclass(frozen=True)
class Outcome:
    """What became of requests that were offered at one rate.

    Attributes:
        factor: of the peak.
        peak_per_s: answers a second to 8 callers who wait, right before and after.
        offered_per_s: requests a second.
        answered_per_s: while they were offered and after, until the last was answered.
        statuses: how many answers of each.
        server_cpu: what the server took of all cores meanwhile, 0 to 1.
        callers_cpu: what the callers took: it is not the server's.
        once_per_s: answers a second to callers who do not wait and come at the peak rate, before.
        beside_nginx_per_s: answers a second to 8 callers who wait while nginx refuses as many as
            this server refused.
    """

    factor: float
    peak_per_s: float
    offered_per_s: float
    answered_per_s: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    refused_p99_ms: float
    server_cpu: float
    callers_cpu: float
    once_per_s: float = math.nan
    beside_nginx_per_s: float = math.nan


class Target:
    """A running server and the request that it gets.

    Args:
        pid: of its process.
        port: where it listens.
    """

    def __init__(self, pid: int, port: int) -> None:
        self._pid = pid
        self._port = port
        self._request = raw_request(_PATH, make_picture(), port=port)
        self._once = self._request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)

    def measure_peak(self, seconds: float) -> tuple[float, float]:
        """Let 8 callers wait for their answers; answers a second, and the callers' share of CPU."""
        started_s = time.process_time()
        found = measure(self._request, port=self._port, concurrency=8, seconds=seconds)
        return found.per_s, (time.process_time() - started_s) / seconds / count_cores()

    def measure_beside(self, refusing_port: int, *, refused_per_s: float, seconds: float) -> float:
        """Let 8 callers wait for answers while another server refuses others; answers a second."""
        moments_s = _draw_moments(refused_per_s, seconds=seconds, seed=0)
        others = threading.Thread(
            target=call_at,
            args=(moments_s, self._once),
            kwargs={"port": refusing_port, "patience_s": PATIENCE_S},
        )
        others.start()
        answered_per_s, _ = self.measure_peak(seconds)
        others.join()
        return answered_per_s

    def offer(self, *, peak: float, factor: float, seconds: float) -> Outcome:
        """Offer requests at random times (a Poisson process), and wait for what becomes of them."""
        moments_s = _draw_moments(peak * factor, seconds=seconds, seed=int(factor * 100))
        before_s = (read_process_cpu_s(self._pid), time.process_time())
        fates = call_at(moments_s, self._once, port=self._port, patience_s=PATIENCE_S)
        after_s = (read_process_cpu_s(self._pid), time.process_time())
        took_s = max(fate.ended_s for fate in fates)
        server, callers = (
            (after - before) / took_s / count_cores()
            for before, after in zip(before_s, after_s, strict=True)
        )
        answered = [1000 * fate.took_s for fate in fates if fate.status == "200"]
        refused = [1000 * fate.took_s for fate in fates if fate.status == "503"]
        return Outcome(
            factor,
            peak_per_s=peak,
            offered_per_s=len(moments_s) / seconds,
            # What is answered after the last was asked was still waiting: it counts with its time.
            answered_per_s=len(answered) / took_s,
            statuses=dict(Counter(fate.status for fate in fates)),
            p50_ms=float(np.percentile(answered or [np.nan], 50)),
            p99_ms=float(np.percentile(answered or [np.nan], 99)),
            refused_p99_ms=float(np.percentile(refused or [np.nan], 99)),
            server_cpu=server,
            callers_cpu=callers,
        )


@contextmanager
def nginx_refusing() -> Iterator[int | None]:
    """Let nginx refuse whatever comes to a port, and give the port; None without nginx."""
    program = shutil.which("nginx")
    if program is None:
        print("nginx is not installed: no figures of what it refuses for")
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(_NGINX.format(folder=folder, port=port), encoding="utf-8")
        with subprocess.Popen([program, "-c", str(config)]) as nginx:
            while not is_listened_on(port):
                if nginx.poll() is not None:
                    raise SystemExit(f"nginx ended with {nginx.returncode}")
                time.sleep(0.02)
            yield port
            nginx.terminate()


def _draw_moments(per_s: float, *, seconds: float, seed: int) -> list[float]:
    """Draw when callers come who do not know of each other (a Poisson process)."""
    draw = random.Random(seed)
    moments_s = [0.0]
    while moments_s[-1] < seconds:
        moments_s.append(moments_s[-1] + draw.expovariate(per_s))
    return moments_s


def draw_curve(outcomes: list[Outcome], *, path: Path) -> None:
    """Draw throughput and times over what was offered."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    offered = [one.offered_per_s for one in outcomes]
    left.plot(offered, [one.answered_per_s for one in outcomes], "o-", label="answered")
    left.plot(offered, [one.peak_per_s for one in outcomes], ":", label="8 callers who wait")
    left.plot(offered, [one.once_per_s for one in outcomes], "--", label="offered once the peak")
    beside = [one.beside_nginx_per_s for one in outcomes]
    left.plot(offered, beside, "-.", label="8 callers while nginx refuses")
    left.set(xlabel="offered, requests/s", ylabel="requests/s", ylim=0)
    left.legend()
    right.plot(offered, [one.p50_ms for one in outcomes], "o-", label="answered, median")
    right.plot(offered, [one.p99_ms for one in outcomes], "o-", label="answered, 99 %")
    right.plot(offered, [one.refused_p99_ms for one in outcomes], "s--", label="refused, 99 %")
    right.set(xlabel="offered, requests/s", ylabel="ms", yscale="log")
    right.legend()
    figure.savefig(path, dpi=90)


def run(target: Target, *, seconds: float, refusing_port: int | None) -> list[Outcome]:
    """Measure every factor of the peak, which is measured anew around it: the machine changes."""
    target.measure_peak(2.0)
    peak, callers_cpu = target.measure_peak(seconds)
    print(f"peak: {peak:.1f}/s, callers {callers_cpu:.1%} of the cores", flush=True)
    outcomes: list[Outcome] = []
    for factor in FACTORS:
        once = target.offer(peak=peak, factor=1.0, seconds=seconds)
        outcome = target.offer(peak=peak, factor=factor, seconds=seconds)
        after, _ = target.measure_peak(seconds)
        outcome = replace(outcome, peak_per_s=(peak + after) / 2, once_per_s=once.answered_per_s)
        refused_per_s = outcome.offered_per_s - outcome.answered_per_s
        if refusing_port is not None and factor > 1:
            beside = target.measure_beside(
                refusing_port, refused_per_s=refused_per_s, seconds=seconds
            )
            outcome = replace(outcome, beside_nginx_per_s=beside)
            after, _ = target.measure_peak(seconds)
        outcomes.append(outcome)
        print(outcomes[-1], flush=True)
        peak = after
    return outcomes


def main() -> None:
    """Start a server, measure, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--plot", type=Path, default=Path("docs/overload.png"))
    parser.add_argument("--json", type=Path, default=Path("build/overload.json"))
    options = parser.parse_args()
    with serving_as_shipped() as (pid, port), nginx_refusing() as refusing_port:
        outcomes = run(Target(pid, port), seconds=options.seconds, refusing_port=refusing_port)
    draw_curve(outcomes, path=options.plot)
    figures = [asdict(outcome) for outcome in outcomes]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
