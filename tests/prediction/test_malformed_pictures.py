"""Whatever is wrong with a picture gets the documented error, and nothing in the log."""

import logging
import resource
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsapi.errors import (
    DeadlineExceeded,
    MissingImage,
    RequestError,
    TooLarge,
    UnreadableImage,
    UnsupportedMediaType,
)
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.picture import Limits, open_picture, read_picture
from tests.corpus.bombs import many_parts
from tests.corpus.malformed import malformed_pictures, truncated_pictures
from tests.corpus.png import SIGNATURE, chunk, header, write_png
from tests.corpus.scene import RED, draw, rgb_array
from tests.corpus.valid import valid_pictures
from tests.pictures import encode
from tests.tracing import tracing

LIMITS = Limits()
MALFORMED = malformed_pictures()
TRUNCATED = truncated_pictures()


@pytest.mark.parametrize(("data", "code"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_picture_gets_the_right_word(
    data: bytes,
    code: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(RequestError) as caught:
            read_picture(data, LIMITS)
    assert not warned
    assert caught.value.code == code, caught.value.detail
    assert len(caught.value.detail) < 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("data", TRUNCATED.values(), ids=TRUNCATED)
def test_a_truncated_picture_is_unreadable_unless_its_first_frame_is_complete(
    data: bytes, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id.rpartition(",")[0]
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            read_picture(data, LIMITS)
    except (UnreadableImage, UnsupportedMediaType) as error:
        short = isinstance(error, UnsupportedMediaType)
        assert not short or len(data) < 32
    else:
        assert not warned
        assert name in ("MPO", "GIF animated", "WebP animated", "APNG", "PNG RGB", "TIFF group4")


def test_nothing_is_a_missing_picture() -> None:
    with pytest.raises(MissingImage, match="0 bytes"):
        read_picture(b"", LIMITS)


def test_too_many_pixels_are_refused_with_limit_and_actual_before_decoding() -> None:
    data = encode(draw(), "PNG")
    with pytest.raises(TooLarge, match=r"3072 pixels \(64 × 48\), max_pixels is 3071"):
        open_picture(data, Limits(max_pixels=3071, working_side=0))
    assert open_picture(data, Limits(max_pixels=3072, working_side=0)).width == 64


def test_a_picture_that_takes_more_memory_than_permitted_is_refused_before_decoding() -> None:
    # Two canvases, a copy and the picture: WebP takes the most.
    data = encode(draw(width=3400, height=3400), "WEBP", method=0)
    assert open_picture(data, LIMITS).width == 3400
    small = Limits(max_pixels=11_560_000)
    with pytest.raises(TooLarge, match="bytes to decode, the limit is 101788864"):
        open_picture(data, small)


def test_what_stands_in_an_extension_of_a_jpeg_is_not_read() -> None:
    # Text that is longer than the file, as the value of a tag.
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 274, 2, 1000, 5000, 0)
    inner = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    extension = b"\xff\xc8" + struct.pack(">H", len(inner) + 2) + inner
    jpeg = encode(draw(), "JPEG")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        picture = read_picture(jpeg[:2] + extension + jpeg[2:], LIMITS)
    assert (picture.width, picture.height) == (64, 48)
    assert not warned


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("warned", [False, True])
def test_a_jpeg_without_pixels_does_not_show_what_was_in_memory(mode: str, warned: bool) -> None:
    # libjpeg-turbo calls an error a warning if a warning came before, and gives no pixels.
    data = bytearray(encode(draw().convert(mode), "JPEG", progressive=True))
    last_scan = data.rindex(b"\xff\xda")
    first_coefficient = last_scan + 5 + 2 * data[last_scan + 4]
    data[first_coefficient] = 241  # of 63
    if warned:
        data[last_scan:last_scan] = b"strayed"
    with pytest.raises(UnreadableImage):
        read_picture(bytes(data), LIMITS)


@pytest.mark.parametrize("name", ["JPEG CMYK progressive", "PNG RGB", "GIF", "BMP RGB", "HEIC"])
def test_a_decoder_stops_at_the_deadline(name: str) -> None:
    opened = open_picture(valid_pictures()[name].make(), LIMITS)
    with pytest.raises(DeadlineExceeded):
        opened.decode(1, Deadline(1.0, time.monotonic() - 1))


@pytest.mark.parametrize("make", many_parts().values(), ids=many_parts())
def test_the_parts_of_a_file_count_together(make: Callable[[], bytes]) -> None:
    # Each list of them was within the limit: 17 MB of them took six seconds, a few kilobytes that
    # a thousand tiles shared took longer.
    with pytest.raises(UnreadableImage, match="over 65536 parts"):
        open_picture(make(), LIMITS)


def test_a_png_stops_at_the_deadline_between_two_pieces() -> None:
    opened = open_picture(encode(draw(width=6000, height=6000), "PNG", compress_level=1), LIMITS)
    # The whole takes several times as long.
    with pytest.raises(DeadlineExceeded):
        opened.decode(1, Deadline.within(0.05))


def test_a_png_is_limited_by_what_one_piece_takes() -> None:
    start = SIGNATURE + header(6600, 6600, color=2)
    data = b"".join((start, chunk(b"IDAT", bytes(3_000_000)), chunk(b"IEND")))
    opened = open_picture(data, LIMITS)
    assert opened.width == 6600
    assert (opened.header.step_pixels, opened.header.step_bytes) == (22_544_384, 65_536)


def _encode_frames(format: str) -> bytes:
    """Encode a thousand frames of a megapixel, or two."""
    first = draw(width=1024, height=1024)
    other = Image.new("RGB", first.size, "teal")
    if format == "TIFF":
        return _repeat_page(encode(first, "TIFF", compression="tiff_adobe_deflate"), 2000)
    if format == "MPO":
        # Of 17 kB each: as many as fit into a body.
        return encode(first, "JPEG", quality=95) + encode(other, "JPEG") * 1000
    if format in ("GIF", "PNG"):
        # Pillow would leave out or shrink equal frames: these are copied as they are.
        return _repeat_frame(encode(first.quantize(4), format), format, 2000)
    return _repeat_webp_frame(encode(first, "WEBP", lossless=True), 2000)


def _repeat_page(tiff: bytes, count: int) -> bytes:
    """Let the directory be followed by others of the same pixels."""
    start = struct.unpack("<I", tiff[4:8])[0]
    entries = struct.unpack("<H", tiff[start : start + 2])[0]
    directory = tiff[start : start + 2 + 12 * entries]
    pages, at = b"", len(tiff)
    for _ in range(count):
        at += len(directory) + 4
        pages += directory + struct.pack("<I", at)
    next_at = start + len(directory)
    linked = tiff[:next_at] + struct.pack("<I", len(tiff)) + tiff[next_at + 4 :]
    return linked + pages + directory + bytes(4)


def _repeat_frame(data: bytes, format: str, count: int) -> bytes:
    if format == "GIF":
        frame = data[data.index(b",", 13) : -1]
        return data[:-1] + frame * count + b";"
    place = data.index(b"IDAT") - 4
    length = int.from_bytes(data[place : place + 4], "big")
    content = data[place + 8 : place + 8 + length]
    control = struct.pack(">IIIIHHBB", 1024, 1024, 0, 0, 1, 10, 0, 0)
    frames = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * index) + control)
        + chunk(b"fdAT", struct.pack(">I", 2 * index + 1) + content)
        for index in range(count)
    )
    start = chunk(b"acTL", struct.pack(">II", count, 0))
    end = data.index(b"IEND") - 4
    return data[:place] + start + data[place:end] + frames + data[end:]


