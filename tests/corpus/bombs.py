"""Small files that would take a decoder long, or whoever reads their headers."""

import struct
from collections.abc import Callable

from PIL import Image

from tests.corpus.heif import box, encode_heic, encode_tile, find_box, write_tiles
from tests.corpus.scene import draw
from tests.corpus.tiff import rgb_tags, write_tiff
from tests.pictures import encode


def scan_bomb(side: int, before: bytes = b"", *, count: int = 1000) -> bytes:
    """Repeat the last scan of a progressive picture."""
    data = encode(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + (before + data[last:-2]) * count + b"\xff\xd9"


def jpeg_strips(scans: int, *, tiled: bool = False) -> bytes:
    """Write a TIFF of progressive JPEG strips or tiles, each with more scans than usual."""
    data = encode(Image.new("RGB", (2048, 512)), "JPEG", progressive=True, subsampling=0)
    last = data.rindex(b"\xff\xda")
    strip = data[:-2] + data[last:-2] * scans + b"\xff\xd9"
    tags = {**rgb_tags(2048, 2048), 259: [7], 262: [6], 530: [1, 1]}
    layout = {322: [2048], 323: [512]} if tiled else {278: [512]}
    return write_tiff({**tags, **layout}, [strip] * 4, tiled=tiled)


def tall_jpeg_strip() -> bytes:
    """Write a TIFF of one row, whose strip is a JPEG of 500 with many scans."""
    data = encode(Image.new("RGB", (8192, 500)), "JPEG", progressive=True, subsampling=0)
    last = data.rindex(b"\xff\xda")
    tags = {**rgb_tags(8192, 1), 259: [7], 262: [6], 278: [1], 530: [1, 1]}
    return write_tiff(tags, [data[:-2] + data[last:-2] * 95 + b"\xff\xd9"])


def share_values(tiff: bytes) -> bytes:
    """Let every long tag have the same values, at the start of the file."""
    data, start = bytearray(tiff), int.from_bytes(tiff[4:8], "little")
    for at in range(start + 2, start + 2 + 12 * tiff[start], 12):
        if int.from_bytes(data[at + 4 : at + 8], "little") >= 2000:
            data[at + 8 : at + 12] = bytes(4)
    return bytes(data[: start + 5000])


def many_parts() -> dict[str, Callable[[], bytes]]:
    """Files of over 65,536 parts in all, but fewer in each list of them."""
    return {
        "units in a shared configuration": lambda: _share_tile(b"hvc1", units=3000, shared=True),
        "units in tiles": lambda: _share_tile(b"hvc1", units=3000),
        "units of AV1 in tiles": lambda: _share_tile(b"av01", units=3000),
        "boxes in lists of properties": _property_lists,
        "parts of transparency": _shared_veil,
        "segments behind a scan": _segments_behind_a_scan,
        "segments before and behind a scan": _segments_around_a_scan,
        "segments in strips": _segments_in_strips,
        "blocks in extensions": _blocks_in_extensions,
    }


def _share_tile(kind: bytes, *, units: int, shared: bool = False) -> bytes:
    """Show one tile 36 times, with many units that say nothing."""
    coded, description = encode_tile(draw(), kind)
    if kind == b"av01":
        coded = b"\x7a\0" * units + coded  # padding
    elif shared:
        content = description[8:]
        more = b"\x26" + struct.pack(">H", units) + b"\0\2\x4c\1" * units
        description = box(b"hvcC", content[:22], bytes((content[22] + 1,)), content[23:], more)
    else:
        coded = b"\0\0\0\2\x4c\1" * units + coded  # filler
    return write_tiles(
        [(coded, description)] * 36,
        kind=kind,
        size=(384, 288),
        tile_size=(64, 48),
        grid=(6, 6),
    )


def _property_lists() -> bytes:
    data = encode_heic(draw())
    old = find_box(data, b"iprp")
    lists = [box(b"ipco", box(b"free") * 20_000)] * 4
    meta = find_box(data, b"meta")
    return data.replace(meta, box(b"meta", meta[8:].replace(old, box(b"iprp", old[8:], *lists))))


def _shared_veil() -> bytes:
    """Let every tile have the same transparency, of many parts."""
    data = write_tiles(
        [encode_tile(draw(), b"hvc1")] * 400,
        kind=b"hvc1",
        size=(64 * 20, 48 * 20),
        tile_size=(64, 48),
        grid=(20, 20),
    )
    shown = find_box(data, b"iref")
    numbers = range(2, 402)
    veil = [402, 400, *numbers]
    references = (
        box(b"dimg", struct.pack(">402H", *veil)),
        box(b"auxl", struct.pack(">402H", *veil)),
    )
    kinds = find_box(data, b"iinf")
    entry = box(b"infe", b"\2\0\0\0", struct.pack(">HH", 402, 0), b"grid\0")
    meta = find_box(data, b"meta")
    content = meta[8:].replace(shown, box(b"iref", shown[8:], *references))
    return data.replace(meta, box(b"meta", content.replace(kinds, box(b"iinf", kinds[8:], entry))))


def _segments_behind_a_scan() -> bytes:
    data = encode(draw(), "JPEG", progressive=True)
    return data[:-2] + b"\xff\xfe\0\2" * 70_000 + data[-2:]


def _segments_around_a_scan() -> bytes:
    data, comments = encode(draw(), "JPEG", progressive=True), b"\xff\xfe\0\2" * 40_000
    return data[:2] + comments + data[2:-2] + comments + data[-2:]


def _segments_in_strips() -> bytes:
    data = encode(Image.new("RGB", (64, 16)), "JPEG", subsampling=0)
    strip = data[:2] + b"\xff\xfe\0\2" * 9000 + data[2:]
    tags = {**rgb_tags(64, 16 * 8), 259: [7], 262: [6], 530: [1, 1], 278: [16]}
    return write_tiff(tags, [strip] * 8)


def _blocks_in_extensions() -> bytes:
    data = encode(draw().quantize(4), "GIF")
    frame = data.index(b",", 13)
    return data[:frame] + (b"\x21\xfe" + b"\1a" * 9000 + b"\0") * 8 + data[frame:]
