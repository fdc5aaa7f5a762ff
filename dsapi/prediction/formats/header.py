"""What a picture's bytes say about it before a pixel is decoded, and how to decode it then.

Each module of this package reads the headers of one container into a `Header`. Only what decoding
needs reaches a decoder: text, thumbnails, other frames and EXIF are left out, so that nothing in
them can cost time, memory or a warning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

from PIL import Image, ImageFile

from dsapi.errors import RequestError, UnreadableImage
from dsapi.prediction.deadline import Deadline

# Chunks, segments or blocks: photographs have tens, a 20 MB PNG in 8 kB pieces 2,560. Walking this
# many takes 50 to 100 ms.
MAX_PARTS = 65_536
# Profiles of printing presses are up to 3 MB. A larger one is passed over.
MAX_PROFILE_BYTES = 4 * 1024 * 1024


class Pixels(Protocol):
    """Decoded pixels, of which rows can be had as an image: a Pillow image, or `RawPixels`."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    @property
    def mode(self) -> str:
        """Pillow's name of the kind of pixels."""

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """Copy a box of them."""


@dataclass(frozen=True)
class RawPixels:
    """Rows of pixels as a decoder left them, without the copy that a Pillow image would be.

    Attributes:
        data: ``bytes [height, stride]``.
        size: width and height.
        mode: ``L``, ``RGB`` or ``RGBA``, one byte each.
        stride: bytes from one row to the next.
    """

    data: memoryview
    size: tuple[int, int]
    mode: str
    stride: int

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """Copy whole rows into an image."""
        _, top, _, bottom = box
        rows = self.data[top * self.stride : bottom * self.stride]
        size = (self.size[0], bottom - top)
        return Image.frombytes(self.mode, size, rows, "raw", self.mode, self.stride)


# Left, top, right and bottom, in pixels of the full picture as it is stored.
Area = tuple[float, float, float, float]
# Takes the factor (a power of two) by which the picture may be reduced while it is decoded, and
# the deadline; gives it whole, or reduced by that factor or less.
Decode = Callable[[int, Deadline], Pixels]


@dataclass(frozen=True)
class Header:
    """What is known before decoding.

    Attributes:
        format: as callers are told: JPEG, PNG, …
        width: as stored, before it is turned upright.
        height: likewise.
        decode: decodes it.
        coding: names the kind in error messages: ``progressive JPEG``.
        read_part: takes an area, which may reach beyond the picture, and gives the header of as
            little as can be decoded to have it: rows below may be missing, tiles around be black;
            orientation and profile are not said again. Gives ``None`` where that is all of the
            picture, and is ``None`` where it always is.
        orientation: EXIF 2.32, tag 274: 1 to 8.
        profile: the embedded ICC profile, empty if there is none.
        bytes_per_pixel: how much memory its decoder takes beside the reduced picture, measured.
        fixed_bytes: likewise, whatever the size (one tile, one more copy of the file).
        max_pixels: with more, decoding takes over a second; 0: no such limit.
        ns_per_pixel: processor time of a decoder that takes long for each coded byte, so that
            pixels alone do not bound it, measured; 0: `max_pixels` does.
        ns_per_byte: likewise, for each byte of the encoded picture.
        coded_pixels: pixels that the decoder goes over, if more than ``width × height``: of frames
            that are not shown, of tiles that reach past the edge.
        coded_bytes: likewise, if it reads more than the encoded picture has: some twice.
        step_pixels: of those, the most that are decoded before the deadline is looked at again; 0:
            all.
        step_bytes: likewise.
    """

    format: str
    width: int
    height: int
    decode: Decode
    coding: str
    read_part: "Callable[[Area], Header | None] | None" = None
    orientation: int = 1
    profile: bytes = b""
    bytes_per_pixel: float = 4.0
    fixed_bytes: int = 0
    max_pixels: int = 0
    ns_per_pixel: float = 0.0
    ns_per_byte: float = 0.0
    coded_pixels: int = 0
    coded_bytes: int = 0
    step_pixels: int = 0
    step_bytes: int = 0


class DeadlineStream(BytesIO):
    """Bytes for a decoder that reads in pieces: it stops at the deadline, between two of them."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, unless it is too late."""
        self._deadline.check()
        return super().read(size)


def decode_with(
    plugin: Callable[[BytesIO], ImageFile.ImageFile], data: bytes, deadline: Deadline
) -> Image.Image:
    """Decode with one of Pillow's classes.

    The class itself, not `Image.open`: no other decoder sees the bytes, and Pillow's own warning
    about large pictures stays out of it.
    """
    image = plugin(DeadlineStream(data, deadline))
    image.load()
    return image


class Reader:
    """Reads numbers out of bytes; past the end is an unreadable picture, not an IndexError."""

    def __init__(self, data: bytes, what: str, *, byteorder: Any = "big") -> None:
        self.data = data
        self.byteorder = byteorder
        self._what = what
        self._parts = 0

    def number(self, offset: int, size: int) -> int:
        """Read an unsigned integer of `size` bytes."""
        return int.from_bytes(self.bytes(offset, size), self.byteorder)

    def bytes(self, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes."""
        piece = self.data[offset : offset + size]
        if len(piece) < size or offset < 0:
            raise self.unreadable(f"ends within its headers, at byte {len(self.data)}")
        return piece

    def count_part(self, weight: int = 1) -> None:
        """Count a box, a segment, a block or a unit of coded data.

        All of a file count together: a limit for each list of them would bound nothing, as there
        may be as many lists, and some are read again for each item that shares them.

        Args:
            weight: how many times as long as walking past it reading it takes.

        Raises:
            UnreadableImage: there are more than any picture has.
        """
        self._parts += weight
        if self._parts > MAX_PARTS:
            raise self.unreadable(f"has over {MAX_PARTS} parts")

    def unreadable(self, why: str) -> RequestError:
        """Make the error for what was found."""
        return UnreadableImage(f"the {self._what} picture is truncated or corrupt: it {why}")


def read_orientation(exif: bytes) -> int:
    """Find how to turn a picture in its EXIF block; 1 if the block does not say so.

    Only the first directory is read, and only this tag (EXIF 2.32, 4.6.2): nothing else in the
    block can fail.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    byteorder: Any = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if byteorder is None:
        return 1

    def number(offset: int, size: int) -> int:
        return int.from_bytes(exif[offset : offset + size], byteorder)

    start = number(4, 4)
    count = min(number(start, 2), (len(exif) - start) // 12)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if number(entry, 2) == 274:
            orientation = number(entry + 8, 2)
            return orientation if 1 <= orientation <= 8 else 1
    return 1
