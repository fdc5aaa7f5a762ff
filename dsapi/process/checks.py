"""What a start would refuse, found without one. For ``dsapi check`` and ``dsapi restart``."""

import errno
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from dsapi.errors import StartupError
from dsapi.operation.files import check_writable
from dsapi.operation.logs import check_log_files
from dsapi.prediction.golden import check_golden
from dsapi.prediction.model import Model
from dsapi.process.pidfile import another_users, cannot_write, read_address, running_pid
from dsapi.process.ports import check_port
from dsapi.process.service import load_models
from dsapi.settings import Settings


def check_start(settings: Settings) -> list[Model]:
    """See that a daemon could write its files; load every model, run it, ask its golden samples.

    Returns:
        The models.

    Raises:
        StartupError: a start would be refused.
    """
    check_log_files(settings)
    try:
        check_writable(settings.pid_file, through_link=False)
    except OSError as error:
        raise cannot_write(settings.pid_file, error) from error
    models = list(load_models(settings).values())
    for model in models:
        opened = model.open()
        with closing(opened.session):
            check_golden(opened, settings.limits)
    return models


def check_restart(settings: Settings) -> None:
    """Check as `check_start` does, and who runs the service that is to be replaced, and where.

    Models are loaded in a process of their own: this one is to fork a daemon, and TensorFlow, once
    imported, does not survive that.

    Raises:
        StartupError: a start would be refused.
    """
    _check_owner(settings)
    _check_address(settings)
    forking = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=forking, initializer=_silence) as pool:
        try:
            pool.submit(_check_only, settings).result()
        except BrokenProcessPool as error:
            raise StartupError("loading the models ended the process; try: dsapi check") from error


def _silence() -> None:
    """Drop what TensorFlow says by itself while it loads; at a start it goes to the log."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _check_only(settings: Settings) -> None:
    """Keep the models in the child: they cannot be sent through a pipe."""
    check_start(settings)


def _check_owner(settings: Settings) -> None:
    """See that the service can be stopped: else whose files cannot be written would be told."""
    pid = running_pid(settings.pid_file)
    if pid is None:
        return
    try:
        os.kill(pid, 0)
    except PermissionError as error:
        raise another_users(pid, command="restart") from error
    except ProcessLookupError:
        return  # it has been killed, and a start finds out what it has left


def _check_address(settings: Settings) -> None:
    """See that the address can be listened on, by others than the service that does so now."""
    address = read_address(settings.pid_file)
    try:
        check_port(settings.host, settings.port)
    except StartupError as error:
        cause = error.__cause__
        in_use = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
        if not in_use or (address is not None and address[1] != settings.port):
            raise
