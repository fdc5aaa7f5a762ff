"""What is said of an address that cannot be listened on."""

import errno
import os
import socket

import pytest

from dsapi.errors import StartupError
from dsapi.process.ports import cannot_listen, check_port


def test_each_reason_has_its_own_advice() -> None:
    with pytest.raises(StartupError, match="choose a host whose name is known"):
        check_port("no.such.host.invalid", 9000)
    with pytest.raises(StartupError, match="choose a host that is an address of this machine"):
        check_port("192.0.2.1", 9000)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StartupError, match="stop what uses it, or choose another"),
    ):
        check_port(*taken.getsockname())


def test_a_port_that_needs_a_permission_is_said_to() -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    told = str(cannot_listen("127.0.0.1", 80, error=denied))
    assert told.startswith("cannot listen on 127.0.0.1:80: Permission denied; choose another port")
    assert "below 1024" in told
