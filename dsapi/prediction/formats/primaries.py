"""Color spaces that a picture names by numbers (ITU-T H.273) in, ICC profiles of them out.

Called by `work` (``nclx``) and `png` (``cICP``).
"""

import struct
from functools import cache

_SRGB_CURVE = 13
# H.273, table 2: Display P3 (SMPTE EG 432-1) and BT.2020. Their red, green and blue as XYZ,
# adapted from D65 to D50 by Bradford's method.
_XYZ_D50 = {
    12: ((0.51512, 0.24119, -0.00105), (0.29198, 0.69224, 0.04188), (0.15710, 0.06657, 0.78407)),
    9: ((0.67348, 0.27904, -0.00193), (0.16567, 0.67534, 0.02998), (0.12505, 0.04561, 0.79685)),
}
_D50 = (0.9642, 1.0, 0.8249)
# IEC 61966-2-1, as the exponent, a, b, c and d of ICC.1:2022, 10.18, function type 3.
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@cache
def write_profile(primaries: int, transfer: int) -> bytes:
    """Write the ICC profile of a wide color space with the curve of sRGB.

    Args:
        primaries: ColourPrimaries of H.273.
        transfer: TransferCharacteristics of H.273.

    Returns:
        The profile; empty for sRGB, for BT.709, which is shown as sRGB, and for what has no
        profile of this kind: brightness beyond white.
    """
    colorants = _XYZ_D50.get(primaries)
    if colorants is None or transfer != _SRGB_CURVE:
        return b""
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(*_CURVE)
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50)}
    for band, xyz in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[band + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*xyz)
        tags[band + b"TRC"] = curve
    return _assemble(tags)


def _fixed(*values: float) -> bytes:
    """Write numbers as s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    """Write the header (ICC.1:2022, 7.2), the table of tags and the tags."""
    start = 128 + 4 + 12 * len(tags)
    table = body = b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = struct.pack(">I4xI4s4s4s", start + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + _fixed(*_D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
