"""Metrics: what the service has done and is doing, as Prometheus reads it.

Requests are observed as they end (`dsapi.web.journal`); everything else is read from its owner
when somebody asks. Served as ``/metrics``, read by ``dsapi status`` and ``dsapi top``.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from dsapi import __version__
from dsapi.errors import DeadlineExceeded, InternalError, NotReady, Overloaded
from dsapi.operation.reload import Reloader
from dsapi.workers.pool import PredictionWorkers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# From a fast stage on an idle machine to the default request_timeout.
_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2, 4, 10)


class Metrics:
    """The numbers of one service.

    Args:
        workers: read for queue, workers and models.
        reloader: read for reloads.
        gauges: further numbers by name, each with its help and what tells it.
    """

    def __init__(
        self,
        workers: PredictionWorkers,
        reloader: Reloader,
        *,
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
    ) -> None:
        # Else each gets a second series with its creation time, which Prometheus does not need.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "dsapi_requests",
            "Requests by endpoint, form of the picture and status",
            ["endpoint", "form", "status"],
            registry=self._registry,
        )
        self._errors = Counter(
            "dsapi_errors",
            "Refused requests by the contract's code",
            ["code"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "dsapi_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "dsapi_stage_seconds",
            "Steps of a prediction: queue, decode, one for each model, total",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        # Finding a number by its labels takes longer than counting.
        self._request_of = cache(self._requests.labels)
        self._error_of = cache(self._errors.labels)
        self._duration_of = cache(self._durations.labels)
        self._stage_of = cache(self._stages.labels)
        # Alerts ask for increases, and a counter that begins at 1 has none.
        for kind in (DeadlineExceeded, InternalError, NotReady, Overloaded):
            self._error_of(kind.code)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Live(workers, reloader, gauges))

    def count_request(
        self, *, endpoint: str, form: str, status: int, code: str, seconds: float
    ) -> None:
        """Count a request that has ended.

        Args:
            endpoint: path of the contract, or ``other``.
            form: how the picture came: raw, upload, path, base64; empty for none.
            status: of the answer.
            code: of the error; empty for none.
            seconds: how long it took.
        """
        self._request_of(endpoint, form, str(status)).inc()
        self._duration_of(endpoint).observe(seconds)
        if code:
            self._error_of(code).inc()

    def observe_stages(self, timing_ms: Mapping[str, float]) -> None:
        """Observe the steps of a prediction."""
        for stage, value_ms in timing_ms.items():
            self._stage_of(stage).observe(value_ms / 1000)

    def render(self) -> bytes:
        """Write everything in Prometheus's text format."""
        return generate_latest(self._registry)


class _Live(Collector):
    """What is read from its owner at the moment of the question."""

    def __init__(
        self,
        workers: PredictionWorkers,
        reloader: Reloader,
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
    ) -> None:
        self._workers = workers
        self._reloader = reloader
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """Read everything."""
        build = GaugeMetricFamily("dsapi_build", "The version", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from self._read_workers()
        yield from self._read_models()
        reloads = CounterMetricFamily("dsapi_reloads", "Reloads by result", labels=["result"])
        reloads.add_metric(["succeeded"], self._reloader.succeeded)
        reloads.add_metric(["failed"], self._reloader.failed)
        yield reloads
        for name, (meaning, read) in self._gauges.items():
            yield GaugeMetricFamily(name, meaning, value=read())

    def _read_workers(self) -> Iterable[Metric]:
        status = self._workers.status
        for name, meaning, value in (
            ("dsapi_ready", "1 if every worker answers", float(self._workers.ready)),
            ("dsapi_queue_waiting", "Requests that wait for a worker", status.waiting),
            ("dsapi_queue_size", "Requests that may wait", status.queue_size),
            ("dsapi_workers", "Prediction workers that there should be", status.count),
            ("dsapi_workers_alive", "Prediction workers that can answer", status.alive),
            ("dsapi_workers_busy", "Prediction workers at work", status.busy),
            ("dsapi_work_seconds", "Smoothed seconds of work a request", status.work_s),
        ):
            yield GaugeMetricFamily(name, meaning, value=value)
        for name, meaning, counts in (
            ("dsapi_dropped", "Requests dropped before work began", status.dropped),
            ("dsapi_workers_replaced", "Workers replaced", status.replaced),
        ):
            family = CounterMetricFamily(name, meaning, labels=["reason"])
            for reason, count in counts.items():
                family.add_metric([reason], count)
            yield family

    def _read_models(self) -> Iterable[Metric]:
        labels = ["model", "version", "engine"]
        info = GaugeMetricFamily("dsapi_model", "Models in force", labels=labels)
        load = GaugeMetricFamily("dsapi_model_load_seconds", "Time to load", labels=["model"])
        since = GaugeMetricFamily(
            "dsapi_model_loaded_timestamp_seconds", "When it was loaded", labels=["model"]
        )
        failures = CounterMetricFamily(
            "dsapi_model_failures",
            "Predictions on which a model failed while others answered",
            labels=["model"],
        )
        failed = self._workers.status.failed
        for model in self._workers.models.values():
            info.add_metric([model.name, model.version, model.engine], 1)
            load.add_metric([model.name], model.load_ms / 1000)
            since.add_metric([model.name], model.loaded_since.timestamp())
            failures.add_metric([model.name], failed[model.name])  # from 0 on, as the errors
        yield from (info, load, since, failures)
