"""How a forked process tells whether its start succeeded."""

import os
import subprocess
import sys

import pytest

from dsapi.errors import StartupError
from dsapi.process.forks import describe_end, tell_failure, tell_ready, wait_ready


def test_a_long_reason_arrives_whole_although_others_hold_the_pipe() -> None:
    reader, writer = os.pipe()
    held = os.dup(writer)  # by processes that the forked one has started
    reason = "\n".join(f"line {number} of what is wrong" for number in range(1000))
    tell_failure(writer, reason)
    with pytest.raises(StartupError) as told:
        wait_ready(reader, died="it died")
    assert str(told.value) == reason
    os.close(held)
    os.close(reader)


def test_a_process_that_ends_without_a_word_has_died() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(StartupError, match="it died"):
        wait_ready(reader, died="it died")
    os.close(reader)


def test_a_process_that_answers_tells_where() -> None:
    reader, writer = os.pipe()
    tell_ready(writer, "http://127.0.0.1:9000")
    assert wait_ready(reader, died="it died") == "http://127.0.0.1:9000"
    os.close(reader)


@pytest.mark.parametrize(
    ("ending", "told"),
    [("exit 3", "exit code 3"), ("kill -KILL $$", "SIGKILL"), ("kill -RTMIN+1 $$", "signal 35")],
)
def test_how_a_process_ended_is_told_until_it_is_waited_for(ending: str, told: str) -> None:
    process = subprocess.Popen(["bash", "-c", ending])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert describe_end(process.pid) == describe_end(process.pid) == told
    process.wait()
    assert describe_end(process.pid) == "nobody knows how"


def test_a_process_leaves_with_its_code_and_all_that_it_has_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = (
        "import sys\nfrom dsapi.process.forks import leave\n"
        "print('to one')\nprint('to the other', end='', file=sys.stderr)\nleave(3)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (3, "to one\n", "to the other")


def test_nobody_who_waits_is_no_reason_to_fail() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    tell_ready(writer, "http://127.0.0.1:9000")
