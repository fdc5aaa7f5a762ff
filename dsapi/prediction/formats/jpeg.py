"""JPEG (ITU-T T.81): headers by hand, pixels by libjpeg-turbo.

simplejpeg decodes what it can: the same library and the same pixels as Pillow's, a quarter faster,
and built with arithmetic decoding, which Pillow's wheels lack. Pillow decodes the rest: CMYK and
uncommon subsampling.
"""

import math
import re
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from dsapi.errors import TooLarge, UnreadableImage
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats.header import (
    MAX_PROFILE_BYTES,
    Area,
    Header,
    Pixels,
    Reader,
    decode_with,
    read_orientation,
)
from dsapi.prediction.reduction import reduce_size

_START_OF_SCAN, _END = 0xDA, 0xD9
# T.81, table B.1; without DHT (C4), JPG (C8) and DAC (CC), which are no frames.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ARITHMETIC = {*range(0xC9, 0xD0)} - {0xCC}
# Text and the like, and what Pillow would look for further segments in (JPG) …
_LEFT_OUT = {0xC8, *range(0xE0, 0xFF)}
_COLOR_CODING = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}  # … but what says how colors are coded
_END_MARKER = b"\xff\xd9"
_ALONE = {0x01, *range(0xD0, 0xD9)}
# The next segment in entropy-coded data: neither a stuffed zero, a fill byte, nor one of the
# markers that stand alone.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")

# Components to the mode in which simplejpeg decodes them.
_COLORSPACES = {1: "L", 3: "RGBX"}
# Each scan of a progressive picture goes over all of it: 25 to 90 ms for 50 megapixels.
MAX_SCANNED_PIXELS = 400_000_000
# Ten are usual. However small the picture, each takes some microseconds.
_MAX_SCANS = 1000
# Measured on a busy core: progressive 13 ms a megapixel, arithmetic 80, baseline 4.
MAX_SLOW_PIXELS = 25_000_000
_MAX_ARITHMETIC_PIXELS = 12_500_000


@dataclass(frozen=True)
class _Frame:
    """The frame header (T.81, B.2.2): what is coded, and how."""

    marker: int
    bits: int
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]

    @property
    def slow(self) -> bool:
        return self.marker in _PROGRESSIVE or self.marker in _ARITHMETIC

    @property
    def unit_rows(self) -> int:
        """Rows of pixels that are coded together (T.81, A.2)."""
        return 8 * max(vertical for _, vertical in self.sampling)

    @property
    def coefficient_bytes(self) -> float:
        """Two bytes for each of a pixel's coefficients."""
        across = max(horizontal for horizontal, _ in self.sampling)
        return 2 * sum(h * v for h, v in self.sampling) / (across * self.unit_rows / 8)


@dataclass
class _Segments:
    """What was found before the first scan."""

    frame: _Frame | None = None
    exif: bytes = b""
    profile: list[bytes] = field(default_factory=list)
    # What decoding needs: tables, the frame, and how the colors are coded (JFIF, Adobe).
    kept: list[bytes] = field(default_factory=list)
    scan: int = 0
    scan_components: int = 0


def read_header(data: bytes) -> Header:
    """Read the segments up to the first scan.

    Raises:
        UnreadableImage: they are malformed or end early.
        TooLarge: more scans than can be decoded in a second.
    """
    reader = Reader(data, "JPEG")
    segments = _read_segments(reader)
    frame = segments.frame
    if frame is None or not frame.sampling:
        raise reader.unreadable("has no frame header")
    if frame.bits != 8 or frame.marker == 0xC3:
        raise reader.unreadable(f"has {frame.bits} bits a sample or is lossless: 8 can be read")
    whole = frame.slow or segments.scan_components < len(frame.sampling)
    if whole:
        _check_scans(reader, segments.scan, frame)
    coding, max_pixels = ("progressive JPEG", MAX_SLOW_PIXELS) if whole else ("JPEG", 0)
    if frame.marker in _ARITHMETIC:
        coding, max_pixels = "arithmetic JPEG", _MAX_ARITHMETIC_PIXELS
    profile = b"".join(segments.profile)
    segments.profile.clear()  # it would stay until the picture is decoded
    return Header(
        "JPEG",
        frame.width,
        frame.height,
        decode=lambda factor, deadline: _decode(data, segments, frame, factor, deadline),
        coding=coding,
        read_part=None if whole else lambda area: _read_top(data, segments, frame, area),
        orientation=read_orientation(segments.exif),
        profile=profile if len(profile) <= MAX_PROFILE_BYTES else b"",
        bytes_per_pixel=frame.coefficient_bytes if whole else 0,
        # A copy of the file without the rest, and what is kept of the segments twice.
        fixed_bytes=len(data) + len(profile) + 2 * sum(map(len, segments.kept)),
        max_pixels=max_pixels,
    )


