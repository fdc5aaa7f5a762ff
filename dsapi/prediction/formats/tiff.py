"""TIFF 6.0 and BigTIFF: the first page with the tags that show it; pixels by Pillow and libtiff.

The file gets a new directory that holds only these tags, each checked to lie within the file.
"""

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from PIL.TiffTags import lookup

from dsapi.errors import TooLarge
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats.header import MAX_PROFILE_BYTES, Header, Reader, decode_with
from dsapi.prediction.formats.jpeg import MAX_SCANNED_PIXELS, MAX_SLOW_PIXELS, count_scans

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_STRIP_OFFSETS, _ROWS_PER_STRIP, _ORIENTATION, _PLANES = 273, 278, 274, 284
_STRIP_BYTES, _TILE_BYTES = 279, 325
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _PROFILE = 322, 323, 324, 34675
# Layout, color and compression (TIFF 6.0, and its supplements for JPEG).
_KEPT = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, 262, 266, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP),
    *(_STRIP_BYTES, _PLANES, 292, 293, 317, 320, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS),
    *(_TILE_BYTES, 332, 338, 339),
    *(347, *range(512, 522), 529, 530, 531, 532),
}
# TIFF 6.0, section 2, and BigTIFF: bytes of each type.
_TYPE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
    16: 8, 17: 8, 18: 8,
}  # fmt: skip
# What TIFF 6.0 has, and what BigTIFF has in 8 bytes instead.
_LONG, _LONG8S = 4, {16, 17, 18}
# Bytes, text, anything: one value, however long.
_TEXTS = {1, 2, 7}
_NONE, _OLD_JPEG, _JPEG, _LZMA = 1, 6, 7, 34925
_SEPARATE = 2
_MAX_LZMA_PIXELS = 20_000_000
# However small a strip of JPEG is, each of its scans takes as long as this many pixels.
_MIN_SCANNED_PIXELS = 4096
# Strips of equal content may share it.
_MAX_SHARED_BYTES = 1024 * 1024
# Of a tag: Pillow makes a number of Python of each, and a strip or tile costs up to 30 µs. A strip
# for each row is common: 12,000 rows are a large scan.
_MAX_VALUES = 16_384
_MAX_DIRECTORY = 1024
# CMYK and two more are the most that Pillow takes.
_MAX_SAMPLES = 6


@dataclass(frozen=True)
class _Tag:
    """A directory entry: its own bytes, and where its values lie."""

    entry: bytes
    offset: int
    size: int
    count: int


