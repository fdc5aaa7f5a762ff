"""Reload: new graphs and settings in a running service, or the old ones if anything is wrong.

What was configured is read again and loaded beside what is in force; only when every model runs
and knows its golden samples does it take over, between one request and the next. Called by
`dsapi.process.server` on SIGHUP, and by ``POST /v1/models/reload``.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dsapi.errors import ReloadFailed, StartupError
from dsapi.prediction.model import Model
from dsapi.settings import Settings
from dsapi.workers.pool import PredictionWorkers

_LOGGER = logging.getLogger(__name__)
# What sockets, threads and files were made of when the process started.
NEEDS_RESTART = (
    "host",
    "port",
    "socket_timeout",
    "shutdown_timeout",
    "http_threads",
    "max_connections",
    "processes",
    "prediction_workers",
    "worker_stall_timeout",
    "queue_size",
    "log_dir",
    "log_format",
    "log_max_bytes",
    "log_backups",
    "pid_file",
)


@dataclass(frozen=True)
class ModelChange:
    """A model's version before and after; ``None``: it was or is not configured."""

    before: str | None
    after: str | None


@dataclass(frozen=True)
class ReloadReport:
    """What a reload has done.

    Attributes:
        models: what became of each model.
        settings: names of the other settings that have changed.
        needs_restart: names of those that differ from the file until a restart.
        took_ms: milliseconds, all in all.
    """

    models: Mapping[str, ModelChange]
    settings: tuple[str, ...]
    needs_restart: tuple[str, ...]
    took_ms: float


def reread(settings: Settings) -> tuple[Settings, tuple[str, ...], tuple[str, ...]]:
    """Read what was configured again, for a process that runs.

    Args:
        settings: those in force.

    Returns:
        The settings to put into force, names of those that differ, and names of those that differ
        in vain: until a restart they stay as they are.

    Raises:
        StartupError: as `dsapi.settings.load_settings`.
    """
    asked = settings.reread()
    if asked.port == 0:  # any will do: the one that there is, too
        asked = asked.model_copy(update={"port": settings.port})
    before, after = _values(settings), _values(asked)
    different = {name for name in after if after[name] != before[name]}
    needs_restart = tuple(name for name in NEEDS_RESTART if name in different)
    kept = {name: before[name] for name in needs_restart}
    changed = tuple(sorted(different - set(needs_restart)))
    return asked.model_copy(update=kept), changed, needs_restart


def _values(settings: Settings) -> dict[str, object]:
    """Give each setting's value; prediction_workers as how many there are, if others decide."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return values | {"prediction_workers": settings.worker_count}


class Reloader:
    """Replaces the models and settings of a running service.

    Args:
        settings: those in force.
        workers: what predicts with the models.
        load: loads the models of settings.
        prepare: makes what the other settings need; what it returns puts them into force, and
            cannot fail.
        patience_s: how long `reload` waits for another reload to end.

    Attributes:
        succeeded: number of reloads that took over.
        failed: number of reloads that changed nothing.
    """

    def __init__(
        self,
        settings: Settings,
        workers: PredictionWorkers,
        *,
        load: Callable[[Settings], Mapping[str, Model]],
        prepare: Callable[[Settings], Callable[[], None]],
        patience_s: float = 60.0,
    ) -> None:
        self.succeeded = 0
        self.failed = 0
        self._settings = settings
        self._workers = workers
        self._load = load
        self._prepare = prepare
        self._patience_s = patience_s
        self._one_at_a_time = threading.Lock()
        # Held by a reload in the background that has yet to begin.
        self._waiting = threading.Lock()
        self._permitted = threading.Event()

    def permit(self) -> None:
        """Let reloads begin: the models of the start are in service.

        One that was asked for by a signal before waits until then; what it had put into service
        would be replaced by what the start had read before.
        """
        self._permitted.set()

    def reload(self) -> ReloadReport:
        """Read, load, warm up, check and change over; a second caller waits for the first.

        Raises:
            ReloadFailed: something is wrong with the new ones, or the reload before does not end;
                the old ones are still in force.
        """
        # It may hang in a graph: callers who ask again must not fill the request threads.
        if not self._one_at_a_time.acquire(timeout=self._patience_s):
            self._fail(reason := f"another reload has not ended within {self._patience_s:g} s")
            raise ReloadFailed(f"nothing has changed: {reason}; if it never does, restart")
        try:
            return self._reload_or_fail()
        finally:
            self._one_at_a_time.release()

    def reload_in_background(self) -> None:
        """Reload in a thread of its own; the log tells how it went (for signal handlers).

        One that has yet to begin will read what there is then: it does for all who ask meanwhile.
        """
        if self._waiting.acquire(blocking=False):
            try:
                threading.Thread(target=self._reload_quietly, name="reload", daemon=True).start()
            except RuntimeError as error:  # raised to a signal handler, it would end the process
                self._waiting.release()
                self._fail(str(error))

    def _reload_quietly(self) -> None:
        self._permitted.wait()
        with self._one_at_a_time:
            self._waiting.release()
            try:
                self._reload_or_fail()
            except ReloadFailed:
                _LOGGER.debug("the failed reload is logged above")

    def _reload_or_fail(self) -> ReloadReport:
        try:
            report = self._reload()
        except StartupError as error:
            self._fail(str(error))
            raise ReloadFailed(f"nothing has changed: {error}") from error
        except Exception as error:  # a reload must never harm what runs
            _LOGGER.exception("the reload failed unexpectedly")
            self._fail(str(error))
            raise ReloadFailed("nothing has changed: see the log for the reason") from error
        self.succeeded += 1
        _LOGGER.info("reloaded in %.0f ms: %s", report.took_ms, _summary(report))
        return report

    def _reload(self) -> ReloadReport:
        started_s = time.perf_counter()
        settings, changed, needs_restart = reread(self._settings)
        before = self._workers.models
        apply = self._prepare(settings)
        after = self._load(settings)
        self._workers.replace(after, settings.limits)
        apply()
        self._settings = settings
        return ReloadReport(
            models={
                name: ModelChange(_version(before, name), _version(after, name))
                for name in {**before, **after}
            },
            settings=tuple(name for name in changed if name != "models"),
            needs_restart=needs_restart,
            took_ms=(time.perf_counter() - started_s) * 1000,
        )

    def _fail(self, reason: str) -> None:
        self.failed += 1
        _LOGGER.error("reload failed, nothing has changed: %s", reason)


def _version(models: Mapping[str, Model], name: str) -> str | None:
    return models[name].version if name in models else None


def _summary(report: ReloadReport) -> str:
    parts = [f"{name} {change.before} → {change.after}" for name, change in report.models.items()]
    if report.settings:
        parts.append(f"settings {', '.join(report.settings)}")
    if report.needs_restart:
        parts.append(f"only after a restart {', '.join(report.needs_restart)}")
    return "; ".join(parts)
