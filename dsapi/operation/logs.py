"""Logs: where each kind of line goes, and in what form. Set up once, when a process starts.

A record's message may be an object with `fields`, such as `dsapi.web.journal.RequestRecord`: as
text it is what `str` makes of it, as JSON its fields.
"""

import logging.config
import logging.handlers
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from dsapi.errors import StartupError
from dsapi.operation.files import check_writable
from dsapi.settings import Settings

# Logger name → file of the daemon. Everything else goes to `SERVICE_LOG`.
_OWN_FILES = {"dsapi.access": "access.log", "dsapi.predictions": "predictions.log"}
SERVICE_LOG = "dsapi.log"


def configure_logs(settings: Settings, *, to_files: bool = False) -> None:
    """Send log lines to standard error, or to files.

    Args:
        settings: level, form, folder and rotation.
        to_files: a daemon's ``dsapi.log``, ``access.log`` and ``predictions.log``, which may be
            moved away at any time (logrotate).

    Raises:
        StartupError: a file cannot be written.
    """
    # Gather nothing for a line that is not written into it (Logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    folder = settings.log_dir if to_files else None
    handlers = {"service": _describe_handler(settings, folder, SERVICE_LOG)}
    loggers: dict[str, Any] = {}
    for name, file in _OWN_FILES.items() if folder else ():
        handlers[name] = _describe_handler(settings, folder, file)
        loggers[name] = {"handlers": [name], "propagate": False}
    described = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {
                "format": "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s",
                "datefmt": "%Y-%m-%dT%H:%M:%S",
            },
            "json": {"()": _JsonLines},
        },
        "handlers": handlers,
        "loggers": loggers,
        "root": {"level": settings.log_level, "handlers": ["service"]},
    }
    try:
        if folder is not None:
            check_log_files(settings)
            folder.mkdir(parents=True, exist_ok=True)
        logging.config.dictConfig(described)
    except OSError as error:
        raise _cannot_write(error) from error
    except ValueError as error:  # with the handler's own error as its cause
        if isinstance(error.__cause__, OSError):
            raise _cannot_write(error.__cause__) from error
        raise


def check_log_files(settings: Settings) -> None:
    """See that a daemon could write its log files, and make none.

    Raises:
        StartupError: this user could not, or several processes would rotate one file.
    """
    if settings.processes > 1 and settings.log_max_bytes:
        raise StartupError(
            f"log_max_bytes = {settings.log_max_bytes} with processes = {settings.processes}: only "
            "one process can rotate a file; set log_max_bytes = 0 and use logrotate"
        )
    for file in (SERVICE_LOG, *_OWN_FILES.values()):
        try:
            check_writable(settings.log_dir / file)
        except OSError as error:
            raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> StartupError:
    return StartupError(
        f"cannot write the log {error.filename}: {error.strerror}; "
        "change log_dir or its permissions"
    )


def _describe_handler(settings: Settings, folder: Path | None, file: str) -> dict[str, Any]:
    described: dict[str, Any] = {"formatter": settings.log_format}
    if folder is None:
        return described | {"()": StandardError}
    described |= {"filename": str(folder / file), "encoding": "utf-8"}
    if settings.log_max_bytes:
        return described | {
            "()": SizedFile,
            "maxBytes": settings.log_max_bytes,
            "backupCount": settings.log_backups,
        }
    return described | {"()": WatchedFile}


class _Lenient(logging.Handler):
    """A handler on a disk that may be full: it loses lines and counts them, and nothing else.

    Python's own prints a traceback to standard error for every line that is lost, which in a
    daemon ends on the same disk.
    """

    lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        """Count a line that could not be written."""
        self.lost += 1


class StandardError(_Lenient, logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error."""


class WatchedFile(_Lenient, logging.handlers.WatchedFileHandler):
    """Writes to a file, and to a new one when logrotate has moved it away."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or lose it, also where no new file can be made."""
        try:
            super().emit(record)
        except OSError:  # Python's own opens the file before it begins to catch
            self.handleError(record)


class SizedFile(_Lenient, logging.handlers.RotatingFileHandler):
    """Writes to a file, and begins a new one when it has grown too large."""


class _JsonLines(JsonFormatter):
    """One JSON object a line: time, level, logger, then the message or the fields of its object."""

    def __init__(self) -> None:
        super().__init__(timestamp="time", reserved_attrs=[*RESERVED_ATTRS, "taskName"])

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Gather a line's fields."""
        super().add_fields(log_data, record, message_dict)
        log_data |= {"level": record.levelname, "logger": record.name}
        fields: Callable[[], dict[str, object]] | None = getattr(record.msg, "fields", None)
        if fields is None:
            log_data["message"] = record.getMessage()
        else:
            del log_data["message"]
            log_data |= fields()


def count_lost_lines() -> int:
    """Count the lines that no handler could write, since the start."""
    loggers = [logging.getLogger(name) for name in ("", *_OWN_FILES)]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    return sum(handler.lost for handler in handlers if isinstance(handler, _Lenient))
