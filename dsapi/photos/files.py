"""Photo files: a folder in, the photos in it out; a path in, the upright picture out.

Called by `dsapi.evaluation` and `dsapi.training`.
"""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from dsapi.errors import RequestError, StartupError
from dsapi.prediction.picture import Limits, Picture, read_picture

#: How files are named that are evaluated and trained on.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"}
    | {".tif", ".tiff", ".avif", ".heic", ".heif"}
)

# As by default in serving: what is refused there is not learned from, and what is reduced there is
# seen as small.
_LIMITS = Limits(max_pixels=50_000_000, working_side=2048)


class PhotosError(StartupError):
    """Labeled photos cannot be used; the message names the file or folder and what to do."""


def list_folders(parent: Path) -> list[str]:
    """List the folders in a folder by name, without hidden ones."""
    return sorted(each.name for each in parent.iterdir() if each.is_dir() and each.name[0] != ".")


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


def _list_shown(folder: Path) -> Iterable[Path]:
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).parts
        if not any(part.startswith(".") for part in inner):
            yield path


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
        raise PhotosError(f"{path} cannot be read ({error}); remove or replace it") from error


def read_upright(path: Path) -> Image.Image:
    """Read a photo as a person sees it: upright, RGB, in sRGB, transparency on white.

    Raises:
        PhotosError: it cannot be read.
    """
    picture = open_photo(path)
    return picture.cut((0, 0, *picture.reduced_size)).convert("RGB")
