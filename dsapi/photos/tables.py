"""Tables of labeled photos: a CSV file in, its rows with their line numbers out.

Called by `dsapi.evaluation` and `dsapi.training`.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from dsapi.photos.files import PhotosError

#: What a photo is for: to learn from, to choose by while learning, to measure with.
Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        where: file and line, for messages.
        values: by column; a column that a short line lacks is "".
    """

    where: str
    values: Mapping[str, str]

    @property
    def split(self) -> Split | None:
        """What the column ``split`` says, ``Train `` like ``train``; ``None`` without one.

        Raises:
            PhotosError: it says something else.
        """
        if "split" not in self.values:
            return None
        found = self.values["split"].strip().casefold()
        if found not in get_args(Split):
            raise PhotosError(
                f"{self.where}: split is train, val or test, not {self.values['split']!r}"
            )
        return cast(Split, found)


def read_rows(path: Path, *columns: str) -> list[Row]:
    """Read the lines below the first, which names the columns.

    Args:
        path: a CSV file in UTF-8, with or without the mark that spreadsheets put before it.
        columns: which must be there, whatever case and blanks around them. ``label`` and ``labels``
            stand for each other, as evaluation takes one label a photo and training any number.

    Raises:
        PhotosError: the file is no table in UTF-8, lacks a column or has it twice, or lacks a
            value's place in a line.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            reader.fieldnames = found = _name_columns(reader.fieldnames or (), columns)
            _check_columns(found, columns, path)
            return [
                _read_row(values, f"{path}, line {reader.line_num}", columns) for values in reader
            ]
        except (UnicodeDecodeError, csv.Error) as error:
            raise PhotosError(f"{path}: is no table; save it as CSV in UTF-8 ({error})") from error


def _check_columns(found: Sequence[str], columns: Sequence[str], path: Path) -> None:
    named = " and ".join(columns)
    if not found:
        raise PhotosError(f"{path} is empty; its first line must name the columns {named}")
    if len(found) == 1 and any(sign in found[0] for sign in ";\t"):
        raise PhotosError(
            f"{path}: the first line is {found[0]!r}; separate columns by commas, as CSV has them"
        )
    if missing := [each for each in columns if each not in found]:
        raise PhotosError(
            f"{path}: the first line must name the columns {named}, it lacks {', '.join(missing)}"
        )
    # Spreadsheets leave columns without a name at the end.
    if twice := [each for each, times in Counter(found).items() if each and times > 1]:
        raise PhotosError(f"{path}: the first line names the column {twice[0]} twice; keep one")


def _name_columns(found: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Call columns as they are asked for: `` Split`` is ``split``, ``label`` is ``labels``.

    A column that is optional would else be left unused without a word.
    """
    names = [name.strip().casefold() for name in found]
    for name, other in (("label", "labels"), ("labels", "label")):
        if name in asked and name not in names and other in names:
            names[names.index(other)] = name
    return names


def _read_row(values: Mapping[str, str | None], where: str, columns: Sequence[str]) -> Row:
    if None in values:
        raise PhotosError(f"{where}: more values than columns; put what has commas into quotes")
    for column in columns:
        if values[column] is None:
            raise PhotosError(f"{where}: the column {column} is missing")
    return Row(where, {column: value or "" for column, value in values.items()})
