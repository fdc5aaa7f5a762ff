"""Whatever is wrong with a picture gets the documented error, and nothing in the log."""

import logging
import struct
import time
import tracemalloc

import pytest

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
from tests.corpus.malformed import malformed_pictures, truncated_pictures
from tests.corpus.scene import draw, encode
from tests.corpus.valid import valid_pictures

LIMITS = Limits(max_pixels=50_000_000, working_side=2048)
MALFORMED = malformed_pictures()
TRUNCATED = truncated_pictures()


@pytest.mark.parametrize(("data", "code"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_picture_gets_the_right_word(
    data: bytes,
    code: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(RequestError) as caught:
        read_picture(data, LIMITS)
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
        read_picture(data, LIMITS)
    except (UnreadableImage, UnsupportedMediaType) as error:
        short = isinstance(error, UnsupportedMediaType)
        assert not short or len(data) < 32
    else:
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
    data = encode(draw(width=3700, height=3700), "WEBP", method=0)
    assert open_picture(data, LIMITS).width == 3700
    small = Limits(max_pixels=13_690_000, working_side=2048)
    with pytest.raises(TooLarge, match="bytes to decode, the limit is 108178864"):
        open_picture(data, small)


@pytest.mark.parametrize("name", ["JPEG CMYK progressive", "PNG RGB", "GIF", "BMP RGB", "HEIC"])
def test_a_decoder_stops_at_the_deadline(name: str) -> None:
    opened = open_picture(valid_pictures()[name].make(), LIMITS)
    with pytest.raises(DeadlineExceeded):
        opened.decode(1, Deadline(1.0, time.monotonic() - 1))


def test_thousands_of_frames_cost_no_more_than_the_first() -> None:
    shades = [draw().quantize(4)] + [draw().rotate(90 * i).quantize(4) for i in range(40)]
    for format in ("GIF", "WEBP"):
        data = encode(shades[0], format, save_all=True, append_images=shades[1:] * 25)
        few = Limits(max_pixels=64 * 48, working_side=0)
        picture = read_picture(data, few)
        assert (picture.width, picture.height) == (64, 48)


@pytest.mark.parametrize("name", ["AVIF 4:2:0", "HEIC", "WebP lossy"])
def test_a_picture_of_too_many_coded_bytes_is_refused_before_it_is_decoded(name: str) -> None:
    data = valid_pictures()[name].make()
    assert open_picture(data, LIMITS).width == 64
    box = struct.pack(">I", 30_000_008) + b"free"
    kind = b"" if name.startswith("WebP") else box
    with pytest.raises(TooLarge, match=r"takes about \d+ ms to decode, the limit is 1000 ms"):
        open_picture(data + kind + bytes(30_000_000), LIMITS)


def test_a_jpeg_that_ends_in_no_segment_is_read_once() -> None:
    # Found by fuzzing: the search for the next segment began again at the start of the file, and
    # kept another copy of its tables each time.
    tables = b"\xff\xdb\x08\x02" + bytes(2048)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match="has no scan"):
            open_picture(b"\xff\xd8" + tables + bytes(64), LIMITS)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000
