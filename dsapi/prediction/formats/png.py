"""PNG (ISO/IEC 15948): one picture made of the chunks that show, pixels by Pillow.

Text, times and the frames of an animation after the first are left out.
"""

import zlib

from PIL.PngImagePlugin import PngImageFile

from dsapi.prediction.formats.header import (
    MAX_PROFILE_BYTES,
    Header,
    Reader,
    decode_with,
    read_orientation,
)
from dsapi.prediction.formats.primaries import write_profile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_SAMPLES = {_RGB: 3, _GRAY_ALPHA: 2, _RGB_ALPHA: 4}
# Nanoseconds for each pixel, measured: in color, gray of 16 bits, gray.
_COLOR_NS, _DEEP_GRAY_NS, _GRAY_NS = 25, 14, 5
_NS_PER_BYTE = 32
# Pillow reads this much at a time, of which deflate (RFC 1951) makes at most so many times as much.
_PIECE_BYTES, _MAX_EXPANSION = 65_536, 1032
_MAX_DEEP_PIXELS = 25_000_000


def read_header(data: bytes) -> Header:
    """Read the chunks.

    Raises:
        UnreadableImage: they are malformed or end early.
    """
    reader = Reader(data, "PNG")
    chunks = _read_chunks(reader)
    start = b"".join(chunks.get(b"IHDR", []))
    if len(start) != 13 or b"IDAT" not in chunks:
        raise reader.unreadable("has no IHDR or no IDAT chunk")
    width, height = (int.from_bytes(start[at : at + 4], "big") for at in (0, 4))
    bits, color = start[8], start[9]
    single = color in (_GRAY, _PALETTE)
    deep = bits == 16 and not single
    pixel_bits = bits * _SAMPLES.get(color, 1)
    cleaned = _write(chunks, deep=deep)
    return Header(
        "PNG",
        width,
        height,
        decode=lambda _, deadline: decode_with(PngImageFile, cleaned, deadline),
        coding="16-bit PNG" if deep else "PNG",
        orientation=read_orientation(b"".join(chunks.get(b"eXIf", [])[:1])),
        profile=_read_profile(chunks),
        bytes_per_pixel=(2 if bits == 16 else 1) if single else 4,
        fixed_bytes=len(cleaned),
        max_pixels=_MAX_DEEP_PIXELS if deep else 0,
        ns_per_pixel=_COLOR_NS if not single else _DEEP_GRAY_NS if bits == 16 else _GRAY_NS,
        ns_per_byte=_NS_PER_BYTE,
        # Between two pieces it can be stopped.
        step_pixels=min(width * height, 8 * _PIECE_BYTES * _MAX_EXPANSION // max(pixel_bits, 1)),
        step_bytes=min(len(cleaned), _PIECE_BYTES),
    )


def _read_chunks(reader: Reader) -> dict[bytes, list[bytes]]:
    """Gather the contents of the chunks that matter, by type."""
    chunks: dict[bytes, list[bytes]] = {}
    offset = len(_SIGNATURE)
    while True:
        reader.count_part()
        length = reader.number(offset, 4)
        kind = reader.bytes(offset + 4, 4)
        if kind == b"IEND":
            return chunks
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"iCCP", b"cICP", b"eXIf"):
            chunks.setdefault(kind, []).append(reader.bytes(offset + 8, length))
        offset += 12 + length


def _write(chunks: dict[bytes, list[bytes]], *, deep: bool) -> bytes:
    """Write a picture of the necessary chunks, with all image data in one."""
    pieces = [_SIGNATURE]
    for kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
        if kind not in chunks and kind != b"IEND":
            continue
        contents = chunks.get(kind, [])
        content = b"".join(contents if kind == b"IDAT" else contents[:1])
        if kind == b"tRNS" and deep:
            # Pillow keeps the high byte of each sample, but compares it with all 16 bits.
            content = b"".join(b"\0" + content[at : at + 1] for at in range(0, len(content), 2))
        # Pillow checks no sum of image data, the bulk of it.
        checksum = 0 if kind == b"IDAT" else zlib.crc32(content, zlib.crc32(kind))
        pieces += [len(content).to_bytes(4, "big"), kind, content, checksum.to_bytes(4, "big")]
    return b"".join(pieces)


def _read_profile(chunks: dict[bytes, list[bytes]]) -> bytes:
    """Decompress an ICC profile: name, 0, method 0, zlib. Empty if it is corrupt or too large.

    A color space named by numbers comes before it (PNG, third edition, 4.3).
    """
    numbers = b"".join(chunks.get(b"cICP", [])[:1])
    if len(numbers) == 4:
        return write_profile(numbers[0], numbers[1])
    _, _, content = b"".join(chunks.get(b"iCCP", [])[:1]).partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(content[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if inflater.eof else b""
