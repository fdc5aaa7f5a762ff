"""Server paths: a path below the image roots in, the bytes of that file out.

Links are followed once, when the path is resolved. What is then opened is exactly the resolved
path, one folder after the other and never through a link: what is swapped in between is not
followed. Called by `dsapi.web`.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from dsapi.errors import BadParameter, PathForbidden, PathNotFound, TooLarge, quote

# Linux: O_PATH needs no permission to list a folder, as no path does.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: a FIFO put in place of a file must not hold a thread until someone writes to it.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_PIECE_BYTES = 1 << 20
# What the path is to blame for, not the system.
_NO_PICTURE = frozenset(
    {
        errno.EACCES,
        errno.EAGAIN,  # another program keeps it for itself (a lease, fcntl(2))
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENXIO,
        errno.EPERM,
    }
)
# Linux: PATH_MAX. Longer ones name no file.
_MAX_PATH_BYTES = 4096


def read_image_file(path: str, *, roots: Sequence[Path], max_bytes: int) -> bytes:
    """Read a picture by a path below one of the roots.

    Args:
        path: relative to a root, or absolute inside one.
        roots: folders that callers may read, resolved; none: server paths are off.
        max_bytes: largest file that is read.

    Raises:
        BadParameter: empty, or not a path at all.
        PathForbidden: server paths are off, or the path leads out of the roots.
        PathNotFound: nothing there, or not a regular file.
        TooLarge: the file is over `max_bytes`.
        OSError: the system lacks something, or the disk fails.
    """
    if not roots:
        raise PathForbidden("server paths are off: no image_roots are configured")
    _check_text(path)
    resolved = [(root, _resolve(root, path)) for root in roots]
    for root, full in resolved:
        if full.is_relative_to(root):
            data = _read_below(root, full.relative_to(root), asked=path, max_bytes=max_bytes)
            if data is not None:
                return data
    # An absolute path is outside of all roots but one, which is no leaving of the roots.
    if all(any(map(full.is_relative_to, roots)) for _, full in resolved):
        raise _not_found(path)
    raise PathForbidden(f"path must stay below the image roots, got {_quote(path)}")


def _check_text(path: str) -> None:
    """Refuse what no file system takes as a path."""
    if not path or "\0" in path:
        raise BadParameter(f"path must name a file below the image roots, got {_quote(path)}")
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError as error:  # half of a UTF-16 pair, from JSON
        raise BadParameter(f"path must be text, got {_quote(path)}") from error
    if length > _MAX_PATH_BYTES:
        raise _not_found(path)


def _resolve(root: Path, path: str) -> Path:
    """Follow links and dots; where that never ends, to the root, which is no file."""
    try:
        return (root / path).resolve()
    except (OSError, RuntimeError):
        return root


def _read_below(root: Path, below: Path, *, asked: str, max_bytes: int) -> bytes | None:
    """Read a regular file, ``None`` if it is none or not to be opened.

    Raises:
        OSError: the system lacks something, such as free file descriptors, or the disk fails.
    """
    try:
        folder = os.open(root, _FOLDER)
        try:
            for name in below.parts[:-1]:
                deeper = os.open(name, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = deeper
            return _read_regular(folder, below.name, asked=asked, max_bytes=max_bytes)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in _NO_PICTURE:
            return None
        raise


def _read_regular(folder: int, name: str, *, asked: str, max_bytes: int) -> bytes | None:
    """Read a file of an open folder, if it is a regular one."""
    # Looked at before it is opened, as opening some devices does something, and after.
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return None
    file = os.open(name, _FILE, dir_fd=folder)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > max_bytes:
            raise _too_large(asked, status.st_size, max_bytes)
        return _read_all(file, asked=asked, max_bytes=max_bytes)
    finally:
        os.close(file)


def _read_all(file: int, *, asked: str, max_bytes: int) -> bytes:
    """Read to the end; the file may grow or shrink meanwhile."""
    pieces = []
    count = 0
    while piece := os.read(file, _PIECE_BYTES):
        pieces.append(piece)
        count += len(piece)
        if count > max_bytes:
            raise _too_large(asked, count, max_bytes)
    return b"".join(pieces)


def _too_large(path: str, size: int, max_bytes: int) -> TooLarge:
    return TooLarge(f"{_quote(path)} has {size} bytes, max_bytes is {max_bytes}")


def _not_found(path: str) -> PathNotFound:
    return PathNotFound(f"no such picture below the image roots: {_quote(path)}")


def _quote(path: str) -> str:
    return quote(path, most=120)
