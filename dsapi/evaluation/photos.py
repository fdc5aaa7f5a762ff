"""Labeled photos: a folder per label, or a CSV file, in; paths with label and point out.

Called by ``dsapi evaluate``.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsapi.errors import StartupError
from dsapi.evaluation.label_names import LabelNames

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

    A folder has one folder per label, named as `dsapi.evaluation.label_names` understands it. A CSV
    file has a first line with the columns ``file`` and ``label`` (or ``labels``, as ``dsapi train``
    has it, with one label a line), and ``x`` and ``y`` if photos are labeled at a point; files are
    relative to the CSV file.

    Raises:
        StartupError: nothing there, a label that the model does not have, or a malformed line.
    """
    names = LabelNames(labels)
    if data.is_dir():
        photos = tuple(_read_folder(data, names))
    elif data.is_file():
        photos = tuple(_read_table(data, names))
    else:
        raise StartupError(f"--data {data}: no such folder or CSV file")
    if not photos:
        raise StartupError(f"--data {data}: no labeled photo in it")
    return photos


def _read_folder(folder: Path, names: LabelNames) -> Iterable[LabeledPhoto]:
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = names.find_folders(path.name for path in inner)
    for each in sorted(inner):
        label = found[each.name]
        if label is None:
            raise _refuse_label(each.name, where=f"--data {folder}")
        for path in sorted(each.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield LabeledPhoto(path, label)


def _read_table(table: Path, names: LabelNames) -> Iterable[LabeledPhoto]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        try:
            yield from _read_rows(table, rows, names)
        except (UnicodeDecodeError, csv.Error) as error:
            raise StartupError(
                f"--data {table}: is no table; save it as CSV in UTF-8 ({error})"
            ) from error


def _read_rows(
    table: Path, rows: "csv.DictReader[str]", names: LabelNames
) -> Iterable[LabeledPhoto]:
    columns = rows.fieldnames or ()
    column = "labels" if "labels" in columns and "label" not in columns else "label"
    if missing := {"file", column} - set(columns):
        raise StartupError(
            f"--data {table}: the first line must name the columns file and label "
            f"(and x, y), it lacks {', '.join(sorted(missing))}"
        )
    for row in rows:
        where = f"{table}, line {rows.line_num}"
        if not row["file"] or not row[column]:
            raise StartupError(f"{where}: file or {column} is empty")
        label = names.find(row[column])
        if label is None:
            raise _refuse_label(row[column], where=where)
        point = _read_point(row.get("x"), row.get("y"), where=where)
        yield LabeledPhoto(table.parent / row["file"], label, point)


def _refuse_label(name: str, *, where: str) -> StartupError:
    return StartupError(
        f"{where}: {name!r} is no label of this model, or could mean several; "
        "write it as in the labels file"
    )


def _read_point(x: str | None, y: str | None, *, where: str) -> tuple[float, float] | None:
    if not x and not y:
        return None
    try:
        point = float(x or ""), float(y or "")
    except ValueError:
        point = (math.nan, math.nan)
    if not all(math.isfinite(each) and each >= 0 for each in point):
        raise StartupError(f"{where}: x and y must both be numbers from 0 up, got {x!r}, {y!r}")
    return point
