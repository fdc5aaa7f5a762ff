"""The PID file's lock, at the moments when it changes hands."""

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.process.pidfile import PidFile, read_address, running_pid, write_address
from tests.another_user import ask_as_another_user


def test_who_asks_who_serves_does_not_keep_a_start_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "dsapi.pid"
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            running_pid(path)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(200):
            file = PidFile(path)
            file.acquire()
            file.release()
    finally:
        done.set()
        for thread in asking:
            thread.join()


def test_a_file_that_is_locked_is_always_the_one_at_its_path(tmp_path: Path) -> None:
    path = tmp_path / "dsapi.pid"
    wrong = []

    def serve() -> None:
        for _ in range(100):
            file = PidFile(path)
            try:
                file.acquire()
            except StartupError:
                continue
            if running_pid(path) is None:
                wrong.append("the lock is on a file that has been removed")
            file.release()

    serving = [threading.Thread(target=serve) for _ in range(3)]
    for thread in serving:
        thread.start()
    for thread in serving:
        thread.join()
    assert wrong == []


def test_a_file_that_is_held_is_not_waited_for_for_long(tmp_path: Path) -> None:
    holder, other = PidFile(tmp_path / "dsapi.pid"), PidFile(tmp_path / "dsapi.pid")
    holder.acquire()
    began_s = time.monotonic()
    with pytest.raises(StartupError, match=rf"runs already \(PID {os.getpid()}, "):
        other.acquire()
    assert time.monotonic() - began_s < 10
    holder.release()
    other.acquire()
    other.release()


def test_an_address_is_that_of_the_process_which_holds_the_file_now(tmp_path: Path) -> None:
    path = tmp_path / "dsapi.pid"
    assert read_address(path) is None
    write_address(path, "http://127.0.0.1:9000")  # left by one that was killed
    file = PidFile(path)
    file.acquire()
    assert read_address(path) is None
    write_address(path, "http://[::1]:9001")
    assert read_address(path) == ("::1", 9001)
    file.release()
    assert list(tmp_path.iterdir()) == []


def test_the_number_in_a_file_is_that_of_its_holder_alone_and_others_may_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dsapi.pid"
    before = os.umask(0o022)
    try:
        for _ in range(2):
            file = PidFile(path)
            file.acquire()
            assert path.read_text() == f"{os.getpid()}\n"
            write_address(path, "http://127.0.0.1:9000")
            assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir()] == [0o644] * 2
            file.release()
            path.write_text("4194304\n")  # left by one that was killed
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "told",
    [b"", b"http://127.0.0.1", b"http://[::1", b"http://h:70000", b"http://h:port", b"\xff:9000"],
)
def test_an_address_that_is_none_is_not_known(tmp_path: Path, told: bytes) -> None:
    (tmp_path / "dsapi.pid.address").write_bytes(told)
    assert read_address(tmp_path / "dsapi.pid") is None


def test_two_who_ask_at_a_time_do_not_take_each_other_for_a_service(tmp_path: Path) -> None:
    path = tmp_path / "dsapi.pid"
    path.write_text(f"{os.getpid()}\n")  # left by one that was killed
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert running_pid(path) is None


def test_a_file_that_may_not_be_read_does_not_mean_that_nobody_serves(tmp_path: Path) -> None:
    path = tmp_path / "dsapi.pid"
    file = PidFile(path)
    file.acquire()
    path.chmod(0)
    told = ask_as_another_user(running_pid, path)
    assert told == f"cannot tell whether dsapi runs: {path} may not be read; ask as its user"
    file.release()


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "dsapi.pid"
    other.write_text("somebody's")
    path.symlink_to(other)
    with pytest.raises(StartupError, match="cannot write the PID file"):
        PidFile(path).acquire()
    path.with_name("dsapi.pid.address").symlink_to(other)
    write_address(path, "http://127.0.0.1:9000")
    assert other.read_text() == "somebody's"
