"""What the service manager is told, and that nobody suffers where it cannot be."""

import os
import socket
from pathlib import Path

import pytest

from dsapi.process.notify import leave_to_parent, notify


def test_a_manager_with_an_abstract_socket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"dsapi-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
        leave_to_parent()
        notify("STOPPING=1")
        manager.settimeout(0)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_a_manager_that_has_gone_is_logged_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
    assert "cannot be told READY=1: [Errno 2]" in caplog.text
