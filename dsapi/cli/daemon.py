"""``dsapi start``, ``stop``, ``restart``, ``reload``, ``status``, ``top``: the daemon."""

import json
import time
from contextlib import suppress
from typing import Annotated, Any

import typer

from dsapi.cli.live import ask, build_table, read_numbers
from dsapi.cli.options import (
    Config,
    Host,
    ImageRoot,
    LogLevel,
    Port,
    Workers,
    find_service,
    load_with_options,
)
from dsapi.errors import StartupError
from dsapi.operation.downloads import fetch_graphs
from dsapi.process.pidfile import running_pid
from dsapi.settings import Settings

# The init scripts' convention (LSB): a status of 3 says that the program is not running.
_NOT_RUNNING = 3
# Graphs are read, loaded, warmed up and checked while others are served.
_RELOAD_S = 600.0


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (start, stop, restart, reload, status, top):
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
    settings = load_with_options(
        config, host=host, port=port, image_root=image_root, workers=workers, log_level=log_level
    )
    # Here, not only in the daemon: whoever waits sees how far it is.
    fetch_graphs(settings.models)
    _start(settings)


def stop(config: Config = None) -> None:
    """Stop the daemon; return when it is gone. Requests in flight are finished."""
    _stop(find_service(config, host=None, port=None))


def restart(
    config: Config = None,
    host: Host = None,
    port: Port = None,
    image_root: ImageRoot = None,
    workers: Workers = None,
    log_level: LogLevel = None,
) -> None:
    """Stop the daemon if it runs, and start it again, with the options that are given now.

    First graphs, labels and settings are checked as `dsapi check` does; if anything is wrong with
    them, nothing changes, and the exit code is 2.
    """
    from dsapi.process.checks import check_restart

    settings = load_with_options(
        config, host=host, port=port, image_root=image_root, workers=workers, log_level=log_level
    )
    try:
        fetch_graphs(settings.models)
        if running_pid(settings.pid_file) is not None:
            check_restart(settings)
    except StartupError as error:
        raise StartupError(f"nothing has changed: {error}") from error
    _stop(settings)
    _start(settings)


def reload(config: Config = None, host: Host = None, port: Port = None) -> None:
    """Load graphs and settings anew in the running daemon, without losing a request.

    The old ones serve until the new ones run and know their golden samples; if anything is wrong
    with them, nothing changes, the reason is shown, and the exit code is 1.
    """
    settings = find_service(config, host=host, port=port)
    pid = _find_daemon(settings)
    status, body = ask(settings, "POST", "/v1/models/reload", timeout_s=_RELOAD_S)
    answer: dict[str, Any] = json.loads(body)
    if status != 200:
        # Who may signal the daemon may reload it, whatever its rules of access say.
        instead = f"; instead: kill -HUP {pid}" if status in (401, 403) else ""
        typer.echo(f"dsapi: reload failed: {answer.get('detail', answer)}{instead}", err=True)
        raise typer.Exit(1)
    for name, change in answer["models"].items():
        typer.echo(f"{name}: {change['before'] or 'none'} → {change['after'] or 'none'}")
    if answer["settings"]:
        typer.echo(f"changed: {', '.join(answer['settings'])}")
    if answer["needs_restart"]:
        typer.echo(f"only after a restart: {', '.join(answer['needs_restart'])}")


def status(config: Config = None, host: Host = None, port: Port = None) -> None:
    """Say whether the daemon runs and is ready; exit code 3 if it does not run."""
    from rich.console import Console

    settings = find_service(config, host=host, port=port)
    pid = _find_daemon(settings)
    ready = "ready" if _is_ready(settings) else "not ready"
    typer.echo(f"dsapi runs: PID {pid}, port {settings.port}, {ready}")
    Console(soft_wrap=True).print(build_table(read_numbers(settings)))


def top(
    config: Config = None,
    host: Host = None,
    port: Port = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int, typer.Option(min=0, help="How many looks; 0: until Ctrl-C.")] = 0,
) -> None:
    """Watch the running service: rates and times since the last look, until Ctrl-C.

    It need not be a daemon: any service on this machine with this host and port is watched.
    """
    from rich.console import Console
    from rich.live import Live

    settings = find_service(config, host=host, port=port)
    before, before_s = read_numbers(settings), time.monotonic()
    looks = 0
    with Live(console=Console(), auto_refresh=False) as view, suppress(KeyboardInterrupt):
        view.update(build_table(before), refresh=True)
        while not count or looks < count:
            time.sleep(interval)
            now, now_s = read_numbers(settings), time.monotonic()
            view.update(build_table(now, before, period_s=now_s - before_s), refresh=True)
            before, before_s = now, now_s
            looks += 1


def _start(settings: Settings) -> None:
    from dsapi.process import daemon

    typer.echo(f"dsapi answers on {daemon.start(settings)}")


def _stop(settings: Settings) -> None:
    from dsapi.process import daemon

    if daemon.stop(settings):
        typer.echo("dsapi has stopped")
    else:
        typer.echo(f"dsapi was not running: no process holds {settings.pid_file}")


def _find_daemon(settings: Settings) -> int:
    """Find the daemon's PID, or leave."""
    pid = running_pid(settings.pid_file)
    if pid is None:
        typer.echo(f"dsapi is not running: no process holds {settings.pid_file}")
        if _is_ready(settings):
            typer.echo(
                f"(What answers on port {settings.port} is no daemon of this file, a `dsapi serve` "
                "perhaps: watch it with dsapi top, reload it with SIGHUP.)"
            )
        raise typer.Exit(_NOT_RUNNING)
    return pid


def _is_ready(settings: Settings) -> bool:
    try:
        return ask(settings, "GET", "/health/ready", timeout_s=5)[0] == 200
    except StartupError:
        return False
