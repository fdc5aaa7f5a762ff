"""Notifications for the service manager: what systemd calls ``sd_notify``.

The protocol is one datagram to the socket named in ``NOTIFY_SOCKET``; see sd_notify(3).
"""

import logging
import os
import socket

_LOGGER = logging.getLogger(__name__)
_VARIABLE = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Tell the service manager a state, ``READY=1`` or ``STOPPING=1``, if there is one."""
    if not (address := os.environ.get(_VARIABLE)):
        return
    if address.startswith("@"):
        # An abstract socket's name begins with a zero byte.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address)
    except OSError as error:
        _LOGGER.warning("the service manager cannot be told %s: %s", state, error)


def leave_to_parent() -> None:
    """Send no notifications from this process: its parent speaks for the whole service."""
    os.environ.pop(_VARIABLE, None)
