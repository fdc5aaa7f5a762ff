"""A graph that hangs for good: the process ends, so that whoever watches over it starts another."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from dsapi.process.ports import check_port
from tests.graphs import freeze_hanging
from tests.installation import Installation
from tests.pictures import GREEN, RED, encode, plain
from tests.waiting import eventually


def test_a_process_whose_workers_hang_for_good_ends_with_a_failure(
    tmp_path: Path, tiny_config: Path
) -> None:
    installed = Installation(tmp_path, tiny_config)
    freeze_hanging(tmp_path / "hanging.pb")
    installed.change(
        "[global]", "[global]\nworker_stall_timeout = 0.2\nshutdown_timeout = 2.0\nqueue_size = 64"
    )
    installed.change("request_timeout = 20.0", "request_timeout = 0.3")
    installed.change(f"{tiny_config.parent / 'models/themes.pb'}", f"{tmp_path / 'hanging.pb'}")
    command = [sys.executable, "-m", "dsapi", "serve", "--config", str(installed.config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(installed.is_ready, patience_s=60)
        green, red = encode(plain(GREEN)), encode(plain(RED))
        # So short a time is over now and then where others use the cores, too.
        assert eventually(lambda: installed.ask("POST", "/v1/predictions", green)[0] == 200)

        def has_ended() -> bool:
            with suppress(OSError):
                installed.ask("POST", "/v1/predictions", red)
            return process.poll() is not None

        assert eventually(has_ended, patience_s=60)
        told = process.stderr.read() if process.stderr else ""
    assert process.returncode == 1
    assert "is replaced" in told
    assert "dsapi: too many prediction workers hang" in told
    check_port("127.0.0.1", installed.port)


def test_a_process_leaves_although_a_reload_hangs_in_its_new_graph(
    tmp_path: Path, tiny_config: Path
) -> None:
    installed = Installation(tmp_path, tiny_config)
    freeze_hanging(tmp_path / "hanging.pb", on_any=True)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "dsapi", "serve", "--config", str(installed.config)]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            assert eventually(installed.is_ready, patience_s=60)
            installed.change(f"{tiny_config.parent / 'models/themes.pb'}", f"{tmp_path}/hanging.pb")
            process.send_signal(signal.SIGHUP)
            assert eventually(lambda: log.read_text().count("loaded colors") == 2, patience_s=60)
            assert installed.predict() == "green"
            process.terminate()
            assert eventually(lambda: process.poll() is not None)
        finally:
            process.kill()
    assert process.returncode == 0
