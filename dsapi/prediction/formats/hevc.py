"""HEVC (ITU-T H.265): how many pictures a coded item holds; called by `heif`."""

from collections.abc import Iterator

from dsapi.prediction.formats.header import MAX_PARTS, Reader

# NAL unit types below are slices (table 7-1).
_FIRST_PARAMETER_SET = 32
_CONFIGURATION_BYTES = 23


def count_pictures(reader: Reader, configuration: bytes, data: bytes) -> int:
    """Count the pictures, shown or not.

    Args:
        reader: of the file.
        configuration: content of the ``hvcC`` box (ISO/IEC 14496-15, 8.3.3.1).
        data: of the item: NAL units, each behind its length.

    Raises:
        UnreadableImage: malformed, or of more units than any picture has.
    """
    if len(configuration) < _CONFIGURATION_BYTES:
        raise reader.unreadable("has no HEVC configuration")
    pictures = 0
    length_bytes = (configuration[21] & 3) + 1
    for units in (_read_sets(configuration), _read_units(data, length_bytes)):
        for count, start in enumerate(units):
            if count > MAX_PARTS:
                raise reader.unreadable(f"has coded data of over {MAX_PARTS} units")
            if len(start) > 2 and start[0] >> 1 & 63 < _FIRST_PARAMETER_SET:
                pictures += start[2] >> 7  # first_slice_segment_in_pic_flag
    return pictures


def _read_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """Give the first bytes of each unit."""
    offset = 0
    while offset + length_bytes < len(data):
        length = int.from_bytes(data[offset : offset + length_bytes], "big")
        offset += length_bytes
        yield data[offset : offset + min(length, 3)]
        offset += length


def _read_sets(configuration: bytes) -> Iterator[bytes]:
    """Give the first bytes of each unit in the configuration."""
    offset = _CONFIGURATION_BYTES
    for _ in range(configuration[22]):
        count = int.from_bytes(configuration[offset + 1 : offset + 3], "big")
        offset += 3
        for _ in range(count):
            length = int.from_bytes(configuration[offset : offset + 2], "big")
            yield configuration[offset + 2 : offset + 2 + min(length, 3)]
            offset += 2 + length
