"""Server paths: a path below the image roots in, the bytes of that file out."""

import stat
from collections.abc import Sequence
from pathlib import Path

from dsapi.errors import BadParameter, PathForbidden, PathNotFound, TooLarge


def read_image_file(path: str, *, roots: Sequence[Path], max_bytes: int) -> bytes:
    """Read a picture by a path below one of the roots.

    Args:
        path: relative to a root, or absolute inside one.
        roots: folders that callers may read; none: server paths are off.
        max_bytes: largest file that is read.

    Raises:
        BadParameter: empty, or not a path at all.
        PathForbidden: server paths are off, or the path leads out of the roots.
        PathNotFound: nothing there, or not a regular file.
        TooLarge: the file is over `max_bytes`.
    """
    if not roots:
        raise PathForbidden("server paths are off: no image_roots are configured")
    if not path or "\0" in path:
        raise BadParameter(f"path must name a file below the image roots, got {path!r}")
    inside = [
        resolved
        for root in roots
        if (resolved := _resolve(root, path)) is not None and resolved.is_relative_to(root)
    ]
    if not inside:
        raise PathForbidden(f"path must stay below the image roots, got {path!r}")
    for candidate in inside:
        if (data := _read_regular(candidate, path, max_bytes)) is not None:
            return data
    raise PathNotFound(f"no such picture below the image roots: {path!r}")


def _resolve(root: Path, path: str) -> Path | None:
    """Follow links and dots; ``None`` where that never ends."""
    try:
        return (root / path).resolve()
    except (OSError, RuntimeError):
        return None


def _read_regular(file: Path, asked: str, max_bytes: int) -> bytes | None:
    """Read a regular file, ``None`` if it is none or cannot be opened."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError:
        return None
    if len(data) > max_bytes:
        raise TooLarge(f"{asked!r} is over max_bytes = {max_bytes} bytes")
    return data
