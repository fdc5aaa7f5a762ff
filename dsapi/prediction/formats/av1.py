"""AV1: how much a decoder has to do, by the headers of its stream; called by `work`.

A container says one size, the coded data may say another, and may hold any number of frames that
are decoded and never shown. The numbers in parentheses are sections of the AV1 bitstream
specification, version 1.0.0 with errata 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dsapi.prediction.formats.bits import Bits
from dsapi.prediction.formats.header import Reader

# OBU types (6.2.2).
_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY_FRAME, _SWITCH_FRAME = 0, 3
# "Each frame says it": seq_force_screen_content_tools and seq_force_integer_mv (6.4.1).
_SELECT = 2
# A header takes as long as walking past this many units.
_HEADER_WEIGHT = 16
# 32 operating points of 90 bits are the longest part.
_MAX_HEADER_BYTES = 1024


@dataclass(frozen=True)
class _Sequence:
    """What a sequence header says (5.5.1), as far as frame headers need it.

    Attributes:
        size: largest width and height of its frames.
        size_bits: how many bits a frame may spend on each.
        reduced: it is of one still picture, whose frame header is short.
        time_bits: of the presentation time in each frame header.
        id_bits: of the frame's number, 0: it has none.
        screen_content: whether its tools are used, or `_SELECT`.
        integer_motion: likewise.
    """

    size: tuple[int, int]
    size_bits: tuple[int, int]
    reduced: bool
    time_bits: int = 0
    id_bits: int = 0
    screen_content: int = _SELECT
    integer_motion: int = _SELECT


def read_frames(reader: Reader, data: bytes) -> Iterator[tuple[int, int]]:
    """List the width and height of every frame in a stream of OBUs, shown or not.

    One whose header says a size of its own counts as large as it can say.

    Raises:
        UnreadableImage: more OBUs than any picture has, or one past the end.
        ValueError: a header ends early.
    """
    sequence = None
    for kind, content in _read_obus(reader, data):
        if kind in (_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME):
            reader.count_part(_HEADER_WEIGHT)
        if kind == _SEQUENCE_HEADER:
            sequence = _read_sequence(Bits(content))
        elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
            if _has_own_size(Bits(content), sequence):
                across, down = sequence.size_bits
                yield 1 << across, 1 << down
            else:
                yield sequence.size


def _read_obus(reader: Reader, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the type and the first bytes of each (5.3)."""
    offset = 0
    while offset < len(data):
        reader.count_part()
        flags = data[offset]
        offset += 2 if flags & 4 else 1
        length = len(data) - offset
        if flags & 2:
            length, offset = _read_length(data, offset)
        if length < 0 or offset + length > len(data):
            raise reader.unreadable("has coded data with a unit past its end")
        yield flags >> 3 & 15, data[offset : offset + min(length, _MAX_HEADER_BYTES)]
        offset += length


def _read_length(data: bytes, offset: int) -> tuple[int, int]:
    """Read seven bits a byte, the lowest first (4.10.5), and where they end."""
    length = 0
    for index, byte in enumerate(data[offset : offset + 8]):
        length |= (byte & 127) << 7 * index
        if not byte & 128:
            return length, offset + index + 1
    raise ValueError("a length has no end")


def _read_sequence(bits: Bits) -> _Sequence:
    bits.take(4)  # profile, still picture
    reduced = bool(bits.take(1))
    time_bits = 0
    if reduced:
        bits.take(5)
    else:
        time_bits = _skip_timing(bits)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    size = (bits.take(across) + 1, bits.take(down) + 1)
    if reduced:
        return _Sequence(size, (across, down), reduced=True)
    # A frame's number has 2 bits more than a difference of numbers, and 1 more than that at least.
    id_bits = bits.take(4) + 2 + bits.take(3) + 1 if bits.take(1) else 0
    bits.take(7)  # superblocks, intra tools, compounds, warped motion, filters
    if bits.take(1):  # order hints
        bits.take(2)
    screen_content = _SELECT if bits.take(1) else bits.take(1)
    integer_motion = _SELECT
    if screen_content and not bits.take(1):
        integer_motion = bits.take(1)
    return _Sequence(
        size,
        (across, down),
        reduced=False,
        time_bits=time_bits,
        id_bits=id_bits,
        screen_content=screen_content,
        integer_motion=integer_motion,
    )


def _skip_timing(bits: Bits) -> int:
    """Skip up to the size; how many bits the presentation time has in each frame header."""
    delay_bits = time_bits = equal = 0
    if bits.take(1):
        bits.take(64)
        if equal := bits.take(1):  # intervals
            bits.take_variable()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(37)
            time_bits = bits.take(5) + 1
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)
    return 0 if equal else time_bits


def _has_own_size(bits: Bits, sequence: _Sequence) -> bool:
    """Whether a frame's header says another size than its sequence's (5.9.2)."""
    if sequence.reduced or bits.take(1):  # it shows an existing frame
        return False
    kind, shown = bits.take(2), bits.take(1)
    bits.take(sequence.time_bits if shown else 1)
    if not (kind == _SWITCH_FRAME or (kind == _KEY_FRAME and shown)):
        bits.take(1)  # error resilience
    bits.take(1)
    screen_content = sequence.screen_content
    if screen_content == _SELECT:
        screen_content = bits.take(1)
    if screen_content and sequence.integer_motion == _SELECT:
        bits.take(1)
    bits.take(sequence.id_bits)
    return kind == _SWITCH_FRAME or bool(bits.take(1))