def _repeat_webp_frame(data: bytes, count: int) -> bytes:
    size = (1023).to_bytes(3, "little") * 2
    place = bytes(6) + size + bytes((10, 0, 0, 0))
    frame = b"ANMF" + struct.pack("<I", len(place) + len(data) - 12) + place + data[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + size
    content = b"WEBP" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame * count
    return b"RIFF" + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_thousands_of_large_frames_cost_no_more_than_the_first(format: str) -> None:
    data = _encode_frames(format)
    # All frames would be a gigapixel, or two.
    few = Limits(max_pixels=1024 * 1024, working_side=0)
    with tracing() as read_peak:
        picture = read_picture(data, few)
        peak_bytes = read_peak()
    assert (picture.width, picture.height) == (1024, 1024)
    assert np.asarray(picture.cut((0, 0, 9, 9)))[4, 4].tolist() == pytest.approx(RED, abs=8)
    assert peak_bytes < 5 * len(data) + 16 * 1024 * 1024


@pytest.mark.parametrize("name", ["AVIF 4:2:0", "HEIC", "WebP lossy"])
def test_a_picture_of_too_many_coded_bytes_is_refused_before_it_is_decoded(name: str) -> None:
    data = valid_pictures()[name].make()
    assert open_picture(data, LIMITS).width == 64
    box = struct.pack(">I", 30_000_008) + b"free"
    kind = b"" if name.startswith("WebP") else box
    with pytest.raises(TooLarge, match=r"takes about \d+ ms to decode, the limit is 1000 ms"):
        open_picture(data + kind + bytes(30_000_000), LIMITS)


def test_a_picture_whose_chunks_need_more_memory_than_there_is_is_too_large() -> None:
    data = write_png(rgb_array())
    at = data.index(b"IDAT") - 4
    # A block that malloc never has at hand: it maps those over 32 MiB.
    data = data[:at] + chunk(b"IDAT", bytes(64_000_000)) + data[at:]
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    taken_kib = next(int(line.split()[1]) for line in status.splitlines() if "VmData" in line)
    resource.setrlimit(resource.RLIMIT_DATA, (taken_kib * 1024 + 32_000_000, hard))
    try:
        with pytest.raises(TooLarge, match="the PNG picture needs more memory than there is"):
            open_picture(data, LIMITS)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def test_a_jpeg_that_ends_in_no_segment_is_read_once() -> None:
    # Found by fuzzing: the search for the next segment began again at the start of the file, and
    # kept another copy of its tables each time.
    tables = b"\xff\xdb\x08\x02" + bytes(2048)
    with tracing() as read_peak:
        with pytest.raises(UnreadableImage, match="has no scan"):
            open_picture(b"\xff\xd8" + tables + bytes(64), LIMITS)
        peak_bytes = read_peak()
    assert peak_bytes < 1_000_000
