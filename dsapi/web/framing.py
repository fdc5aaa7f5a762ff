"""Framing: where a request's body ends, by an announced length or by chunks (RFC 9112).

Reads are short: they give what is there, so that `dsapi.web.bodies` can count bytes and time.
cheroot's own reads wait for all that was asked, and read whole chunks whatever their size.
Made by `dsapi.web.protocol`.
"""

import re
from typing import Protocol

_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;[^\r\n]*)?\r\n")
# A field (RFC 9112, section 5) to the end of its line: the rest of one that was cut, or what
# another server takes for the empty line, would shift where the next request begins.
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\0\r\n]*\r\n")
_MAX_LINE_BYTES = 4096
_MAX_TRAILERS = 32


class _Reader(Protocol):
    def read1(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


class LengthBody:
    """A body of an announced length; possibly of none."""

    def __init__(self, reader: _Reader, length: int) -> None:
        self._reader = reader
        self._left = length

    @property
    def exhausted(self) -> bool:
        """Whether all of it was read."""
        return self._left == 0

    def read(self, size: int) -> bytes:
        """Read what is there, at most `size` bytes; none at the end or if the caller hung up."""
        if self._left == 0:
            return b""
        piece = self._reader.read1(min(size, self._left))
        self._left -= len(piece)
        return piece


class ChunkedBody:
    """A body in chunks."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        self._left = 0
        self._begun = False
        self.exhausted = False

    def read(self, size: int) -> bytes:
        """Read what is there, at most `size` bytes; none at the end.

        Raises:
            ValueError: the chunks are malformed, or the body ends within one.
        """
        if self.exhausted:
            return b""
        if self._left == 0:
            self._next_chunk()
            if self.exhausted:
                return b""
        piece = self._reader.read1(min(size, self._left))
        if not piece:
            raise ValueError("the body ends within a chunk")
        self._left -= len(piece)
        return piece

    def _next_chunk(self) -> None:
        """Read the line before a chunk, and what follows the last one."""
        if self._begun and self._line() != b"\r\n":
            raise ValueError("a chunk is longer than it says")
        self._begun = True
        head = _CHUNK_HEAD.fullmatch(self._line())
        if head is None:
            raise ValueError("a chunk has no size")
        self._left = int(head[1], 16)
        if self._left == 0:
            for _ in range(_MAX_TRAILERS):
                if (line := self._line()) == b"\r\n":
                    self.exhausted = True
                    return
                if not _TRAILER.fullmatch(line):
                    raise ValueError("a trailer is malformed or too long")
            raise ValueError("too many trailers")

    def _line(self) -> bytes:
        return self._reader.readline(_MAX_LINE_BYTES)
