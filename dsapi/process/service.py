"""The service: what predicts, what listens and what reloads, put together from settings.

Called by `dsapi.process.server`, which starts and stops the parts, and by the command line.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dsapi.errors import StartupError
from dsapi.operation.downloads import fetch_graphs
from dsapi.operation.logs import count_lost_lines
from dsapi.operation.metrics import Metrics
from dsapi.operation.reload import Reloader, ReloadReport
from dsapi.operation.siblings import Render
from dsapi.prediction.model import Model, load_model
from dsapi.prediction.spec import ModelSpec
from dsapi.settings import Settings
from dsapi.settings.config_file import default_config
from dsapi.web.access import Access
from dsapi.web.application import build_application
from dsapi.web.http_server import HTTPServer
from dsapi.web.journal import Journal
from dsapi.web.predictions import InForce
from dsapi.workers.pool import PredictionWorkers

_LOGGER = logging.getLogger(__name__)
# Part of a stop's time that is for hanging up on callers who are not done.
_HANG_UP_S = 1.0


def load_models(settings: Settings) -> dict[str, Model]:
    """Load every configured model, downloaded if need be, and log how long each took.

    Raises:
        StartupError: there is none, or some cannot be loaded; of these, all are named.
    """
    if not settings.models:
        raise StartupError("no model is configured; add a section [models.NAME] to dsapi.conf")
    fetch_graphs(settings.models)
    models: dict[str, Model] = {}
    # In words: an error would know this frame, and the frame it, and so keep the models.
    problems: list[str] = []
    for name, spec in settings.models.items():
        try:
            models[name] = _load(name, spec, settings)
        except StartupError as error:
            problems.append(str(error))
    if problems:
        raise StartupError("\n".join(problems))
    return models


def _load(name: str, spec: ModelSpec, settings: Settings) -> Model:
    model = load_model(name, spec, engine=settings.engine, options=settings.engine_options)
    _LOGGER.info(
        "loaded %s %s from %s: %d labels, input %d×%d, load_ms=%.0f",
        name,
        model.version,
        spec.graph,
        len(model.labels),
        *model.size,
        model.load_ms,
    )
    return model


def explain_missing_roots(settings: Settings) -> list[str]:
    """Tell which image_roots are no folders; a volume may be mounted later than the start."""
    return [
        f"image_roots: {root} is no folder; its pictures get 404 until it is there"
        for root in settings.image_roots
        if not os.path.isdir(root)
    ]


@dataclass(frozen=True)
class Service:
    """The parts of a service, not yet started.

    Attributes:
        workers: what predicts.
        http_server: what listens and answers.
        reloader: what replaces models and settings while both run.
    """

    workers: PredictionWorkers
    http_server: HTTPServer
    reloader: Reloader


def build_service(
    settings: Settings,
    *,
    on_reload: Callable[[bool], None] = lambda _: None,
    share: Callable[[Render], Render] = lambda render: render,
) -> Service:
    """Put the parts of a service together; nothing is loaded, and nothing listens.

    Args:
        settings: everything.
        on_reload: called with False when a reload takes over, and then with True if a caller asked
            for it.
        share: takes what writes this process's metrics, gives what is answered for ``/metrics``.
    """
    _warn_of_roots(settings)
    workers = PredictionWorkers(
        settings.limits,
        count=settings.worker_count,
        queue_size=settings.queue_size,
        stall_timeout_s=settings.worker_stall_timeout,
    )
    in_force = InForce(settings)
    access = Access(settings)

    def reload() -> ReloadReport:
        report = reloader.reload()
        on_reload(True)
        return report

    prepare = partial(_prepare, in_force=in_force, access=access, on_reload=on_reload)
    reloader = Reloader(settings, workers, load=load_models, prepare=prepare)
    # The metrics ask for the server when they are read, and it is told of them when it is made.
    metrics = Metrics(workers, reloader, gauges=_gauges(lambda: http_server))
    journal = Journal(metrics)
    application = build_application(
        workers,
        in_force=in_force,
        # Beside the shipped configuration, in the checkout as in the installed package.
        static_dir=default_config().parent / "static",
        reload=reload,
        journal=journal,
        access=access,
        render_metrics=share(metrics.render),
    )
    http_server = _build_http_server(
        settings, application, workers=workers, in_force=in_force, access=access, journal=journal
    )
    return Service(workers, http_server, reloader)


def _prepare(
    changed: Settings, *, in_force: InForce, access: Access, on_reload: Callable[[bool], None]
) -> Callable[[], None]:
    """Make what changed settings need; what is returned puts them into force."""
    take_rules = access.prepare(changed)

    def take() -> None:
        in_force.settings = changed
        take_rules()
        _warn_of_roots(changed)
        logging.getLogger().setLevel(changed.log_level)
        on_reload(False)

    return take


def _build_http_server(
    settings: Settings,
    application: Callable[..., Any],
    *,
    workers: PredictionWorkers,
    in_force: InForce,
    access: Access,
    journal: Journal,
) -> HTTPServer:
    return HTTPServer(
        (settings.host, settings.port),
        application,
        # Each request that waits for a worker, or is predicted, keeps a thread waiting. With
        # fewer threads the queue would never be full, and nothing would be refused.
        threads=settings.http_threads + settings.queue_size + workers.count,
        timeout_s=settings.socket_timeout,
        shutdown_timeout_s=_share_of_stop(settings.shutdown_timeout),
        max_connections=settings.max_connections,
        request_timeout_s=lambda: in_force.settings.request_timeout,
        refusal=lambda in_flight: workers.refusal(
            in_force.settings.request_timeout, in_flight=in_flight
        ),
        origin_headers=access.origin_headers,
        journal=journal,
        reuse_port=settings.processes > 1,
    )


def _warn_of_roots(settings: Settings) -> None:
    for problem in explain_missing_roots(settings):
        _LOGGER.warning("%s", problem)


def _gauges(http_server: Callable[[], HTTPServer]) -> dict[str, tuple[str, Callable[[], float]]]:
    """Describe what can be read at any moment: by name, what it is and how it is read."""
    return {
        "dsapi_log_lines_lost": ("Log lines that could not be written", count_lost_lines),
        "dsapi_connections_waiting": (
            "Connections that wait for a request",
            lambda: http_server().waiting_connections,
        ),
        "dsapi_http_threads_busy": (
            "Request threads that serve a connection",
            lambda: http_server().busy_threads,
        ),
    }


def _share_of_stop(shutdown_timeout_s: float) -> float:
    """Tell how much of a stop's time is for requests in flight; the rest is for hanging up."""
    return max(shutdown_timeout_s / 2, shutdown_timeout_s - _HANG_UP_S)
