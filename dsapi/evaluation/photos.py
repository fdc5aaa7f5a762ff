"""Labeled photos: a folder per label, or a CSV file, in; paths with label and point out.

Called by ``dsapi evaluate``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsapi.photos.files import PhotosError, list_folders, list_photos
from dsapi.photos.label_names import LabelNames
from dsapi.photos.tables import read_rows


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

    A folder has one folder per label, named as `dsapi.photos.label_names` understands it. A CSV
    file has a first line with the columns ``file`` and ``label``, and ``x`` and ``y`` if photos are
    labeled at a point; files are relative to the CSV file. Of a table with a column ``split``, as
    training has it, what is for training is left out.

    Raises:
        PhotosError: nothing there, a label that the model does not have, or a malformed line.
    """
    names = LabelNames(labels)
    if data.is_dir():
        photos = tuple(_read_folder(data, names))
    elif data.is_file():
        photos = tuple(_read_table(data, names))
    else:
        raise PhotosError(f"{data}: no such folder or CSV file")
    if not photos:
        raise PhotosError(f"{data}: no labeled photo in it")
    return photos


def _read_folder(folder: Path, names: LabelNames) -> Iterable[LabeledPhoto]:
    for name, label in names.find_folders(list_folders(folder)).items():
        if label is None:
            raise _refuse_label(name, where=str(folder))
        for path in list_photos(folder / name):
            yield LabeledPhoto(path, label)


def _read_table(table: Path, names: LabelNames) -> Iterable[LabeledPhoto]:
    for row in read_rows(table, "file", "label"):
        if row.values.get("split") == "train":
            continue
        file, name = row.values["file"], row.values["label"]
        if not file or not name:
            raise PhotosError(f"{row.where}: file or label is empty")
        label = names.find(name)
        if label is None:
            raise _refuse_label(name, where=row.where)
        point = _read_point(row.values.get("x"), row.values.get("y"), where=row.where)
        yield LabeledPhoto(table.parent / file, label, point)


def _refuse_label(name: str, *, where: str) -> PhotosError:
    advice = "write it as in the labels file"
    if "|" in name:
        advice = "one label a photo can be measured"
    return PhotosError(
        f"{where}: {name!r} is no label of this model, or could mean several; {advice}"
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