def _read_top(data: bytes, segments: _Segments, frame: _Frame, area: Area) -> Header | None:
    """Read the header of the rows above an area's end: by the height a decoder knows where to end.

    In one scan rows are coded from top to bottom; what is left is skipped to the end marker.
    """
    # The last rows of colors are smoothed with those below.
    rows = (math.ceil(max(1, area[3]) / frame.unit_rows) + 1) * frame.unit_rows
    # Whether a picture is complete is seen by its last rows if it has no end marker.
    if rows >= frame.height or not _has_end(data, segments):
        return None
    height = rows.to_bytes(2, "big")
    kept = [old[:5] + height + old[7:] if old[1] == frame.marker else old for old in segments.kept]
    return read_header(_clean(data, segments.scan, kept))


def _read_segments(reader: Reader) -> _Segments:
    segments = _Segments()
    offset = 2
    while True:
        reader.count_part()
        if reader.number(offset, 1) != 0xFF:
            # Decoders skip what is between two segments.
            offset = reader.data.find(b"\xff", offset)
            if offset < 0:
                break
        marker = reader.number(offset + 1, 1)
        if marker == 0xFF:
            offset += 1
        elif marker in _ALONE or marker == 0:
            offset += 2
        elif marker == _END:
            break
        else:
            length = reader.number(offset + 2, 2)
            content = reader.bytes(offset + 4, length - 2) if length >= 2 else b""
            if marker == _START_OF_SCAN:
                segments.scan = offset
                segments.scan_components = content[0] if content else 0
                return segments
            _take(segments, marker, content, reader)
            offset += 2 + max(length, 2)
    raise reader.unreadable("has no scan")


def _take(segments: _Segments, marker: int, content: bytes, reader: Reader) -> None:
    """Keep what a segment says."""
    if marker in _FRAMES and segments.frame is None:
        segments.frame = _read_frame(marker, content, reader)
    if marker == 0xE1 and content.startswith(b"Exif\0\0") and not segments.exif:
        segments.exif = content
    elif marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
        # ICC.1, annex B.4: 12 bytes of name, number and count of the piece.
        segments.profile.append(content[14:])
    elif marker not in _LEFT_OUT or content[:5] == _COLOR_CODING.get(marker):
        segments.kept.append(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content)


def _read_frame(marker: int, content: bytes, reader: Reader) -> _Frame:
    if len(content) < 6 or len(content) < 6 + 3 * content[5]:
        raise reader.unreadable("has a malformed frame header")
    sampling = tuple((each >> 4, each & 15) for each in content[7 : 6 + 3 * content[5] : 3])
    if not all(1 <= h <= 4 and 1 <= v <= 4 for h, v in sampling):
        raise reader.unreadable("has sampling factors outside 1 to 4")
    height, width = (int.from_bytes(content[at : at + 2], "big") for at in (1, 3))
    return _Frame(marker, content[0], width, height, sampling)


