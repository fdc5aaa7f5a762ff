"""The ``dsapi`` command: one module a group of commands; the work is done elsewhere.

What only some commands need is imported when they run (Rich, evaluation, training): `dsapi serve`
and `dsapi start` do without.
"""

import os
import sys

import typer

from dsapi import __version__
from dsapi.cli import daemon, evaluate, key, predict, serve, settings, train
from dsapi.errors import DsapiError, StartupError

app = typer.Typer(
    name="dsapi",
    help="Themes and colors of a picture at a point: server, daemon and command line.",
    epilog="Start with: dsapi check, then dsapi serve. Settings are in dsapi.conf.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for group in (serve, daemon, settings, predict, evaluate, train, key):
    group.add_commands(app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dsapi {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Show what applies to every command."""


def main() -> None:
    """Run the command; an expected error is one line and an exit code, not a traceback.

    Exit codes: 0 done; 1 a picture or point was refused, a reload failed, or a service ended as its
    workers hang; 2 wrong usage or configuration; 3 no service runs.
    """
    _open_standard_streams()
    try:
        _require_folder()
        app(prog_name="dsapi")
    except DsapiError as error:
        typer.echo(f"dsapi: {error}", err=True)
        sys.exit(2 if isinstance(error, StartupError) else 1)


def _require_folder() -> None:
    """See that the folder we are in is still there, as CherryPy takes for granted.

    Raises:
        StartupError: it has been removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise StartupError("this folder has been removed; change to another") from error


def _open_standard_streams() -> None:
    """Reopen whichever of standard input, output and error the caller has closed.

    Else a pipe, a log or a socket would get their numbers, which a daemon closes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
