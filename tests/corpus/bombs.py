"""Small files that would take a decoder long."""

from PIL import Image

from tests.corpus.scene import encode
from tests.corpus.tiff import rgb_tags, write_tiff


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
