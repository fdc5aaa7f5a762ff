"""Folders that a command writes into: whether it can is seen before its work, not after."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from dsapi.errors import StartupError


def require_folder(folder: Path, *, option: str) -> None:
    """Make a folder if it is missing, and see that a file can be written into it.

    Raises:
        StartupError: it cannot; the message names the option.
    """
    with naming_folder(folder, option=option):
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()


@contextmanager
def naming_folder(folder: Path, *, option: str) -> Iterator[None]:
    """Say which option's folder it was that could not be written.

    Raises:
        StartupError: instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StartupError(
            f"{option} {folder}: cannot write there ({error.strerror}); name another folder"
        ) from error
