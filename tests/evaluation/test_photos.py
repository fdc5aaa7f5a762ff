"""What is labeled is read from folders and tables, and what is not understood is named."""

from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.evaluation.photos import read_photos
from dsapi.photos.tables import Split
from tests.evaluation.conftest import save_plain

LABELS = ("Women's Fashion", "Bags & Accessories", "shoes")


@pytest.mark.parametrize("name", ["Women's Fashion", "womens-fashion", "00-womens-fashion"])
def test_a_folder_is_named_as_the_label_its_short_form_or_by_its_number(
    tmp_path: Path, name: str
) -> None:
    save_plain(tmp_path / name / "a.png", "red")
    assert [photo.labels for photo in read_photos(tmp_path, LABELS)] == [(0,)]


def test_the_number_before_a_folder_name_counts_where_the_name_is_another(tmp_path: Path) -> None:
    save_plain(tmp_path / "01-handbags" / "a.png", "red")
    save_plain(tmp_path / "02-boots" / "b.png", "red")
    numbered = {photo.path.name: photo.labels for photo in read_photos(tmp_path, LABELS)}
    assert numbered == {"a.png": (1,), "b.png": (2,)}
    save_plain(tmp_path / "03-handbags" / "c.png", "red")
    with pytest.raises(StartupError, match="'03-handbags' is no label"):
        read_photos(tmp_path, LABELS)


@pytest.mark.parametrize(
    ("folders", "refused"),
    [
        (("00-shoes", "01-handbags"), "00-shoes"),  # numbered after another list of labels
        (("2-door cars", "shoes"), "2-door cars"),  # a name of its own, not number 2
        (("Обувь",), "Обувь"),
    ],
)
def test_a_folder_that_could_mean_another_label_is_refused(
    tmp_path: Path, folders: tuple[str, ...], refused: str
) -> None:
    for folder in folders:
        save_plain(tmp_path / folder / "a.png", "red")
    with pytest.raises(StartupError, match=f"'{refused}' is no label"):
        read_photos(tmp_path, LABELS)


def test_names_of_all_scripts_are_told_apart(tmp_path: Path) -> None:
    labels = ("Сады", "Обувь", "庭園", "C", "C++", "Café")
    table = tmp_path / "labels.csv"
    # The last is written as some file systems do: e and an accent, two characters.
    names = ("Обувь", "обувь", "庭園", "C++", "C", "Cafe\N{COMBINING ACUTE ACCENT}")
    lines = "".join(f"{number}.png,{name}\n" for number, name in enumerate(names))
    table.write_text("file,label\n" + lines, encoding="utf-8")
    assert [photo.labels for photo in read_photos(table, labels)] == [
        (1,),
        (1,),
        (2,),
        (4,),
        (3,),
        (5,),
    ]
    table.write_text("file,label\na.png,c\n")
    with pytest.raises(StartupError, match="'c' is no label of this model, or could mean several"):
        read_photos(table, labels)


def test_files_that_are_no_pictures_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    save_plain(tmp_path / "shoes" / "a.png", "red")
    save_plain(tmp_path / "shoes" / "deeper" / "b.png", "red")
    save_plain(tmp_path / ".cache" / "c.png", "red")
    save_plain(tmp_path / "shoes" / "._a.png", "red")
    save_plain(tmp_path / "shoes" / ".trash" / "d.png", "red")
    (tmp_path / "shoes" / "notes.txt").write_text("no picture")
    assert [photo.path.name for photo in read_photos(tmp_path, LABELS)] == ["a.png", "b.png"]


def test_a_folder_that_is_no_label_is_named(tmp_path: Path) -> None:
    save_plain(tmp_path / "hats" / "a.png", "red")
    with pytest.raises(StartupError, match="'hats' is no label"):
        read_photos(tmp_path, LABELS)


