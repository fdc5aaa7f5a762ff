"""Labeled photos: a folder per label, or a CSV file, in; paths with labels and point out.

Called by ``dsapi evaluate``.
"""

import math
import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.photos.files import PhotosError, list_folders, list_photos, naming_unreadable
from dsapi.photos.label_names import LabelNames, split_names
from dsapi.photos.tables import Row, Split, read_rows


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and what it shows.

    Attributes:
        path: of the file.
        labels: indices of the right labels; one each, unless the model is a multi-label one.
        point: x and y in pixels of the upright picture that the labels are about; ``None``: the
            whole photo shows them.
        name: its path relative to the data, with slashes; it tells photos apart when random points
            are drawn, wherever the data lies. Without one the whole path does.
    """

    path: Path
    labels: tuple[int, ...]
    point: tuple[float, float] | None = None
    name: str = ""


@naming_unreadable()
def read_photos(
    data: Path, labels: Sequence[str], *, split: Split | None = None
) -> tuple[LabeledPhoto, ...]:
    """Find the labeled photos of a folder or a CSV file, in the order of their paths or lines.

    A folder has one folder per label, named as `dsapi.photos.label_names` understands it. A CSV
    file has a first line with the columns ``file`` and ``labels`` (or ``label``; several separated
    by ``|``, none: empty), and ``x`` and ``y`` if photos are labeled at a point; files are relative
    to the CSV file. Of a table with a column ``split``, as training has it, the rows of `split` are
    taken; without one ``val`` and ``test``, but not ``train``.

    Raises:
        PhotosError: nothing there, or what may not be read; a label that the model does not have,
            or a malformed line.
    """
    names = LabelNames(labels)
    if data.is_dir():
        if split is not None:
            raise PhotosError(f"{data}: split={split} is for a CSV file that has a column split")
        photos = tuple(_read_folder(data, names))
    elif data.is_file():
        photos = tuple(_read_table(data, names, split))
    else:
        raise PhotosError(f"{data}: no such folder or CSV file")
    if not photos:
        raise PhotosError(f"{data}: no labeled photo in it")
    return photos


def number_photos(photos: Sequence[LabeledPhoto]) -> NDArray[np.int64]:
    """Give each entry the index of the first one of the same file, ``int64 [n]``.

    A table may have a line for each of several points of a photo.
    """
    first: dict[str, int] = {}
    paths = (os.path.normpath(photo.path) for photo in photos)
    return np.array([first.setdefault(path, at) for at, path in enumerate(paths)], np.int64)


def _read_folder(folder: Path, names: LabelNames) -> Iterable[LabeledPhoto]:
    for name, label in names.find_folders(list_folders(folder)).items():
        if label is None and name in ("train", "val") and (folder / "val").is_dir():
            raise PhotosError(f"{folder} is split into train and val; give {folder / 'val'}")
        if label is None:
            raise _refuse_label(name, where=str(folder))
        for path in list_photos(folder / name):
            yield LabeledPhoto(path, (label,), name=path.relative_to(folder).as_posix())


def _read_table(table: Path, names: LabelNames, split: Split | None) -> Iterable[LabeledPhoto]:
    first_named: dict[tuple[str, tuple[float, float] | None], str] = {}
    for row in _read_split(table, split):
        if not row.values["file"]:
            raise PhotosError(f"{row.where}: file is empty")
        labels = _find_labels(row.values["labels"], names, where=row.where)
        point = _read_point(row.values.get("x"), row.values.get("y"), where=row.where)
        path = table.parent / row.values["file"]
        name = Path(os.path.relpath(path, table.parent)).as_posix()
        before = first_named.setdefault((name, point), row.where)
        if before != row.where:
            raise PhotosError(
                f"{row.where}: {name} stands in {before} already, at the same point; write its "
                "labels in one line, separated by |"
            )
        yield LabeledPhoto(path, labels, point, name)


def _read_split(table: Path, split: Split | None) -> list[Row]:
    rows = read_rows(table, "file", "labels")
    if split is None:
        asked = [row for row in rows if row.split != "train"]
        if rows and not asked:
            raise PhotosError(f"{table}: all {len(rows)} rows are split=train; mark some as val")
        return asked
    if rows and rows[0].split is None:
        raise PhotosError(f"{table}: has no column split of which to take {split}")
    asked = [row for row in rows if row.split == split]
    if rows and not asked:
        raise PhotosError(f"{table}: none of the {len(rows)} rows is split={split}")
    return asked


def _find_labels(text: str, names: LabelNames, *, where: str) -> tuple[int, ...]:
    found = set()
    for name in split_names(text):
        label = names.find(name)
        if label is None:
            raise _refuse_label(name, where=where)
        found.add(label)
    return tuple(sorted(found))


def _refuse_label(name: str, *, where: str) -> PhotosError:
    return PhotosError(
        f"{where}: {name!r} is no label of this model, or could mean several; write it as in the "
        "labels file"
    )


def _read_point(x: str | None, y: str | None, *, where: str) -> tuple[float, float] | None:
    if not x and not y:
        return None
    try:
        point = float(x or ""), float(y or "")
    except ValueError:
        point = (math.nan, math.nan)
    if not all(math.isfinite(each) and each >= 0 for each in point):
        raise PhotosError(f"{where}: x and y must both be numbers from 0 up, got {x!r}, {y!r}")
    return point
