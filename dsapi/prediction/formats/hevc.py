"""HEVC (ITU-T H.265): how much a decoder has to do for a coded item; called by `work`."""

from collections.abc import Iterator
from dataclasses import dataclass

from dsapi.prediction.formats.bits import Bits
from dsapi.prediction.formats.header import Reader

# NAL unit types below are slices (table 7-1).
_FIRST_PARAMETER_SET, _SEQUENCE = 32, 33
# Of a sequence parameter set, what is needed comes long before.
_MAX_SET_BYTES = 256
# Samples for each pixel by chroma_format_idc: gray, 4:2:0, 4:2:2, 4:4:4.
_SAMPLES = (1.0, 1.5, 2.0, 3.0)
_CONFIGURATION_BYTES = 23
# Phones' have 100 bytes. It is read for each tile.
_MAX_CONFIGURATION_BYTES = 16_384
# A sequence parameter set takes as long as walking past this many units.
_HEADER_WEIGHT = 16


@dataclass(frozen=True)
class Coded:
    """What an item's coded data say.

    Attributes:
        pictures: how many, shown or not.
        samples: for each pixel: 1.5 where the colors have half the resolution.
        deep: more than 8 bits each.
    """

    pictures: int
    samples: float
    deep: bool


def read_coded(reader: Reader, configuration: bytes, data: bytes) -> Coded:
    """Count the pictures, and find what kind they are.

    Args:
        reader: of the file.
        configuration: content of the ``hvcC`` box (ISO/IEC 14496-15, 8.3.3.1).
        data: of the item: NAL units, each behind its length.

    Raises:
        UnreadableImage: malformed, or of more units than any picture has.
        ValueError: a parameter set ends early.
    """
    if not _CONFIGURATION_BYTES <= len(configuration) <= _MAX_CONFIGURATION_BYTES:
        raise reader.unreadable("has no HEVC configuration, or too long a one")
    pictures, samples, deep = 0, 1.0, False
    length_bytes = (configuration[21] & 3) + 1
    for units in (_read_sets(configuration), _read_units(data, length_bytes)):
        for start in units:
            reader.count_part()
            kind = start[0] >> 1 & 63 if len(start) > 2 else _FIRST_PARAMETER_SET
            if kind < _FIRST_PARAMETER_SET:
                pictures += start[2] >> 7  # first_slice_segment_in_pic_flag
            elif kind == _SEQUENCE:
                reader.count_part(_HEADER_WEIGHT)
                chroma, bits = _read_sequence(start)
                samples, deep = max(samples, _SAMPLES[chroma]), deep or bits > 8
    return Coded(pictures, samples, deep)


def _read_sequence(unit: bytes) -> tuple[int, int]:
    """Find chroma_format_idc and the largest bit depth (7.3.2.2)."""
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)  # nesting, profile, tier, level
    # Which of them each layer says for itself: flags for eight if there are any (7.3.3).
    flags = [(bits.take(1), bits.take(1)) for _ in range(8 if layers else 0)]
    for profile, level in flags[:layers]:
        bits.take(88 * profile + 8 * level)
    bits.take_variable()
    chroma = bits.take_variable()
    if chroma > 3:
        raise ValueError(f"chroma_format_idc is {chroma}")
    if chroma == 3:
        bits.take(1)
    for _ in range(2):
        bits.take_variable()  # width, height
    for _ in range(4 * bits.take(1)):
        bits.take_variable()  # what is cut off
    return chroma, 8 + max(bits.take_variable(), bits.take_variable())


def _read_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """Give the start of each unit."""
    offset = 0
    while offset + length_bytes < len(data):
        length = int.from_bytes(data[offset : offset + length_bytes], "big")
        offset += length_bytes
        yield data[offset : offset + min(length, _MAX_SET_BYTES)]
        offset += length


def _read_sets(configuration: bytes) -> Iterator[bytes]:
    """Give the start of each unit in the configuration."""
    offset = _CONFIGURATION_BYTES
    for _ in range(configuration[22]):
        count = int.from_bytes(configuration[offset + 1 : offset + 3], "big")
        offset += 3
        for _ in range(count):
            length = int.from_bytes(configuration[offset : offset + 2], "big")
            yield configuration[offset + 2 : offset + 2 + min(length, _MAX_SET_BYTES)]
            offset += 2 + length
