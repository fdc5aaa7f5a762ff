"""Labeled photos on disk: which files there are, what they show, where they come from.

Enters: a folder or a CSV file. Leaves: a `Collection` of `Photo`. Called by every training of
image classifiers. Three layouts are understood:

- ``DIR/<label>/*.jpg``: one folder per label; a part is held out for measuring, by seed;
- ``DIR/train/<label>/*.jpg`` and ``DIR/val/<label>/*.jpg``: already split. A folder may begin
  with the label's number (``07-tattoos``), ``DIR/labels.txt`` then gives the names in order,
  and ``DIR/manifest.csv`` (columns ``file`` and ``source_repo``) tells each photo's source;
- ``FILE.csv`` with the columns ``file`` and ``labels`` (or ``label``; several separated by ``|``,
  none: empty) and, where wanted, ``split`` (``train``, ``val``, or ``test``, which is left out) and
  ``source``. Paths are relative to it.

Files and folders whose names begin with a dot are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.photos.files import (
    PhotosError,
    count_skipped,
    is_file,
    list_folders,
    list_photos,
    naming_unreadable,
    open_photo,
)
from dsapi.photos.label_names import LabelNames, split_names
from dsapi.photos.tables import read_rows
from dsapi.prediction.labels import check_labels, read_labels
from dsapi.training.splitting import split_photos

_MOST_NAMED = 10


@dataclass(frozen=True)
class Photo:
    """One file, the indices of its labels, and the source it comes from ("" if unknown)."""

    path: Path
    labels: tuple[int, ...]
    source: str = ""


@dataclass(frozen=True)
class Collection:
    """Label names in output order, photos to train on, photos to measure with.

    ``pointed`` names the first line of a table that gives one of them a point, "" where none does.
    """

    labels: tuple[str, ...]
    train: tuple[Photo, ...]
    val: tuple[Photo, ...]
    pointed: str = ""

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Labels that no photo to measure with shows: nothing will be known of them."""
        shown = {label for photo in self.val for label in photo.labels}
        return tuple(name for index, name in enumerate(self.labels) if index not in shown)

    @property
    def identity(self) -> list[list[tuple[str, int, tuple[int, ...], str]]]:
        """What a result depends on: photos by name and size; their folder may be another one."""
        return [
            [(each.path.name, each.path.stat().st_size, each.labels, each.source) for each in part]
            for part in (self.train, self.val)
        ]


@naming_unreadable()
def read_photos(data: Path, *, seed: int = 0) -> Collection:
    """Find the photos of a folder or CSV file and hold some out where no split is given.

    Raises:
        PhotosError: Nothing usable is there, or what may not be read.
    """
    if data.is_file():
        collection = _read_csv(data, seed)
    elif _is_split(data):
        collection = _read_split_folders(data, seed)
    elif data.is_dir():
        names = list_folders(data)
        labels = _label_names(data, names)
        collection = _hold_out(labels, _read_folders(data, names, labels, sources={}), seed)
    else:
        raise PhotosError(f"{data} is neither a folder nor a CSV file")
    _check(collection, data)
    return collection


def count_skipped_files(data: Path) -> int:
    """Count the files among photos of a folder that are none by their names."""
    if _is_split(data):
        return sum(count_skipped(data / name) for name in ("train", "val"))
    return count_skipped(data)


def _is_split(data: Path) -> bool:
    return (data / "train").is_dir() and bool(list_folders(data / "train"))


def describe_unused_points(collection: Collection) -> str | None:
    """Tell that points of a table, which evaluation asks about, are not what is learned."""
    if not collection.pointed:
        return None
    return (
        f"{collection.pointed} has a point, which training leaves unused: it takes a photo's "
        "labels for those of the whole photo; cut out what they are about"
    )


def describe_unmeasured(collection: Collection) -> str | None:
    """Tell, before hours of work, of which labels the figures will say nothing."""
    if not collection.unmeasured:
        return None
    return (
        f"no held-out photo shows {', '.join(collection.unmeasured)}: the figures say nothing of "
        "them; add photos"
    )


def describe_unreadable(collection: Collection) -> str:
    """Read all photos and tell which cannot be, a line each; of many the first."""
    reasons = []
    for photo in (*collection.train, *collection.val):
        try:
            open_photo(photo.path)
        except PhotosError as error:
            reasons.append(str(error))
    more = len(reasons) - _MOST_NAMED
    return "\n".join([*reasons[:_MOST_NAMED], *([f"… and {more} more"] if more > 0 else [])])


