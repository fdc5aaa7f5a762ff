"""Labeled photos: a folder per label, or a CSV file, in; paths with label and point out.

Called by ``dsapi evaluate``.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsapi.errors import StartupError

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .avif .heic .heif".split()  # noqa: SIM905
)
"""How files are named that are evaluated and trained on."""


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and what it shows.

    Attributes:
        path: of the file.
        label: index of the right label.
        point: x and y in pixels of the upright picture that the label is about; ``None``: the
            whole photo shows it.
    """

    path: Path
    label: int
    point: tuple[float, float] | None = None


def read_photos(data: Path, labels: Sequence[str]) -> tuple[LabeledPhoto, ...]:
    """Find the labeled photos of a folder or a CSV file, in the order of their paths or lines.

    A folder has one folder per label, named as the label (``Women's Fashion``), as its short
    form (``womens-fashion``), or starting with the label's line in the labels file, counted
    from 0 (``00-womens-fashion``; what follows the number is for people). A CSV file has
    a first line with the columns ``file`` and ``label``, and ``x`` and ``y`` if photos are
    labeled at a point; files are relative to the CSV file.

    Raises:
        StartupError: nothing there, a label that the model does not have, or a malformed line.
    """
    known = {short: index for index, label in enumerate(labels) for short in _name(label)}
    known |= {f"#{index}": index for index in range(len(labels))}
    if data.is_dir():
        photos = tuple(_read_folder(data, known))
    elif data.is_file():
        photos = tuple(_read_table(data, known))
    else:
        raise StartupError(f"--data {data}: no such folder or CSV file")
    if not photos:
        raise StartupError(f"--data {data}: no labeled photo in it")
    return photos


def shorten_label(label: str) -> str:
    """The form of a label for folder names: ``Women's Fashion`` becomes ``womens-fashion``."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")


def _name(label: str) -> tuple[str, str]:
    return label, shorten_label(label)


def _find_label(name: str, known: dict[str, int], *, where: str) -> int:
    """Index of the label that `name` means."""
    number = re.match(r"(\d+)[-_ ]", name)
    for candidate in (name, shorten_label(name), f"#{int(number[1])}" if number else name):
        if candidate in known:
            return known[candidate]
    raise StartupError(f"{where}: {name!r} is no label of this model")


def _read_folder(folder: Path, known: dict[str, int]) -> Iterable[LabeledPhoto]:
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inner.name.startswith("."):
            continue
        label = _find_label(inner.name, known, where=f"--data {folder}")
        for path in sorted(inner.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield LabeledPhoto(path, label)


def _read_table(table: Path, known: dict[str, int]) -> Iterable[LabeledPhoto]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        missing = {"file", "label"} - set(rows.fieldnames or ())
        if missing:
            raise StartupError(
                f"--data {table}: the first line must name the columns file and label "
                f"(and x, y), it lacks {', '.join(sorted(missing))}"
            )
        for row in rows:
            where = f"{table}, line {rows.line_num}"
            if not row["file"] or not row["label"]:
                raise StartupError(f"{where}: file or label is empty")
            yield LabeledPhoto(
                table.parent / row["file"],
                _find_label(row["label"], known, where=where),
                _read_point(row.get("x"), row.get("y"), where=where),
            )


def _read_point(x: str | None, y: str | None, *, where: str) -> tuple[float, float] | None:
    if not x and not y:
        return None
    try:
        return float(x or ""), float(y or "")
    except ValueError as error:
        raise StartupError(f"{where}: x and y must both be numbers, got {x!r}, {y!r}") from error
