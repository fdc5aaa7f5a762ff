"""What a start would refuse is found by a check, before anything is loaded or stopped."""

import subprocess
import sys
from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.process.checks import check_start
from dsapi.settings import load_settings


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("log/access.log", None),
        ("log/access.log", "none/there"),  # into a folder that nobody makes
        ("run/dsapi.pid", None),
        ("run/dsapi.pid", "other"),  # to a file that is there, and about to be emptied
    ],
)
def test_a_file_that_a_daemon_could_not_write_is_named(
    tmp_path: Path, tiny_config: Path, name: str, link: str | None
) -> None:
    changes = {"log_dir": tmp_path / "log", "pid_file": tmp_path / "run/dsapi.pid"}
    settings = load_settings(tiny_config).model_copy(update=changes)
    file = tmp_path / name
    (tmp_path / "other").touch()
    if link is None:
        file.mkdir(parents=True)
    else:
        file.parent.mkdir()
        file.symlink_to(tmp_path / link)
    with pytest.raises(StartupError, match=f"cannot write the [a-zA-Z ]+ {file}: "):
        check_start(settings)


_ENDING = """
import os, signal, sys
from pathlib import Path
from dsapi.errors import StartupError
from dsapi.process.checks import check_restart
from dsapi.settings import load_settings
os.register_at_fork(after_in_child=lambda: signal.setitimer(signal.ITIMER_REAL, 0.01))
try:
    check_restart(load_settings(Path(sys.argv[1])))
except StartupError as error:
    print(error)
"""


def test_models_that_end_the_process_which_loads_them_are_no_restart(tiny_config: Path) -> None:
    command = [sys.executable, "-c", _ENDING, str(tiny_config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "loading the models ended the process; try: dsapi check\n"