def _check(collection: Collection, data: Path) -> None:
    check_labels(collection.labels, where=str(data))
    seen = {label for photo in collection.train for label in photo.labels}
    missing = [name for index, name in enumerate(collection.labels) if index not in seen]
    if len(collection.labels) < 2:
        count = "one label" if collection.labels else "no label"
        raise PhotosError(f"{data} has {count}, at least two are needed")
    if missing:
        raise PhotosError(f"{data} has no training photo for {', '.join(missing)}")
    if not collection.val:
        raise PhotosError(
            f"{data} has no photo to measure with; add a second photo of a label, or some under val"
        )


def _label_names(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    listed = folder / "labels.txt"
    if listed.is_file():
        return read_labels(listed)
    return tuple(names)


def _read_folders(
    root: Path, names: Iterable[str], labels: Sequence[str], *, sources: dict[str, str]
) -> list[Photo]:
    photos = []
    found = LabelNames(labels).find_folders(names)
    for name, index in found.items():
        if index is None:
            raise PhotosError(
                f"folder {root / name} is no label, or could mean several; name it as its line in "
                "labels.txt (or NN-name, as all others), or as its folder in train"
            )
        for path in list_photos(root / name):
            key = path.relative_to(root.parent).as_posix()
            photos.append(Photo(path, (index,), sources.get(key, "")))
    return photos


def _read_split_folders(data: Path, seed: int) -> Collection:
    names = list_folders(data / "train")
    labels = _label_names(data, names)
    sources: dict[str, str] = {}
    if (data / "manifest.csv").is_file():
        rows = read_rows(data / "manifest.csv", "file", "source_repo")
        sources = {row.values["file"]: row.values["source_repo"] for row in rows}
    train = _read_folders(data / "train", names, labels, sources=sources)
    for name in ("valid", "validation"):
        if (data / name).is_dir():
            raise PhotosError(f"rename {data / name} to val: it would not be measured with")
    if not (data / "val").is_dir():
        return _hold_out(labels, train, seed)
    val = _read_folders(data / "val", list_folders(data / "val"), labels, sources=sources)
    return Collection(labels, tuple(train), tuple(val))


def _read_csv(path: Path, seed: int) -> Collection:
    rows = [row for row in read_rows(path, "file", "labels") if row.split != "test"]
    split_labels = [split_names(row.values["labels"]) for row in rows]
    labels = tuple(sorted({name for names in split_labels for name in names}))
    photos = []
    first_named: dict[Path, str] = {}
    for row, names in zip(rows, split_labels, strict=True):
        file = path.parent / row.values["file"]
        if not row.values["file"] or not is_file(file):
            raise PhotosError(f"{row.where}: there is no file {str(file)[:200]}")
        if file in first_named:
            raise PhotosError(
                f"{row.where}: {file} stands in {first_named[file]} already; write its labels in "
                "one line, separated by |"
            )
        first_named[file] = row.where
        indices = tuple(sorted(labels.index(name) for name in names))
        photos.append(Photo(file, indices, row.values.get("source", "")))
    splits = [row.split for row in rows]
    pointed = (row.where for row in rows if row.values.get("x") or row.values.get("y"))
    if None in splits or not splits:
        return replace(_hold_out(labels, photos, seed), pointed=next(pointed, ""))
    if "val" not in splits:
        raise PhotosError(f"{path}: no row is split=val; mark some so, or leave the column out")
    train, val = (
        tuple(photo for photo, split in zip(photos, splits, strict=True) if split == name)
        for name in ("train", "val")
    )
    return Collection(labels, train, val, pointed=next(pointed, ""))


def _hold_out(labels: tuple[str, ...], photos: Sequence[Photo], seed: int) -> Collection:
    train, val = split_photos([photo.labels for photo in photos], seed=seed)
    return Collection(labels, tuple(photos[i] for i in train), tuple(photos[i] for i in val))


def require_one_label(collection: Collection) -> None:
    """Refuse a collection in which a photo has none or several labels.

    Raises:
        PhotosError: There is such a photo.
    """
    for photo in (*collection.train, *collection.val):
        if len(photo.labels) != 1:
            raise PhotosError(
                f"{photo.path} has {len(photo.labels)} labels, one is needed; "
                "`dsapi train image` takes any number"
            )


def label_indices(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """Give each photo's one label, int64 ``[n]``."""
    return np.array([photo.labels[0] for photo in photos], np.int64)
