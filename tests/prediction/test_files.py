"""Server paths under attack."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from dsapi.errors import BadParameter, PathForbidden, PathNotFound, RequestError, TooLarge
from dsapi.prediction.files import read_image_file

LIMIT = 1000
# Who owns nothing, on every Linux.
_NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a picture, beside a folder that nobody may read."""
    root = tmp_path.resolve() / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder/picture.jpg").write_bytes(b"picture")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/picture.jpg").write_bytes(b"secret")
    return root


def read(root: Path, path: str) -> bytes:
    return read_image_file(path, roots=[root], max_bytes=LIMIT)


@pytest.mark.parametrize(
    "path",
    ["folder/picture.jpg", "./folder//picture.jpg", "folder/../folder/picture.jpg", "/folder"],
)
def test_a_path_below_a_root_is_read(root: Path, path: str) -> None:
    full = str(root / "folder/picture.jpg") if path.startswith("/") else path
    assert read(root, full) == b"picture"


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("folder")
    (root / "link.jpg").symlink_to(root / "link/picture.jpg")
    assert read(root, "link.jpg") == b"picture"


@pytest.mark.parametrize(
    "path",
    [
        *("../secret/picture.jpg", "folder/../../secret/picture.jpg", "..", "/etc/passwd", "/"),
        *("out/picture.jpg", "out.jpg", "folder/../out/picture.jpg", "../root-2/picture.jpg"),
        "../" * 99 + "etc/passwd",
    ],
)
def test_whatever_leaves_the_roots_is_forbidden(root: Path, path: str) -> None:
    (root / "out").symlink_to("../secret")
    (root / "out.jpg").symlink_to(root.parent / "secret/picture.jpg")
    (root.parent / "root-2").mkdir()
    with pytest.raises(PathForbidden, match="must stay below the image roots"):
        read(root, path)


@pytest.mark.parametrize(
    "path",
    [
        *("nothing.jpg", "folder", ".", "folder/picture.jpg/more", "fifo", "socket-less/fifo"),
        *("x" * 300, "x" * 5000, "x/" * 2100 + "y", "a\nb", "loop", "unreadable/picture.jpg"),
        *("~/picture.jpg", "%2e%2e/secret", "..\\secret", "C:\\picture.jpg"),
    ],
)
def test_what_is_no_regular_file_is_not_found(root: Path, path: str) -> None:
    os.mkfifo(root / "fifo")
    (root / "loop").symlink_to("loop")
    with pytest.raises(PathNotFound, match="no such picture") as caught:
        read(root, path)
    assert len(caught.value.detail) < 200


def test_a_device_is_not_found() -> None:
    with pytest.raises(PathNotFound):
        read_image_file("zero", roots=[Path("/dev")], max_bytes=LIMIT)


@pytest.mark.parametrize("path", ["", "\0", "folder/picture.jpg\0.png", "\ud800"])
def test_what_is_no_path_is_a_bad_parameter(root: Path, path: str) -> None:
    with pytest.raises(BadParameter) as caught:
        read(root, path)
    assert caught.value.detail.encode()


def test_no_roots_forbid_every_path() -> None:
    with pytest.raises(PathForbidden, match="server paths are off"):
        read_image_file("a", roots=[], max_bytes=LIMIT)


