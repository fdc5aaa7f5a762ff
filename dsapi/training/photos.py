"""Labeled photos on disk: which files there are, what they show, where they come from.

Enters: a folder or a CSV file. Leaves: a `Collection` of `Photo`. Called by every training of
image classifiers. Three layouts are understood:

- ``DIR/<label>/*.jpg``: one folder per label; a part is held out for measuring, by seed;
- ``DIR/train/<label>/*.jpg`` and ``DIR/val/<label>/*.jpg``: already split. A folder may begin
  with the label's number (``07-tattoos``), ``DIR/labels.txt`` then gives the names in order,
  and ``DIR/manifest.csv`` (columns ``file`` and ``source_repo``) tells each photo's source;
- ``FILE.csv`` with the columns ``file`` and ``labels`` (or ``label``; several separated by ``|``,
  none: empty) and, where wanted, ``split`` (``train`` or ``val``) and ``source``. Paths are
  relative to it.

Files and folders whose names begin with a dot are left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dsapi.errors import StartupError
from dsapi.evaluation.label_names import LabelNames
from dsapi.evaluation.photos import SUFFIXES

HELD_OUT_FRACTION = 0.15


class PhotosError(StartupError):
    """The training data cannot be used; the message names the file or folder and what to do."""


@dataclass(frozen=True)
class Photo:
    """One file, the indices of its labels, and the source it comes from ("" if unknown)."""

    path: Path
    labels: tuple[int, ...]
    source: str = ""


@dataclass(frozen=True)
class Collection:
    """Label names in output order, photos to train on, photos to measure with."""

    labels: tuple[str, ...]
    train: tuple[Photo, ...]
    val: tuple[Photo, ...]

    @property
    def identity(self) -> list[list[tuple[str, tuple[int, ...], str]]]:
        """What a result depends on: photos count by name, not by folder, as data may be moved."""
        return [
            [(photo.path.name, photo.labels, photo.source) for photo in part]
            for part in (self.train, self.val)
        ]


def read_photos(data: Path, *, seed: int = 0) -> Collection:
    """Find the photos of a folder or CSV file and hold some out where no split is given.

    Raises:
        PhotosError: Nothing usable is there.
    """
    if data.is_file():
        collection = _read_csv(data, seed)
    elif (data / "train").is_dir():
        collection = _read_split_folders(data, seed)
    elif data.is_dir():
        names = _list_folders(data)
        labels = _label_names(data, names)
        collection = _hold_out(labels, _read_folders(data, names, labels, sources={}), seed)
    else:
        raise PhotosError(f"{data} is neither a folder nor a CSV file")
    _check(collection, data)
    return collection


def _check(collection: Collection, data: Path) -> None:
    seen = {label for photo in collection.train for label in photo.labels}
    missing = [name for index, name in enumerate(collection.labels) if index not in seen]
    if len(collection.labels) < 2:
        raise PhotosError(f"{data} has {len(collection.labels)} labels, at least 2 are needed")
    if missing:
        raise PhotosError(f"{data} has no training photo for {', '.join(missing)}")
    if not collection.val:
        raise PhotosError(
            f"{data} has no photo to measure with; add a second photo of a label, or some under val"
        )


def _list_folders(parent: Path) -> list[str]:
    return sorted(
        entry.name
        for entry in parent.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _label_names(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    listed = folder / "labels.txt"
    if listed.is_file():
        return tuple(line for line in listed.read_text("utf-8").splitlines() if line.strip())
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
        for path in sorted((root / name).iterdir()):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                key = f"{root.name}/{name}/{path.name}"
                photos.append(Photo(path, (index,), sources.get(key, "")))
    return photos


def _read_split_folders(data: Path, seed: int) -> Collection:
    names = _list_folders(data / "train")
    labels = _label_names(data, names)
    sources: dict[str, str] = {}
    if (data / "manifest.csv").is_file():
        rows = _read_rows(data / "manifest.csv", "file", "source_repo")
        sources = {row["file"]: row["source_repo"] for row in rows}
    train = _read_folders(data / "train", names, labels, sources=sources)
    if not (data / "val").is_dir():
        return _hold_out(labels, train, seed)
    val = _read_folders(data / "val", _list_folders(data / "val"), labels, sources=sources)
    return Collection(labels, tuple(train), tuple(val))


def _read_rows(path: Path, *needed: str) -> list[dict[str, str]]:
    """Read the lines below the first, which names the columns; those `needed` are in each."""
    # Spreadsheets write a byte order mark, which would be part of the first column's name.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            reader = csv.DictReader(stream)
            rows = list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise PhotosError(f"{path} is no table; save it as CSV in UTF-8 ({error})") from error
    columns = reader.fieldnames or ()
    if not set(needed) <= set(columns):
        raise PhotosError(
            f"{path} needs the columns {' and '.join(needed)}, it has {sorted(columns)}"
        )
    for number, row in enumerate(rows, start=2):
        for name in needed:
            if row[name] is None:
                raise PhotosError(f"{path} line {number}: the column {name} is missing")
    return rows


def _read_csv(path: Path, seed: int) -> Collection:
    column = _label_column(path)
    rows = _read_rows(path, "file", column)
    split_labels = [_split(row[column]) for row in rows]
    labels = tuple(sorted({name for names in split_labels for name in names}))
    photos = []
    for number, (row, names) in enumerate(zip(rows, split_labels, strict=True), start=2):
        file = path.parent / row["file"]
        if not file.is_file():
            raise PhotosError(f"{path} line {number}: there is no file {file}")
        indices = tuple(sorted(labels.index(name) for name in names))
        photos.append(Photo(file, indices, row.get("source") or ""))
    if not rows or "split" not in rows[0]:
        return _hold_out(labels, photos, seed)
    splits = [row["split"] or "" for row in rows]
    if wrong := set(splits) - {"train", "val"}:
        raise PhotosError(f"{path}: split is train or val, not {sorted(wrong)}")
    chosen = {
        name: tuple(photo for photo, split in zip(photos, splits, strict=True) if split == name)
        for name in ("train", "val")
    }
    return Collection(labels, chosen["train"], chosen["val"])


def _label_column(path: Path) -> str:
    """Find what the column is called: ``labels``, or ``label`` as ``dsapi evaluate`` has it."""
    with path.open("rb") as stream:
        columns = stream.readline().decode("utf-8-sig", "replace").strip().split(",")
    return "label" if "label" in columns and "labels" not in columns else "labels"


def _split(labels: str) -> list[str]:
    """Split ``beach | sunset``; each name counts once."""
    return list(dict.fromkeys(name.strip() for name in labels.split("|") if name.strip()))


def _hold_out(labels: tuple[str, ...], photos: Sequence[Photo], seed: int) -> Collection:
    """Hold out a part of the photos of every label (of every set of labels), at least one."""
    rng = np.random.default_rng(seed)
    groups: dict[tuple[int, ...], list[Photo]] = {}
    for photo in photos:
        groups.setdefault(photo.labels, []).append(photo)
    train: list[Photo] = []
    val: list[Photo] = []
    for key in sorted(groups):
        group = [groups[key][int(i)] for i in rng.permutation(len(groups[key]))]
        held = max(1, round(len(group) * HELD_OUT_FRACTION)) if len(group) > 1 else 0
        val += group[:held]
        train += group[held:]
    return Collection(labels, tuple(train), tuple(val))


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


def read_upright(path: Path) -> Image.Image:
    """Read a photo as RGB, turned upright.

    Raises:
        PhotosError: It cannot be read.
    """
    try:
        with _open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # on corrupt data decoders raise almost anything
        raise PhotosError(f"{path} cannot be read ({error}); remove or replace it") from error


def _open(path: Path) -> Image.Image:
    if path.suffix.lower() not in {".heic", ".heif"}:
        return Image.open(path)
    import pillow_heif

    image: Image.Image = pillow_heif.open_heif(path).to_pillow()
    return image
