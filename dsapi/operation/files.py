"""Files that a daemon writes: whether it could, found out before it is started."""

import errno
import os
from pathlib import Path


def check_writable(file: Path) -> None:
    """See that this user could write a file, and do not make it: another may be to own it.

    Raises:
        OSError: it cannot be written, or it and its folders cannot be made.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
    except FileNotFoundError:
        folder = next(parent for parent in file.parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file)) from None