def test_the_second_root_is_tried_after_the_first(root: Path, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "other"
    other.mkdir()
    data = read_image_file("folder/picture.jpg", roots=[other, root], max_bytes=LIMIT)
    assert data == b"picture"


@pytest.mark.parametrize("path", ["out/picture.jpg", "out.jpg", "../secret/picture.jpg"])
@pytest.mark.parametrize("linked_first", [True, False])
def test_what_leaves_one_root_and_is_not_in_another_is_forbidden(
    root: Path, tmp_path: Path, path: str, linked_first: bool
) -> None:
    (root / "out").symlink_to("../secret")
    (root / "out.jpg").symlink_to(root.parent / "secret/picture.jpg")
    other = tmp_path.resolve() / "deep/other"
    other.mkdir(parents=True)
    roots = [root, other] if linked_first else [other, root]
    with pytest.raises(PathForbidden):
        read_image_file(path, roots=roots, max_bytes=LIMIT)


def test_what_leaves_one_root_is_read_from_another_that_has_it(root: Path, tmp_path: Path) -> None:
    (root / "out.jpg").symlink_to(root.parent / "secret/picture.jpg")
    other = tmp_path.resolve() / "other"
    other.mkdir()
    (other / "out.jpg").write_bytes(b"picture")
    assert read_image_file("out.jpg", roots=[root, other], max_bytes=LIMIT) == b"picture"


def test_an_absolute_path_in_one_root_of_two_is_read_or_not_found(
    root: Path, tmp_path: Path
) -> None:
    roots = [tmp_path.resolve() / "other", root]
    full = root / "folder/picture.jpg"
    assert read_image_file(str(full), roots=roots, max_bytes=LIMIT) == b"picture"
    with pytest.raises(PathNotFound):
        read_image_file(str(root / "nothing.jpg"), roots=roots, max_bytes=LIMIT)


def test_a_large_file_is_refused_with_limit_and_actual(root: Path) -> None:
    (root / "large.jpg").write_bytes(bytes(LIMIT + 1))
    with pytest.raises(TooLarge, match=r"'large.jpg' has 1001 bytes, max_bytes is 1000"):
        read(root, "large.jpg")
    (root / "large.jpg").write_bytes(bytes(LIMIT))
    assert len(read(root, "large.jpg")) == LIMIT


def test_a_file_that_turns_into_a_link_out_is_never_followed(root: Path) -> None:
    """Swap a file and a folder with links out as fast as possible, while reading them."""
    secret, stop = root.parent / "secret", threading.Event()
    (root / "swapped").mkdir()
    (root / "swapped/picture.jpg").write_bytes(b"picture")

    def swap() -> None:
        while not stop.is_set():
            for name, target in (("picture.jpg", secret / "picture.jpg"), ("swapped", secret)):
                link = root / "new"
                link.symlink_to(target)
                place = root / "folder" / name if name != "swapped" else root / name
                kept = place.with_name("kept")
                place.rename(kept)
                link.rename(place)
                place.unlink()
                kept.rename(place)

    swapping = threading.Thread(target=swap)
    swapping.start()
    outcomes = set()
    try:
        for _ in range(1500):
            for path in ("folder/picture.jpg", "swapped/picture.jpg"):
                try:
                    outcomes.add(read(root, path))
                except RequestError as error:
                    outcomes.add(error.code.encode())
    finally:
        stop.set()
        swapping.join()
    assert b"picture" in outcomes
    assert outcomes <= {b"picture", b"path_forbidden", b"path_not_found"}


def test_a_file_that_vanishes_or_changes_while_read_never_blocks(root: Path) -> None:
    path, stop = root / "folder/picture.jpg", threading.Event()

    def change() -> None:
        while not stop.is_set():
            path.unlink()
            os.mkfifo(path)
            path.unlink()
            path.write_bytes(b"x" * 500)
            path.write_bytes(b"picture")

    changing = threading.Thread(target=change)
    changing.start()
    outcomes = set()
    try:
        for _ in range(1500):
            try:
                outcomes.add(len(read(root, "folder/picture.jpg")))
            except PathNotFound:
                outcomes.add(-1)
    finally:
        stop.set()
        changing.join()
    assert outcomes <= {-1, 0, 7, 500}


KEEPER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("kept", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_program_keeps_for_itself_is_not_found(root: Path) -> None:
    command = [sys.executable, "-c", KEEPER, str(root / "folder/picture.jpg")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout
        assert keeper.stdout.readline() == b"kept\n"
        with pytest.raises(PathNotFound):
            read(root, "folder/picture.jpg")
        keeper.communicate()
    assert read(root, "folder/picture.jpg")


def test_a_file_that_is_longer_than_the_system_says_is_refused() -> None:
    # As one that grows while it is read: the kernel makes it then, and calls it empty before.
    folder = Path("/proc/self").resolve()
    assert (folder / "maps").stat().st_size == 0
    with pytest.raises(TooLarge, match="max_bytes is 1000"):
        read(folder, "maps")


@pytest.mark.parametrize("path", ["picture.jpg", "closed/picture.jpg"])
def test_what_the_service_may_not_read_is_not_found(path: str) -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        root = Path(folder)
        root.chmod(0o755)
        (root / "closed").mkdir()
        for name in ("picture.jpg", "closed/picture.jpg"):
            (root / name).write_bytes(b"picture")
        (root / "picture.jpg").chmod(0)
        (root / "closed").chmod(0)
        try:
            if user == 0:  # who may read everything
                os.seteuid(_NOBODY)
            with pytest.raises(PathNotFound):
                read(root, path)
        finally:
            os.seteuid(user)
            (root / "closed").chmod(0o700)


def test_no_file_stays_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("folder/picture.jpg", "nothing", "folder", "folder/nothing") * 5:
        try:
            read(root, path)
        except PathNotFound:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
