from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.prediction.labels import read_labels


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


def test_labels_keep_their_order_and_spelling(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("Women's Fashion\r\nblack & white\nCafé\n\n".encode())
    assert read_labels(path) == ("Women's Fashion", "black & white", "Café")
