"""A PNG writer for what Pillow does not write: 16 bits, interlacing, any chunk anywhere."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG, 8.2: the first column and row of each pass, and its steps.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Write a chunk with its length and its sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", _sum(kind, content))


def _sum(kind: bytes, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(kind))


def header(
    width: int, height: int, *, bits: int = 8, color: int = 2, interlaced: bool = False
) -> bytes:
    """Write an IHDR chunk; color 0 is gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced))


def write_png(
    pixels: NDArray[np.uint8 | np.uint16],
    *,
    interlaced: bool = False,
    extra: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Write ``[height, width, samples]`` of 8 or 16 bits; `extra` chunks come before the pixels."""
    height, width, samples = pixels.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    big = pixels.astype(pixels.dtype.newbyteorder(">"))
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in passes
        for row in big[top::down, left::across]
        if row.size
    )
    return b"".join(
        (
            SIGNATURE,
            header(width, height, bits=8 * pixels.itemsize, color=color, interlaced=interlaced),
            extra,
            chunk(b"IDAT", zlib.compress(rows, 1)),
            after,
            chunk(b"IEND"),
        )
    )
