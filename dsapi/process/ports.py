"""Ports: whether one can be listened on, and how several processes share it."""

import errno
import socket

from dsapi.errors import StartupError

_UNKNOWN = "choose a host whose name is known, or an address of this machine"
_HINTS = {
    socket.EAI_NONAME: _UNKNOWN,
    socket.EAI_AGAIN: _UNKNOWN,
    errno.EADDRINUSE: "stop what uses it, or choose another host or port",
    errno.EADDRNOTAVAIL: "choose a host that is an address of this machine",
    errno.EACCES: "choose another port: those below 1024 need a permission (CAP_NET_BIND_SERVICE)",
}


def check_port(host: str, port: int) -> None:
    """Fail before seconds of loading if the port is taken.

    Raises:
        StartupError: it is, or the address is not this machine's.
    """
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        raise cannot_listen(host, port, error=error) from error


def cannot_listen(host: str, port: int, *, error: OSError) -> StartupError:
    """Make the error that says so."""
    hint = _HINTS.get(error.errno or 0, "choose another host or port")
    return StartupError(f"cannot listen on {host}:{port}: {error.strerror or error}; {hint}")


def reserve_port(host: str, port: int) -> socket.socket:
    """Hold a port without listening on it, so that processes may share it (``SO_REUSEPORT``).

    Returns:
        The bound socket, which tells the number if `port` is 0.

    Raises:
        StartupError: another program uses it, or the address is not this machine's.
    """
    check_port(host, port)
    holder = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError as error:
        holder.close()
        raise cannot_listen(host, port, error=error) from error
    return holder


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
