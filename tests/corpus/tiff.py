"""A TIFF writer for what Pillow does not write: tiles, planes, any tag."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_SHORT, _LONG = 3, 4


def write_tiff(
    tags: Mapping[int, Sequence[int]], pieces: Sequence[bytes], *, tiled: bool = False
) -> bytes:
    """Write a little-endian TIFF of uncompressed strips or tiles, with the tags given as longs."""
    offsets_tag, counts_tag = (324, 325) if tiled else (273, 279)
    body, offsets = b"", []
    for piece in pieces:
        offsets.append(8 + len(body))
        body += piece
    every = {**tags, offsets_tag: offsets, counts_tag: [len(piece) for piece in pieces]}
    start = 8 + len(body)
    directory = struct.pack("<H", len(every))
    values_at = start + 2 + 12 * len(every) + 4
    values = b""
    for tag, numbers in sorted(every.items()):
        kind, size = (_SHORT, 2) if max(numbers) < 1 << 16 else (_LONG, 4)
        packed = struct.pack(f"<{len(numbers)}{'H' if size == 2 else 'I'}", *numbers)
        if len(packed) > 4:
            directory += struct.pack("<HHII", tag, kind, len(numbers), values_at + len(values))
            values += packed
        else:
            directory += struct.pack("<HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    return struct.pack("<2sHI", b"II", 42, start) + body + directory + bytes(4) + values


def write_rgb_tiles(pixels: NDArray[np.uint8], side: int) -> bytes:
    """Write ``uint8 [height, width, 3]`` in square tiles, padded at the right and the bottom."""
    height, width, _ = pixels.shape
    padded = np.pad(pixels, ((0, -height % side), (0, -width % side), (0, 0)))
    tiles = [
        padded[top : top + side, left : left + side].tobytes()
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    return write_tiff(
        {**rgb_tags(width, height), 322: [side], 323: [side]},
        tiles,
        tiled=True,
    )


def write_rgb_planes(pixels: NDArray[np.uint8]) -> bytes:
    """Write ``uint8 [height, width, 3]`` as three planes."""
    height, width, _ = pixels.shape
    planes = [np.ascontiguousarray(pixels[:, :, band]).tobytes() for band in range(3)]
    return write_tiff({**rgb_tags(width, height), 278: [height], 284: [2]}, planes)


def rgb_tags(width: int, height: int) -> dict[int, list[int]]:
    """The tags of an uncompressed RGB picture."""
    return {256: [width], 257: [height], 258: [8, 8, 8], 259: [1], 262: [2], 277: [3]}
