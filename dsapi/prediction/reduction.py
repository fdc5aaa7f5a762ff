"""Reduction: by which power of two a picture or a part of it is worked on smaller.

Called by `picture`, `pixels`, `crops` and the decoder of JPEGs.
"""


def reduce_size(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """Width and height at ``1 / factor``; what is left of a block is a pixel, too."""
    return -(-size[0] // factor), -(-size[1] // factor)


def find_working_factor(long_side: int, working_side: int) -> int:
    """Find the smallest power of two that brings a side within `working_side` (0: any size)."""
    factor = 1
    while working_side and long_side > working_side * factor:
        factor *= 2
    return factor


def find_spare_factor(side: float, least: int) -> int:
    """Find the largest power of two by which a side in pixels can be reduced to no less."""
    factor = 1
    while side >= 2 * factor * least:
        factor *= 2
    return factor


def to_blocks(
    box: tuple[float, float, float, float], factors: tuple[int, int], *, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Enlarge a box to whole blocks, or to the edge of the picture."""
    (left, top, right, bottom), (across, down) = box, factors
    return (
        int(left // across) * across,
        int(top // down) * down,
        min(int(-(-right // across)) * across, size[0]),
        min(int(-(-bottom // down)) * down, size[1]),
    )
