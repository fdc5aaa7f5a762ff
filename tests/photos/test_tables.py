"""Tables as spreadsheets and people write them."""

from pathlib import Path

import pytest

from dsapi.photos.files import PhotosError
from dsapi.photos.tables import read_rows


def write(folder: Path, text: str) -> Path:
    path = folder / "photos.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_quoted_first_line_is_understood(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, '"file","label"\n"a, b.png","cat"\n'), "file", "labels")
    assert [row.values["file"] for row in rows] == ["a, b.png"]
    assert [row.values["labels"] for row in rows] == ["cat"]


def test_blank_lines_count_in_the_number_of_a_line(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, "file,label\na.png,cat\n\nb.png,dog\n"), "file", "label")
    assert [row.where.rsplit(" ", 1)[1] for row in rows] == ["2", "4"]


def test_columns_without_a_name_may_be_many(tmp_path: Path) -> None:
    table = write(tmp_path, "file,label,,\na.png,cat,,\n")
    assert read_rows(table, "file", "label")[0].values["label"] == "cat"


def test_columns_are_known_in_any_case_and_with_blanks_around(tmp_path: Path) -> None:
    table = write(tmp_path, "File, Labels, X, y ,SPLIT\na.png,cat,1,2,train\n")
    (row,) = read_rows(table, "file", "labels")
    assert row.values == {"file": "a.png", "labels": "cat", "x": "1", "y": "2", "split": "train"}
    assert row.split == "train"


def test_of_both_columns_of_labels_the_one_asked_for_is_taken(tmp_path: Path) -> None:
    table = write(tmp_path, "file,label,labels\na.png,cat,cat|dog\n")
    assert read_rows(table, "file", "label")[0].values["label"] == "cat"
    assert read_rows(table, "file", "labels")[0].values["labels"] == "cat|dog"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na.png,cat\n", "must name the columns file and label, it lacks file"),
        ("", "is empty; its first line must name the columns file and label"),
        ("file;label\na.png;cat\n", "the first line is 'file;label'; separate columns by commas"),
        ("file,label\na.png\n", "line 2: the column label is missing"),
        ("file,label,label\na.png,cat,dog\n", "the first line names the column label twice"),
        ("file,label,x,y,x\na.png,cat,1,2,3\n", "the first line names the column x twice"),
        ("file,labels\na.png,beach,sunset\n", "line 2: more values than columns"),
        ("file,label\n" + "x" * 200_000 + ",cat\n", "is no table"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(PhotosError, match=told):
        read_rows(write(tmp_path, text), "file", "label")
