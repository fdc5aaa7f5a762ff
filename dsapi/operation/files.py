"""Files that a daemon writes: whether it could, found out before it is started."""

import errno
import os
from pathlib import Path


def check_writable(file: Path, *, through_link: bool = True) -> None:
    """See that this user could write a file, and do not make it: another may be to own it.

    Args:
        file: the file.
        through_link: whether it may be a link to one.

    Raises:
        OSError: it cannot be written, or it and its folders cannot be made.
    """
    flags = 0 if through_link else os.O_NOFOLLOW
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags))
    except FileNotFoundError:
        # Folders are made where there are none, but none that a link leads to.
        if file.is_symlink():
            folder = file.resolve().parent
        else:
            folder = next(each for each in file.parents if each.exists() or each.is_symlink())
        if not folder.exists():
            raise
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file)) from None
