"""Callers on the machine itself, who need no key for some things, and who only seems one.

A proxy on the machine asks for others. So does a browser, for any page that is open in it: it sends
a plain POST wherever a page of another site says, and a site may let its own name lead to this
machine (DNS rebinding), whose answers its pages can then even read. Called by `dsapi.web.access`.
"""

import ipaddress
import re
import socket
from typing import Any

_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")
# Fetch standard: from a page of the service itself, or from no page, such as a bookmark.
_OWN_SITE = frozenset({"same-origin", "none"})
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d*)?")


def is_local(environ: dict[str, Any], *, named: str) -> bool:
    """Tell whether a caller is on this machine, and asks for nobody else.

    Args:
        environ: the request's WSGI environment.
        named: the name or address that the service is configured to listen on.
    """
    if any(name in environ for name in _FORWARDED) or _is_of_another_site(environ):
        return False
    host = environ.get("HTTP_HOST", "")
    return _is_of_this_machine(host, named) and bool(environ["dsapi.from_this_machine"]())


def _is_of_another_site(environ: dict[str, Any]) -> bool:
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in _OWN_SITE:
        return True
    origin: str | None = environ.get("HTTP_ORIGIN")
    return origin is not None and origin.partition("://")[2] != environ.get("HTTP_HOST", "")


def _is_of_this_machine(host: str, named: str) -> bool:
    """Tell whether no other site can have made this name lead here; programs may send none."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = found[1] or found[2]
    if name in ("", named.lower(), socket.gethostname().lower()):
        return True
    return name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
