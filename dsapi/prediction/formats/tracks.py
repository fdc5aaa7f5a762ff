"""Tracks of AVIF sequences (ISO/IEC 14496-12): their first samples; called by `work`."""

from dsapi.prediction.formats.boxes import Box, read_boxes
from dsapi.prediction.formats.header import Reader

_PICTURES = {b"pict", b"vide", b"auxv"}
_MAX_TRACKS = 16


def read_first_samples(reader: Reader, boxes: list[Box]) -> list[bytes]:
    """Gather the coded data of the first frame of every track of pictures.

    Args:
        reader: of the file.
        boxes: its outermost ones.

    Raises:
        UnreadableImage: malformed, or more tracks than any sequence has.
    """
    tracks = [track for movie in boxes for track in _find(reader, movie, b"moov", b"trak")]
    if len(tracks) > _MAX_TRACKS:
        raise reader.unreadable(f"has {len(tracks)} tracks, over {_MAX_TRACKS}")
    samples = []
    for track in tracks:
        media = _find(reader, track, b"trak", b"mdia")
        handlers = [each for box in media for each in _find(reader, box, b"mdia", b"hdlr")]
        if not any(reader.bytes(each.start + 8, 4) in _PICTURES for each in handlers):
            continue
        info = [each for box in media for each in _find(reader, box, b"mdia", b"minf")]
        tables = [each for box in info for each in _find(reader, box, b"minf", b"stbl")]
        samples += [_read_first_sample(reader, table) for table in tables]
    return samples


def _find(reader: Reader, parent: Box, kind: bytes, child: bytes) -> list[Box]:
    """List the children of one kind, if the parent is of the right one."""
    if parent.kind != kind:
        return []
    return [box for box in read_boxes(reader, parent.start, parent.end) if box.kind == child]


def _read_first_sample(reader: Reader, table: Box) -> bytes:
    children = read_boxes(reader, table.start, table.end)
    sizes = [box for box in children if box.kind == b"stsz"]
    chunks = [box for box in children if box.kind in (b"stco", b"co64")]
    if len(sizes) > 1 or len(chunks) > 1:
        raise reader.unreadable("says twice where its frames are")
    if not sizes or not chunks or not reader.number(chunks[0].start + 4, 4):
        return b""
    wide = 8 if chunks[0].kind == b"co64" else 4
    # One size for all samples, or a list of them.
    length = reader.number(sizes[0].start + 4, 4) or reader.number(sizes[0].start + 12, 4)
    return reader.bytes(reader.number(chunks[0].start + 8, wide), length)