def read_header(data: bytes) -> Header:
    """Read the first directory.

    Raises:
        UnreadableImage: malformed, or a tag's values lie outside the file.
        TooLarge: over 16,384 strips, tiles or values of a tag, or too many scans.
    """
    byteorder: Any = "little" if data[:2] == b"II" else "big"
    reader = Reader(data, "TIFF", byteorder=byteorder)
    big = reader.number(2, 2) == 43
    tags = _read_directory(reader, big=big)
    _check_counts(tags)
    first = {number: reader.number(tag.offset, tag.size) for number, tag in tags.items()}
    width, height = first.get(_WIDTH, 0), first.get(_HEIGHT, 0)
    samples, compression = first.get(_SAMPLES, 1), first.get(_COMPRESSION, 1)
    if samples > _MAX_SAMPLES:
        raise reader.unreadable(f"has {samples} samples a pixel, over {_MAX_SAMPLES}")
    sample_bytes = samples * -(-max(first.get(_BITS, 1), 8) // 8)
    rows = min(first.get(_ROWS_PER_STRIP, height), height)
    across, down = first.get(_TILE_WIDTH, width), first.get(_TILE_HEIGHT, rows)
    tile, tiles = across * down, -(-width // max(1, across)) * -(-height // max(1, down))
    if compression != _NONE:
        _check_lengths(reader, tags)
    coding, max_pixels, tile_bytes = "TIFF", 0, max(4, sample_bytes)
    if compression == _LZMA:
        coding, max_pixels = "LZMA-compressed TIFF", _MAX_LZMA_PIXELS
    elif compression in (_OLD_JPEG, _JPEG) and _has_scans(reader, tags, tile):
        # Its coefficients, too, are kept until the last scan.
        coding, max_pixels, tile_bytes = "TIFF of progressive JPEG", MAX_SLOW_PIXELS, 10
    cleaned = _write(reader, tags, big=big)

    def decode(_: int, deadline: Deadline) -> Image.Image:
        if compression == _NONE:
            _check_ends(reader, tags, first, rows=rows)
        _silence_libtiff()
        return decode_with(TiffImageFile, cleaned, deadline)

    orientation = first.get(_ORIENTATION, 1)
    return Header(
        "TIFF",
        width,
        height,
        decode=decode,
        coding=coding,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        profile=_read_profile(reader, tags),
        bytes_per_pixel=min(sample_bytes, 4) if samples == 1 else 4,
        fixed_bytes=len(cleaned) + tile * tile_bytes,
        max_pixels=max_pixels,
        # Of tiles what reaches past the edges is decoded, too; strips end with the picture.
        coded_pixels=tile * tiles if _TILE_WIDTH in tags else 0,
    )


def _read_profile(reader: Reader, tags: dict[int, _Tag]) -> bytes:
    """Read the color profile; cut short it is damaged, and shown without."""
    if (tag := tags.get(_PROFILE)) is None:
        return b""
    return reader.data[tag.offset : tag.offset + tag.size * tag.count]


def _has_scans(reader: Reader, tags: dict[int, _Tag], tile_pixels: int) -> bool:
    """Whether any strip or tile of JPEG has several scans.

    Raises:
        TooLarge: all scans together go over too many pixels.
    """
    scanned_pixels = most = 0
    for start, length in zip(*_read_places(reader, tags), strict=False):
        # Behind the first marker, which stands alone.
        scans, pixels = count_scans(reader, reader.data[start : start + length], offset=2)
        most = max(most, scans)
        scanned_pixels += scans * max(pixels, tile_pixels, _MIN_SCANNED_PIXELS)
        if scanned_pixels > MAX_SCANNED_PIXELS:
            raise TooLarge(
                f"the TIFF picture has JPEG scans of over {MAX_SCANNED_PIXELS} pixels, the limit"
            )
    return most > 1


def _check_lengths(reader: Reader, tags: dict[int, _Tag]) -> None:
    """See that strips or tiles do not share data, each of which libtiff may turn bit by bit.

    Raises:
        UnreadableImage: they share more than equal ones would.
    """
    lengths = [tags[number] for number in (_STRIP_BYTES, _TILE_BYTES) if number in tags]
    most = 2 * len(reader.data) + _MAX_SHARED_BYTES
    if sum(sum(_read_numbers(reader, tag)) for tag in lengths) > most:
        raise reader.unreadable("has strips or tiles of the same data")


def _check_ends(reader: Reader, tags: dict[int, _Tag], first: dict[int, int], *, rows: int) -> None:
    """See that strips or tiles of plain samples end within the file.

    What is missing would be read from the directory that is written behind it.

    Raises:
        UnreadableImage: one does not.
    """
    width, height = first[_WIDTH], first[_HEIGHT]
    places, across = tags.get(_STRIP_OFFSETS), width
    if places is None:
        places, across, rows = tags[_TILE_OFFSETS], first[_TILE_WIDTH], first[_TILE_HEIGHT]
    together = 1 if first.get(_PLANES, 1) == _SEPARATE else first.get(_SAMPLES, 1)
    row_bytes = -(-across * first.get(_BITS, 1) * together // 8)
    columns, lines = -(-width // max(1, across)), -(-height // max(1, rows))
    for index, start in enumerate(_read_numbers(reader, places)):
        lowest = index // columns % lines == lines - 1
        length = row_bytes * (height - rows * (lines - 1) if lowest else rows)
        if start + length > len(reader.data):
            raise reader.unreadable("is truncated")


def _read_places(reader: Reader, tags: dict[int, _Tag]) -> list[list[int]]:
    """Read where the strips or tiles start, and how long they are."""
    tiled = _TILE_OFFSETS in tags
    numbers = (_TILE_OFFSETS, _TILE_BYTES) if tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
    return [_read_numbers(reader, tags[number]) for number in numbers if number in tags]


def _read_numbers(reader: Reader, tag: _Tag) -> list[int]:
    return [reader.number(tag.offset + tag.size * index, tag.size) for index in range(tag.count)]


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing what it finds wrong with a file to the standard error.

    Pillow leaves libtiff's default handlers in place and has no setting for them. The library that
    it has loaded is found among the files that this process has mapped (Linux); elsewhere the
    messages stay.
    """
    maps = Path("/proc/self/maps")
    found = re.search(r"(/\S*libtiff\S*)$", maps.read_text(), re.M) if maps.exists() else None
    if found is not None:
        library = ctypes.CDLL(found[1])
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


def _read_directory(reader: Reader, *, big: bool) -> dict[int, _Tag]:
    """Read the tags that matter from the first directory."""
    word, count_bytes, entry_bytes = (8, 8, 20) if big else (4, 2, 12)
    start = reader.number(8 if big else 4, word)
    count = reader.number(start, count_bytes)
    if count > _MAX_DIRECTORY:
        raise reader.unreadable(f"has a directory of {count} tags, over {_MAX_DIRECTORY}")
    tags: dict[int, _Tag] = {}
    for index in range(count):
        at = start + count_bytes + index * entry_bytes
        number, kind = reader.number(at, 2), reader.number(at + 2, 2)
        if number not in _KEPT | {_ORIENTATION, _PROFILE}:
            continue
        size, values = _TYPE_BYTES.get(kind, 0), reader.number(at + 4, word)
        inline = size * values <= word
        offset = at + 4 + word if inline else reader.number(at + 4 + word, word)
        outside = offset + size * values > len(reader.data)
        if number == _PROFILE and (outside or size * values > MAX_PROFILE_BYTES):
            continue
        if not (size and values) or outside:
            raise reader.unreadable(f"has a malformed tag {number}")
        entry = reader.bytes(at, entry_bytes)
        if values > 1 and kind not in _TEXTS and lookup(number).length == 1:
            # Viewers take the first value; Pillow would warn.
            if size > word:
                raise reader.unreadable(f"has {values} values in tag {number}")
            values, first = 1, reader.bytes(offset, size).ljust(word, b"\0")
            entry = entry[:4] + values.to_bytes(word, reader.byteorder) + first
        tags[number] = _Tag(entry, offset, size, values)
    if sum(tag.size * tag.count for tag in tags.values()) > len(reader.data):
        raise reader.unreadable("has tags that share their values")
    return tags


def _check_counts(tags: dict[int, _Tag]) -> None:
    for number in tags.keys() & _KEPT:
        if tags[number].count > _MAX_VALUES:
            raise TooLarge(
                f"the TIFF picture has {tags[number].count} values in tag {number}, "
                f"the limit is {_MAX_VALUES}"
            )


def _write(reader: Reader, tags: dict[int, _Tag], *, big: bool) -> bytes:
    """Copy the file with a directory of the kept tags at its end, and let its header name that.

    BigTIFF becomes TIFF 6.0, whose offsets of 4 bytes are enough for what comes here: Pillow reads
    BigTIFF with the low bytes first only.
    """
    data, byteorder = reader.data, reader.byteorder
    padding = b"\0" * (-len(data) % 8)
    entries, moved = [], b""
    for number in sorted(tags.keys() & _KEPT):
        entry, values = tags[number].entry, b""
        if big:
            entry, values = _shorten(reader, tags[number], len(data) + len(padding) + len(moved))
        entries.append(entry)
        moved += values
    directory = len(data) + len(padding) + len(moved)
    return b"".join(
        (
            memoryview(data)[:2],
            (42).to_bytes(2, byteorder),
            directory.to_bytes(4, byteorder),
            memoryview(data)[8:],
            padding,
            moved,
            len(entries).to_bytes(2, byteorder),
            *entries,
            bytes(4),
        )
    )


def _shorten(reader: Reader, tag: _Tag, place: int) -> tuple[bytes, bytes]:
    """Make an entry of TIFF 6.0 out of one of BigTIFF, and the values that it has at a new place.

    Raises:
        UnreadableImage: a number has over 4 bytes, so that it leads out of the file.
    """
    byteorder, kind, offset = reader.byteorder, tag.entry[2:4], tag.offset
    values = reader.bytes(offset, tag.size * tag.count)
    moved = b""
    if int.from_bytes(kind, byteorder) in _LONG8S:
        numbers = [reader.number(offset + at, 8) for at in range(0, len(values), 8)]
        if max(numbers) >> 32:
            raise reader.unreadable("has a tag with a number of over 4 bytes")
        values = b"".join(number.to_bytes(4, byteorder) for number in numbers)
        kind, offset = _LONG.to_bytes(2, byteorder), place
        moved = values if len(values) > 4 else b""
    short = values.ljust(4, b"\0") if len(values) <= 4 else offset.to_bytes(4, byteorder)
    return tag.entry[:2] + kind + tag.count.to_bytes(4, byteorder) + short, moved
