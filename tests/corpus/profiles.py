"""ICC profiles by code (ICC.1:2001-04, version 2): RGB spaces from their primaries, and CMYK."""

import struct
from itertools import product

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_D50 = (0.9642, 1.0, 0.8249)
# Bradford (Lindbloom, "Chromatic Adaptation").
_BRADFORD: Matrix = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D65_XY, _D50_XY = (0.3127, 0.3290), (0.3457, 0.3585)
# Primaries as x, y of red, green and blue; the white point; the exponent.
SPACES = {
    "sRGB": (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _D65_XY, 2.2),
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _D65_XY, 2.2),
    "BT.2020": (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65_XY, 2.2),
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), _D65_XY, 563 / 256),
    "ProPhoto RGB": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), _D50_XY, 1.8),
}


def to_xyz_d50(name: str) -> Matrix:
    """The matrix from a space's linear RGB to XYZ at D50."""
    primaries, white, _ = SPACES[name]
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries]).T
    white_xyz = np.array((white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1]))
    matrix: Matrix = columns * np.linalg.solve(columns, white_xyz)
    cone = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white_xyz)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cone) @ _BRADFORD @ matrix)


def rgb_profile(name: str, *, steps: int = 0) -> bytes:
    """A display profile of a matrix and one curve, or, for who reads that, of steps to black."""
    matrix = to_xyz_d50(name)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(SPACES[name][2] * 256)) + bytes(2)
    tags = {b"desc": _text(name), b"wtpt": _xyz(_D50)}
    for band, column in zip("rgb", matrix.T, strict=True):
        tags[f"{band}XYZ".encode()] = _xyz(column)
        tags[f"{band}TRC".encode()] = curve
    if steps:
        # ICC.1, multiProcessElementsType: all steps are the same one.
        black = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, *(0,) * 12)
        places = struct.pack(">II", 16 + 8 * steps, len(black)) * steps
        tags[b"D2B1"] = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, steps) + places + black
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(exponent: float) -> bytes:
    """A gray profile of one curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)
    tags = {b"desc": _text("gray"), b"wtpt": _xyz(_D50), b"kTRC": curve}
    return _profile(b"mntr", b"GRAY", b"XYZ ", tags)


def cmyk_profile(ink_to_lab: NDArray[np.float64]) -> bytes:
    """A printing profile: the Lab color of every combination of no and full ink.

    Args:
        ink_to_lab: ``[2, 2, 2, 2, 3]``, by cyan, magenta, yellow and black; between them it is
            interpolated.
    """
    table = b"".join(
        struct.pack("BBB", round(lab[0] * 2.55), round(lab[1]) + 128, round(lab[2]) + 128)
        for at in product((0, 1), repeat=4)
        for lab in [ink_to_lab[at]]
    )
    identity = b"".join(struct.pack(">i", 65536 * (at % 4 == 0)) for at in range(9))
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + table + ramp * 3
    tags = {b"desc": _text("ink"), b"wtpt": _xyz(_D50), b"A2B0": lut, b"A2B1": lut}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, body = b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s12s4s4sIII8sI12s",
        *(start + len(body), b"", 0x02400000, kind, space, connection, bytes(12), b"acsp", b""),
        *(0, 0, 0, b"", 1),
        struct.pack(">3i", *(round(value * 65536) for value in _D50)),
    )
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return (
        b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))
    )


def _text(text: str) -> bytes:
    content = text.encode() + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(content)) + content + bytes(12 + 67)
