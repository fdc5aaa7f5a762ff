"""What is said of an address that cannot be listened on."""

import errno
import os
import socket
from pathlib import Path

import pytest

from dsapi.errors import StartupError
from dsapi.process.ports import cannot_listen, check_port, reserve_port


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


def test_a_port_that_another_program_would_share_is_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken,
        pytest.raises(StartupError, match="stop what uses it, or choose another"),
    ):
        reserve_port(*taken.getsockname())


def test_a_port_on_which_a_connection_has_just_ended_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as caller:
            listener.accept()[0].close()  # first, so that it is this side which lingers
            assert caller.recv(1) == b""
    reserve_port(*address).close()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="a machine without IPv6")
def test_an_address_with_colons_is_one_of_ipv6() -> None:
    with reserve_port("::1", 0) as holder:
        assert holder.getsockname()[0] == "::1"
        check_port("::1", holder.getsockname()[1])  # held, and not listened on


def test_a_port_that_needs_a_permission_is_said_to() -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    told = str(cannot_listen("127.0.0.1", 80, error=denied))
    assert told.startswith("cannot listen on 127.0.0.1:80: Permission denied; choose another port")
    assert "below 1024" in told
