"""Tables of labeled photos: a CSV file in, its rows with their line numbers out.

Called by `dsapi.evaluation` and `dsapi.training`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dsapi.photos.files import PhotosError


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        where: file and line, for messages.
        values: by column; a column that a short line lacks is "".
    """

    where: str
    values: Mapping[str, str]


def read_rows(path: Path, *columns: str) -> list[Row]:
    """Read the lines below the first, which names the columns.

    Args:
        path: a CSV file in UTF-8, with or without the mark that spreadsheets put before it.
        columns: which must be there. ``label`` and ``labels`` stand for each other, as evaluation
            takes one label a photo and training any number.

    Raises:
        PhotosError: the file is no table in UTF-8, lacks a column or, in a line, a value's place.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            found = tuple(reader.fieldnames or ())
            other_name = _find_other_name(columns, found)
            if missing := [each for each in columns if other_name.get(each, each) not in found]:
                raise PhotosError(
                    f"{path}: the first line must name the columns {' and '.join(columns)}, "
                    f"it lacks {', '.join(missing)}"
                )
            return [
                _read_row(values, f"{path}, line {reader.line_num}", columns, other_name)
                for values in reader
            ]
        except (UnicodeDecodeError, csv.Error) as error:
            raise PhotosError(f"{path}: is no table; save it as CSV in UTF-8 ({error})") from error


def _find_other_name(columns: tuple[str, ...], found: tuple[str, ...]) -> dict[str, str]:
    """Find what the table calls the column of labels, if it is the other of two names."""
    names = {"label": "labels", "labels": "label"}
    return {each: names[each] for each in columns if each in names and each not in found}


def _read_row(
    values: Mapping[str, str | None],
    where: str,
    columns: tuple[str, ...],
    other_name: Mapping[str, str],
) -> Row:
    named = {**values, **{column: values[name] for column, name in other_name.items()}}
    if None in named:
        raise PhotosError(f"{where}: more values than columns; put what has commas into quotes")
    for column in columns:
        if named[column] is None:
            raise PhotosError(f"{where}: the column {column} is missing")
    return Row(where, {column: value or "" for column, value in named.items()})
