from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.prediction.labels import check_labels, read_labels


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read the labels"),
        (b"", "no label on line 1"),
        (b"a\n\nb\n", "no label on line 2"),
        (b"a\nb\na\n", "repeats the label 'a' on line 3"),
        (b"\xff\xfe", "cannot read the labels"),
    ],
)
def test_a_wrong_labels_file_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=told):
        read_labels(path)


def test_the_mark_that_editors_put_before_utf8_is_no_part_of_a_label(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\n", encoding="utf-8-sig")
    assert read_labels(path) == ("cat", "dog")


@pytest.mark.parametrize(
    "labels",
    [("cars", "cars "), ("a\nb", "c"), ("Café", "Cafe\u0301"), ("Cat", "cat"), ("\udcff",)],
)
def test_labels_that_no_file_could_hold_or_nobody_tell_apart_are_refused(
    labels: tuple[str, ...],
) -> None:
    with pytest.raises(StartupError, match="photos: "):
        check_labels(labels, where="photos")


def test_labels_keep_their_order_and_spelling(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("Women's Fashion\r\nblack & white\nCafé\n\n".encode())
    assert read_labels(path) == ("Women's Fashion", "black & white", "Café")
