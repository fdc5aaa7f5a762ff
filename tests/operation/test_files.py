"""Whether a file could be written is found out without making it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsapi.operation.files import check_writable
from tests.another_user import ask_as_another_user


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o777, "None"),
        (0o555, "Permission denied: {file}"),
        (0o666, "Permission denied: {file}"),  # it may be written, but not entered
    ],
)
def test_a_file_that_is_not_there_could_be_made_where_its_folder_may_be_written(
    folder: Path, mode: int, told: str
) -> None:
    inner = folder / "inner"
    inner.mkdir()
    for file in (inner / "dsapi.log", inner / "not/there/dsapi.log"):
        inner.chmod(mode)
        assert ask_as_another_user(check_writable, file) == told.format(file=file)
        inner.chmod(0o777)
        assert list(inner.iterdir()) == []


def test_a_file_that_is_there_may_have_to_be_left_alone(folder: Path) -> None:
    file = folder / "dsapi.log"
    file.write_text("kept")
    file.chmod(0o444)
    assert ask_as_another_user(check_writable, file) == f"Permission denied: {file}"
    file.chmod(0o666)
    assert ask_as_another_user(check_writable, file) == "None"
    assert file.read_text() == "kept"


def test_a_link_is_good_for_what_a_start_can_make_of_it(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "not/there")
    (tmp_path / "dsapi.log").symlink_to(tmp_path / "not/there/dsapi.log")
    for file in (tmp_path / "dsapi.log", tmp_path / "log/dsapi.log"):
        with pytest.raises(FileNotFoundError) as refused:
            check_writable(file)
        assert refused.value.filename == str(file)
    (tmp_path / "not").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/there").mkdir(parents=True)
    check_writable(tmp_path / "dsapi.log")
    check_writable(tmp_path / "log/dsapi.log")
    with pytest.raises(OSError, match="symbolic links"):
        check_writable(tmp_path / "dsapi.log", through_link=False)
    assert list((tmp_path / "elsewhere/there").iterdir()) == []
