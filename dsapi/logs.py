"""Logs: where each kind of line goes. Called once, when a process knows its settings."""

import logging.config
from pathlib import Path
from typing import Any

# Logger name → file of the daemon. Everything else goes to `SERVICE_LOG`.
_OWN_FILES = {"dsapi.access": "access.log", "dsapi.predictions": "predictions.log"}
SERVICE_LOG = "dsapi.log"


def configure_logs(level: str, *, folder: Path | None = None) -> None:
    """Send log lines to standard error, or to files.

    Args:
        level: least severe level to log.
        folder: where the daemon's ``dsapi.log``, ``access.log`` and ``predictions.log`` go;
            ``None``: standard error. The files may be moved away at any time (logrotate).

    Raises:
        OSError: a file cannot be written.
    """
    handlers: dict[str, Any] = {"service": _handler(folder, SERVICE_LOG)}
    loggers: dict[str, Any] = {
        # CherryPy's own access log; `dsapi.access` is the one that knows request ids.
        "cherrypy.access": {"level": "CRITICAL", "propagate": False},
    }
    for name, file in _OWN_FILES.items() if folder else ():
        handlers[name] = _handler(folder, file)
        loggers[name] = {"handlers": [name], "propagate": False}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "format": "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s",
                    "datefmt": "%Y-%m-%dT%H:%M:%S",
                }
            },
            "handlers": handlers,
            "loggers": loggers,
            "root": {"level": level, "handlers": ["service"]},
        }
    )


def _handler(folder: Path | None, file: str) -> dict[str, Any]:
    if folder is None:
        return {"class": "logging.StreamHandler", "formatter": "line"}
    return {
        # Reopens a file that logrotate has moved away.
        "class": "logging.handlers.WatchedFileHandler",
        "filename": str(folder / file),
        "formatter": "line",
        "encoding": "utf-8",
    }
