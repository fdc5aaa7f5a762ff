"""Ports: whether one can be listened on, and how several processes share it."""

import socket

from dsapi.errors import StartupError


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
    return StartupError(
        f"cannot listen on {host}:{port}: {error.strerror or error}; "
        "stop what uses it, or choose another host or port"
    )


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
