"""Heads: the lines of a request before its body, in; header names and values, out.

cheroot's own reader takes what two servers may understand differently, such as two lengths of one
body. Used by `dsapi.web.protocol`, and by `dsapi.web.http_server` for what it refuses.
"""

import re
from typing import Any

from dsapi.errors import quote

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, section 5.5: servers that read these in a value differently can be deceived.
_FORBIDDEN = re.compile(rb"[\0\r\n]")
# Of these a second one would change what the request is.
_ONCE = (b"Content-Length", b"Transfer-Encoding", b"Host")
_MAX_LENGTH_DIGITS = 18


def read_head(rfile: Any, hdict: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Read a request's headers until the empty line, as strictly as RFC 9112 permits.

    Two servers that read a head differently can be made to see different requests in it. Names
    with underscores are dropped, as WSGI could not tell them from those with hyphens.

    Raises:
        ValueError: a line is malformed, or the body's length is invalid or ambiguous.
    """
    while (line := rfile.readline()) != b"\r\n":
        name, colon, value = line.partition(b":")
        if not (colon and line.endswith(b"\r\n") and _TOKEN.fullmatch(name)):
            raise ValueError("a header line is malformed or cut short")
        if _FORBIDDEN.search(value, 0, len(value) - len(b"\r\n")):
            raise ValueError("a header's value has a zero byte or a line break in it")
        if b"_" in name:
            continue
        name, value = name.title(), value.strip()
        if name in _ONCE and name in hdict:
            raise ValueError(f"{name.decode()} came twice")
        # RFC 9110, section 5.3: lines of one name are one list.
        hdict[name] = hdict[name] + b", " + value if name in hdict else value
    length = hdict.get(b"Content-Length")
    if length is not None and not (length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS):
        shown = quote(length.decode("latin-1"))
        raise ValueError(f"Content-Length must be a number of bytes, got {shown}")
    coding = hdict.get(b"Transfer-Encoding")
    if length is not None and coding is not None:
        raise ValueError("Content-Length and Transfer-Encoding came both")
    # cheroot passes over an empty one and over "chunked" twice, which another server may not.
    if coding is not None and coding.lower() != b"chunked":
        shown = quote(coding.decode("latin-1"))
        raise ValueError(f"Transfer-Encoding must be chunked, got {shown}")
    _spell_options(hdict)
    return hdict


def _spell_options(headers: dict[bytes, bytes]) -> None:
    """Write in the one spelling that cheroot knows what RFC 9110 permits in any (7.6.1, 10.1.1)."""
    if connection := headers.get(b"Connection"):
        options = {option.strip().lower() for option in connection.split(b",")}
        if b"close" in options:
            headers[b"Connection"] = b"close"
        elif b"keep-alive" in options:
            headers[b"Connection"] = b"Keep-Alive"
    if expected := headers.get(b"Expect"):
        headers[b"Expect"] = expected.lower()


def find_header(head: bytes, name: bytes) -> str:
    """Find a header in the beginning of a request that is not read, empty if it is not there.

    A line that is not there to its end counts for nothing, nor does what looks like a header in
    the body. Several are one list, as `read_head` reads them.
    """
    # Nothing in the pattern can be matched in two ways: it would be tried in all of them, in the
    # one thread that accepts callers.
    pattern = rb"\r\n%b:([^\r\n]*)(?=\r\n)" % re.escape(name)
    end = head.find(b"\r\n\r\n")
    lines = head if end < 0 else head[: end + len(b"\r\n")]
    found = re.findall(pattern, lines, re.IGNORECASE)
    return b", ".join(value.strip() for value in found).decode("latin-1")
