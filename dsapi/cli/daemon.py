"""``dsapi start``, ``stop``, ``restart``, ``status``: the service as a daemon."""

import urllib.error
import urllib.request

import typer

from dsapi.cli.options import Config, Host, ImageRoot, LogLevel, Port, Workers
from dsapi.pidfile import running_pid
from dsapi.registry import fetch_graphs
from dsapi.settings import Settings, load_settings

# The init scripts' convention (LSB): a status of 3 says that the program is not running.
_NOT_RUNNING = 3


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (start, stop, restart, status):
        app.command()(command)


def start(
    config: Config = None,
    host: Host = None,
    port: Port = None,
    image_root: ImageRoot = None,
    workers: Workers = None,
    log_level: LogLevel = None,
) -> None:
    """Start a daemon; return when it answers.

    Its PID file and logs are where pid_file and log_dir say.
    """
    _start(
        load_settings(
            config,
            host=host,
            port=port,
            image_roots=image_root or None,
            prediction_workers=workers,
            log_level=log_level,
        )
    )


def stop(config: Config = None) -> None:
    """Stop the daemon; return when it is gone. Requests in flight are finished."""
    _stop(load_settings(config))


def restart(config: Config = None) -> None:
    """Stop the daemon if it runs, and start it again."""
    settings = load_settings(config)
    _stop(settings)
    _start(settings)


def status(config: Config = None) -> None:
    """Say whether the daemon runs and is ready; exit code 3 if it does not run."""
    settings = load_settings(config)
    pid = running_pid(settings.pid_file)
    if pid is None:
        typer.echo("dsapi is not running")
        raise typer.Exit(_NOT_RUNNING)
    ready = "ready" if _is_ready(settings) else "not ready"
    typer.echo(f"dsapi runs: PID {pid}, port {settings.port}, {ready}")


def _start(settings: Settings) -> None:
    from dsapi import daemon

    # Here, not only in the daemon: whoever waits sees how far it is.
    fetch_graphs(settings.models)
    typer.echo(f"dsapi answers on {daemon.start(settings)}")


def _stop(settings: Settings) -> None:
    from dsapi import daemon

    typer.echo("dsapi has stopped" if daemon.stop(settings) else "dsapi was not running")


def _is_ready(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    try:
        with urllib.request.urlopen(
            f"http://{host}:{settings.port}/health/ready", timeout=5
        ) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
