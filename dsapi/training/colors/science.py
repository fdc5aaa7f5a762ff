"""Conversions between sRGB, linear light and CIELAB on arrays.

Enters and leaves: float32 ``[..., 3]``. Called by the patch generators and their figures.
Formulas and constants: IEC 61966-2-1 (sRGB) and CIE 15:2004 (CIELAB, D65 white).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Any precision: NumPy's types cannot tell what mixing float32 and Python numbers gives.
FloatArray = NDArray[np.floating[Any]]

#: Linear sRGB to XYZ relative to the D65 white, so that white is (1, 1, 1).
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    np.float32,
) / np.array([[0.95047], [1.0], [1.08883]], np.float32)
_XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ).astype(np.float32)
_EPSILON = 216 / 24389
_KAPPA = 24389 / 27


def decode_srgb(encoded: FloatArray) -> FloatArray:
    """Encoded sRGB 0-1 to linear light 0-1."""
    low = encoded / 12.92
    high = ((np.maximum(encoded, 0.0) + 0.055) / 1.055) ** 2.4
    return np.asarray(np.where(encoded <= 0.04045, low, high), np.float32)


def encode_srgb(linear: FloatArray) -> FloatArray:
    """Linear light, clipped to 0-1, to encoded sRGB 0-1."""
    clipped = np.clip(linear, 0.0, 1.0)
    high = 1.055 * clipped ** (1 / 2.4) - 0.055
    return np.asarray(np.where(clipped <= 0.0031308, 12.92 * clipped, high), np.float32)


def measure_lab(linear: FloatArray) -> FloatArray:
    """Linear light 0-1 to CIELAB (L 0-100)."""
    xyz = linear @ RGB_TO_XYZ.T
    f = np.where(xyz > _EPSILON, np.cbrt(xyz), (_KAPPA * xyz + 16) / 116)
    lab = np.stack(
        [
            116 * f[..., 1] - 16,
            500 * (f[..., 0] - f[..., 1]),
            200 * (f[..., 1] - f[..., 2]),
        ],
        axis=-1,
    )
    return np.asarray(lab, np.float32)


def render_lab(lab: FloatArray) -> FloatArray:
    """CIELAB to linear light; outside 0-1 where sRGB does not hold the color."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f**3 > _EPSILON, f**3, (116 * f - 16) / _KAPPA)
    return np.asarray(xyz.astype(np.float32) @ _XYZ_TO_RGB.T, np.float32)
