"""Photo files: a folder in, the photos in it out; a path in, the upright picture out.

Called by `dsapi.evaluation` and `dsapi.training`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from dsapi.errors import RequestError, StartupError, tell_cause
from dsapi.prediction.picture import Limits, Picture, read_picture

#: How files are named that are evaluated and trained on.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"}
    | {".tif", ".tiff", ".avif", ".heic", ".heif"}
)

# As by default in serving: what is refused there is not learned from, and what is reduced there is
# seen as small.
_LIMITS = Limits()


class PhotosError(StartupError):
    """Labeled photos cannot be used; the message names the file or folder and what to do."""


@contextmanager
def naming_unreadable() -> Iterator[None]:
    """Say which folder or table it was that may not be read.

    Raises:
        PhotosError: instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise PhotosError(
            f"cannot read {error.filename}: {error.strerror}; let this user read it"
        ) from error


def list_folders(parent: Path) -> list[str]:
    """List the folders in a folder by name, without hidden ones."""
    return sorted(each.name for each in parent.iterdir() if each.is_dir() and _is_shown(each.name))


def list_photos(folder: Path) -> Iterable[Path]:
    """Find the photos in a folder and below in the order of their paths, without hidden ones."""
    return (path for path in _list_shown(folder) if path.suffix.lower() in SUFFIXES)


def count_skipped(parent: Path) -> int:
    """Count the files that are no photos by their names, in the folders of a folder and below.

    What is no folder, such as a table, has none.
    """
    if not parent.is_dir():
        return 0
    return sum(
        path.suffix.lower() not in SUFFIXES and path.is_file()
        for name in list_folders(parent)
        for path in _list_shown(parent / name)
    )


def _list_shown(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    # Not rglob, which leaves out the folders that may not be read.
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = filter(_is_shown, folders)
        found += (Path(parent, name) for name in filter(_is_shown, files))
    return sorted(found)


def is_file(path: Path) -> bool:
    """Tell whether there is a file; no system has one whose name it cannot write."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def open_photo(path: Path) -> Picture:
    """Decode a photo as the server does by default.

    Raises:
        PhotosError: it cannot be read, or not within the limits of a server.
    """
    try:
        return read_picture(path.read_bytes(), _LIMITS)
    except (RequestError, OSError, ValueError) as error:
        raise PhotosError(
            f"{path} cannot be read ({tell_cause(error)}); remove or replace it"
        ) from error


def read_upright(path: Path) -> Image.Image:
    """Read a photo as a person sees it: upright, RGB, in sRGB, transparency on white.

    Raises:
        PhotosError: it cannot be read.
    """
    picture = open_photo(path)
    return picture.cut((0, 0, *picture.reduced_size)).convert("RGB")


def _is_shown(name: str) -> bool:
    return not name.startswith(".")
