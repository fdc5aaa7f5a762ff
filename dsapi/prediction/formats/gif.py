"""GIF 89a: the first frame, without comments and extensions; pixels by Pillow."""

from PIL.GifImagePlugin import GifImageFile

from dsapi.prediction.formats.header import Header, Reader, decode_with


def read_header(data: bytes) -> Header:
    """Read up to the first frame.

    Raises:
        UnreadableImage: there is none.
    """
    reader = Reader(data, "GIF", byteorder="little")
    start = reader.bytes(0, 13)
    offset = 13 + _palette_bytes(start[10])
    control = b""
    while (kind := reader.number(offset, 1)) == 0x21:
        end = _skip_blocks(reader, offset + 2)
        if reader.number(offset + 1, 1) == 0xF9:
            control = data[offset:end]
        offset = end
    if kind != 0x2C:
        raise reader.unreadable("has no frame")
    left, top, width, height = (reader.number(offset + at, 2) for at in (1, 3, 5, 7))
    if not (width and height):
        raise reader.unreadable("has an empty first frame")
    cleaned = b"".join((data[: 13 + _palette_bytes(start[10])], control, memoryview(data)[offset:]))
    return Header(
        "GIF",
        # Pillow enlarges the canvas if the frame does not fit in.
        max(reader.number(6, 2), left + width),
        max(reader.number(8, 2), top + height),
        decode=lambda _, deadline: decode_with(GifImageFile, cleaned, deadline),
        coding="GIF",
        bytes_per_pixel=2,
        fixed_bytes=len(cleaned),
    )


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(reader: Reader, offset: int) -> int:
    """Skip data blocks to the empty one that ends them."""
    length = 1
    while length:
        reader.count_part()
        length = reader.number(offset, 1)
        offset += 1 + length
    return offset