def test_a_table_gives_files_beside_it_with_labels_and_points(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label,x,y\na.png,shoes,3,4.5\nb.png,bags-accessories,,\n")
    first, second = read_photos(table, LABELS)
    assert (first.path, first.labels, first.point) == (tmp_path / "a.png", (2,), (3.0, 4.5))
    assert (second.labels, second.point) == ((1,), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,shoes\n", "lacks file"),
        ("file,label\na.png,hats\n", "line 2: 'hats'"),
        ("file,label\n,shoes\n", "line 2: file is empty"),
        ("file,label\na.png,2-door cars\n", "line 2: '2-door cars'"),
        ("file,labels\na.png,shoes|hats\n", "line 2: 'hats'"),
        ("file,label,x,y\na.png,shoes,3,\n", "line 2: x and y"),
        ("file,label,x,y\na.png,shoes,nan,3\n", "line 2: x and y"),
        ("file,label,x,y\na.png,shoes,-1,3\n", "line 2: x and y"),
        ("file,label\n", "no labeled photo"),
        ("file,label\na.png,shoes\n./a.png,shoes\n", "line 3: a.png stands in .*line 2 already"),
        ("file,label,x,y\na.png,shoes,1,2\na.png,shoes,1,2\n", "line 3: .* in one line"),
    ],
)
def test_a_malformed_table_is_refused_with_the_line(
    tmp_path: Path, text: str, message: str
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(StartupError, match=message):
        read_photos(table, LABELS)


@pytest.mark.parametrize(
    "content", ["file,label\na.png,caf\xe9\n".encode("latin-1"), b"\x89PNG\0\xff"]
)
def test_a_file_that_is_no_table_in_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.csv").write_bytes(content)
    with pytest.raises(StartupError, match=r"photos\.csv: is no table; save it as CSV in UTF-8"):
        read_photos(tmp_path / "photos.csv", LABELS)


def test_a_table_for_training_with_one_label_a_line_is_understood(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,labels\na.png,shoes\n")
    assert [photo.labels for photo in read_photos(tmp_path / "photos.csv", LABELS)] == [(2,)]


def test_a_photo_has_the_labels_between_bars_or_none(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("file,labels\na.png,shoes | womens-fashion|shoes\nb.png,\n")
    assert [photo.labels for photo in read_photos(table, LABELS)] == [(0, 2), ()]


def test_what_was_trained_on_is_not_measured_with(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,labels,split\na.png,shoes,train\nb.png,shoes,val\n")
    assert [photo.path.name for photo in read_photos(tmp_path / "photos.csv", LABELS)] == ["b.png"]


def test_the_split_is_understood_as_people_write_it_or_refused(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("file,label,split\na.png,shoes,Train\nb.png,shoes, val \nc.png,shoes,TEST\n")
    assert [photo.path.name for photo in read_photos(table, LABELS)] == ["b.png", "c.png"]
    for wrong in ("training", ""):
        table.write_text(f"file,label,split\na.png,shoes,val\nb.png,shoes,{wrong}\n")
        told = f"line 3: split is train, val or test, not '{wrong}'"
        with pytest.raises(StartupError, match=told):
            read_photos(table, LABELS)


@pytest.mark.parametrize(
    ("split", "found"),
    [("train", ["a.png"]), ("val", ["b.png", "d.png"]), ("test", ["c.png"])],
)
def test_one_split_of_a_table_is_measured_alone(
    tmp_path: Path, split: Split, found: list[str]
) -> None:
    table = tmp_path / "photos.csv"
    rows = ["a.png,shoes,train", "b.png,shoes,val", "c.png,shoes,test", "d.png,shoes,VAL"]
    table.write_text("\n".join(["file,label,split", *rows]))
    assert [photo.path.name for photo in read_photos(table, LABELS, split=split)] == found


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("file,label,split\na.png,shoes,val\nb.png,shoes,train\n")
    with pytest.raises(StartupError, match="none of the 2 rows is split=test"):
        read_photos(table, LABELS, split="test")
    table.write_text("file,label\na.png,shoes\n")
    with pytest.raises(StartupError, match="has no column split of which to take test"):
        read_photos(table, LABELS, split="test")
    save_plain(tmp_path / "folder" / "shoes" / "a.png", "red")
    with pytest.raises(StartupError, match="split=test is for a CSV file"):
        read_photos(tmp_path / "folder", LABELS, split="test")


def test_a_table_for_training_alone_is_told_so(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("file,label,split\na.png,shoes,train\nb.png,shoes,train\n")
    with pytest.raises(StartupError, match="all 2 rows are split=train"):
        read_photos(table, LABELS)


def test_of_a_folder_for_training_the_part_to_measure_with_is_named(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save_plain(tmp_path / part / "shoes" / "a.png", "red")
    with pytest.raises(StartupError, match=f"give {tmp_path / 'val'}"):
        read_photos(tmp_path, LABELS)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="nowhere"):
        read_photos(tmp_path / "nowhere", LABELS)
