"""The live numbers of a running service, from its ``/metrics``, as tables. For status and top."""

from __future__ import annotations

import http.client
import operator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from dsapi.errors import StartupError
from dsapi.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

_TIMEOUT_S = 5.0

# Numbers of several processes are added up, but for these.
_COMBINE = {"process_start_time_seconds": min}

_LabelSet = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Numbers:
    """The metrics of one moment: value by name and labels."""

    values: dict[tuple[str, _LabelSet], float]

    def get(self, name: str, **labels: str) -> float:
        """Read one number; 0 where nothing was counted yet."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sum a metric by one of its labels."""
        sums: dict[str, float] = {}
        for (found, labels), value in self.values.items():
            if found == name and label in (pairs := dict(labels)):
                sums[pairs[label]] = sums.get(pairs[label], 0.0) + value
        return sums

    def labels(self, name: str) -> list[dict[str, str]]:
        """List the label sets of a metric."""
        return [dict(labels) for found, labels in self.values if found == name]

    def since(self, before: Numbers) -> Numbers:
        """Subtract an earlier moment; a counter that has begun again since then gives 0."""
        return Numbers(
            {
                key: max(0.0, value - before.values.get(key, 0.0))
                for key, value in self.values.items()
            }
        )

    def quantile_ms(self, name: str, quantile: float, **labels: str) -> float | None:
        """Estimate a quantile of a histogram in milliseconds; ``None`` without observations.

        It is interpolated within a bucket, as Prometheus's ``histogram_quantile`` does.
        """
        buckets = sorted(
            (float(dict(found)["le"]), value)
            for (metric, found), value in self.values.items()
            if metric == f"{name}_bucket" and labels.items() <= dict(found).items()
        )
        total = buckets[-1][1] if buckets else 0.0
        if total <= 0:
            return None
        wanted, lower_s, below = quantile * total, 0.0, 0.0
        for upper_s, count in buckets:
            if count >= wanted:
                break
            lower_s, below = upper_s, count
        if upper_s == float("inf"):
            return lower_s * 1000
        return (lower_s + (wanted - below) / (count - below) * (upper_s - lower_s)) * 1000


def read_numbers(settings: Settings) -> Numbers:
    """Ask a running service.

    Raises:
        StartupError: it does not answer.
    """
    status, body = ask(settings, "GET", "/metrics", timeout_s=_TIMEOUT_S)
    if status != http.client.OK:
        raise StartupError(f"dsapi answers {status} to /metrics: {body[:200].decode()}")
    values: dict[tuple[str, _LabelSet], float] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = {name: told for name, told in sample.labels.items() if name != "process"}
            key = sample.name, frozenset(labels.items())
            combine = _COMBINE.get(sample.name, operator.add)
            values[key] = combine(values[key], sample.value) if key in values else sample.value
    return Numbers(values)


def ask(settings: Settings, method: str, path: str, *, timeout_s: float) -> tuple[int, bytes]:
    """Ask the service on this machine that the settings describe: status and body.

    Raises:
        StartupError: it does not answer.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=timeout_s)
    try:
        connection.request(method, path, headers={"Content-Length": "0"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StartupError(f"dsapi does not answer on {host}:{settings.port}: {error}") from error
    finally:
        connection.close()


def build_table(now: Numbers, before: Numbers | None = None, *, period_s: float = 0.0) -> Table:
    """Lay the numbers out, as totals since the start, or as rates since an earlier moment."""
    from rich.table import Table

    counted = now if before is None else now.since(before)
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, told in _rows(now, counted, period_s):
        table.add_row(f"[bold]{name}[/bold]", told)
    return table


def _rows(now: Numbers, counted: Numbers, period_s: float) -> list[tuple[str, str]]:
    """Say each thing in a row."""
    statuses = counted.by("dsapi_requests_total", "status")
    total = sum(statuses.values())
    requests = f"{total / period_s:.1f}/s" if period_s else f"{total:.0f}"
    replaced = now.by("dsapi_workers_replaced_total", "reason")
    return [
        (
            "models",
            ", ".join(
                f"{model['model']} {model['version']} ({model['engine']})"
                for model in now.labels("dsapi_model")
            ),
        ),
        (
            "workers",
            f"{now.get('dsapi_workers_busy'):.0f} busy, {now.get('dsapi_workers_alive'):.0f} of "
            f"{now.get('dsapi_workers'):.0f} alive" + _told(", replaced: ", replaced),
        ),
        (
            "queue",
            f"{now.get('dsapi_queue_waiting'):.0f} of {now.get('dsapi_queue_size'):.0f} waiting"
            + _told(", dropped: ", now.by("dsapi_dropped_total", "reason")),
        ),
        ("requests", requests + _told(": ", statuses)),
        ("errors", _told("", counted.by("dsapi_errors_total", "code")) or "none"),
        *_stages(counted),
        ("connections", f"{now.get('dsapi_connections_waiting'):.0f} waiting"),
        ("memory", f"{now.get('process_resident_memory_bytes') / 1e6:.0f} MB"),
        ("processor", _processor(counted, period_s)),
        ("reloads", _told("", now.by("dsapi_reloads_total", "result")) or "none"),
        ("started", _when(now.get("process_start_time_seconds"))),
        *([("log", f"{lost:.0f} lines lost")] if (lost := now.get("dsapi_log_lines_lost")) else []),
    ]


def _stages(counted: Numbers) -> list[tuple[str, str]]:
    """Median and 99th percentile of each step of a prediction."""
    told = []
    for stage in dict.fromkeys(
        labels["stage"] for labels in counted.labels("dsapi_stage_seconds_count")
    ):
        median, tail = (
            counted.quantile_ms("dsapi_stage_seconds", quantile, stage=stage)
            for quantile in (0.5, 0.99)
        )
        if median is not None and tail is not None:
            told.append((f"  {stage}", f"p50 {median:.1f} ms, p99 {tail:.1f} ms"))
    return told


def _told(before: str, counts: dict[str, float]) -> str:
    told = ", ".join(f"{value:.0f} × {name}" for name, value in sorted(counts.items()) if value)
    return f"{before}{told}" if told else ""


def _processor(counted: Numbers, period_s: float) -> str:
    seconds = counted.get("process_cpu_seconds_total")
    return f"{seconds / period_s:.0%} of a core" if period_s else f"{seconds:.0f} s"


def _when(timestamp_s: float) -> str:
    return datetime.fromtimestamp(timestamp_s).isoformat(sep=" ", timespec="seconds")