def _check_scans(reader: Reader, offset: int, frame: _Frame) -> None:
    """Refuse a picture whose scans together go over too many pixels."""
    limit = max(1, min(_MAX_SCANS, MAX_SCANNED_PIXELS // max(1, frame.width * frame.height)))
    if count_scans(reader, reader.data, offset=offset, limit=limit)[0] > limit:
        raise TooLarge(
            f"the JPEG picture has over {limit} scans, the limit for "
            f"{frame.width} × {frame.height} pixels"
        )


def count_scans(
    reader: Reader, data: bytes, *, offset: int, limit: int = _MAX_SCANS
) -> tuple[int, int]:
    """Count the scans from an offset on, which a marker is at.

    Args:
        reader: of the file, which counts the segments.
        data: of the JPEG.
        offset: within it.
        limit: where to stop.

    Returns:
        The scans, `limit` + 1 if there are more; the pixels of the largest frame header among them.

    Raises:
        UnreadableImage: there are too many segments.
    """
    scans = pixels = 0
    while scans <= limit and (match := _MARKER.search(data, offset)):
        reader.count_part()
        at = match.start() + 2
        marker = data[at - 1]
        if marker == _END:
            break
        scans += marker == _START_OF_SCAN
        length, height, width = (
            int.from_bytes(data[at + start : at + start + 2], "big") for start in (0, 3, 5)
        )
        if marker in _FRAMES:
            pixels = max(pixels, width * height)
        offset = at + max(length, 2)
    return scans, pixels


def _decode(
    data: bytes, segments: _Segments, frame: _Frame, factor: int, deadline: Deadline
) -> Pixels:
    """Decode, at up to 1/8 of the size directly in the decoder."""
    ends = _has_end(data, segments)
    if frame.marker in _ARITHMETIC and not ends:
        raise UnreadableImage("the JPEG picture is truncated: it has no end marker")
    if len(frame.sampling) in _COLORSPACES:
        with suppress(ValueError):  # subsampling that it has no name for, or corrupt: Pillow tells
            return _decode_fast(data, frame, factor=min(factor, 8), ends=ends)
    return _decode_cleaned(data, segments, factor, deadline=deadline)


def _has_end(data: bytes, segments: _Segments) -> bool:
    # From the end, where it is: through all of a picture takes 1 ms a megabyte, with the lock held.
    return data.rfind(_END_MARKER, segments.scan) >= 0


def _decode_fast(data: bytes, frame: _Frame, *, factor: int, ends: bool) -> Pixels:
    mode = _COLORSPACES[len(frame.sampling)]
    width, height = reduce_size((frame.width, frame.height), factor)
    pixels = np.empty((height, width, len(mode)), np.uint8)
    # simplejpeg takes an error after a warning for another warning, and leaves the pixels as they
    # were in memory (libjpeg-turbo 3.1: `tj3GetErrorCode`). The unused byte is written as 255.
    pixels[-1, -1, -1] = 0
    # Small damage is shown, as by every viewer. But without an end marker only a picture to which
    # nothing else is wrong is complete; any other is truncated. (Arithmetic decoding cannot tell.)
    decoded = simplejpeg.decode_jpeg(
        data if ends else data + _END_MARKER,
        {"L": "GRAY"}.get(mode, mode),
        min_height=height,
        min_width=width,
        buffer=pixels,
        strict=mode == "L" or not ends,
    )
    if decoded.shape != pixels.shape or (mode == "RGBX" and pixels[-1, -1, -1] != 255):
        raise ValueError("not all of it was decoded")
    # RGBX is how Pillow stores RGB: the array becomes an image without a copy.
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


def _decode_cleaned(data: bytes, segments: _Segments, factor: int, *, deadline: Deadline) -> Pixels:
    def plugin(stream: BytesIO) -> JpegImageFile:
        image = JpegImageFile(stream)
        width, height = image.size
        image.draft(None, (max(1, width // factor), max(1, height // factor)))
        return image

    return decode_with(plugin, _clean(data, segments.scan, segments.kept), deadline)


def _clean(data: bytes, scan: int, kept: list[bytes]) -> bytes:
    """Put the kept segments before the scans, unless nothing else is there."""
    start = b"".join((b"\xff\xd8", *kept))
    return data if data[:scan] == start else start + memoryview(data)[scan:]
