"""Orientation: what is stored in, what a person sees out (EXIF 2.32, tag 274).

Only the small crops are turned, not the whole picture. Called by `dsapi.prediction.picture`.
"""

from PIL import Image

Box = tuple[float, float, float, float]

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def swaps_sides(orientation: int) -> bool:
    """Tell whether width and height change places."""
    return orientation >= 5


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn stored pixels the way a person sees them."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def find_stored_box(box: Box, *, size: tuple[int, int], orientation: int) -> Box:
    """Find where a box of the upright picture is stored.

    Args:
        box: left, top, right, bottom in the upright frame.
        size: width and height of the upright frame, in the same unit.
        orientation: 1 to 8.
    """
    (left, top, right, bottom), (width, height) = box, size
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if swaps_sides(orientation) else (left, top, right, bottom)
