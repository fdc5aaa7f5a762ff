"""AVIF and HEIC: what is decoded is counted by the coded data, whatever the container says."""

import struct
from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from dsapi.errors import TooLarge, UnreadableImage
from dsapi.prediction.formats.av1 import read_frames
from dsapi.prediction.formats.header import Reader
from dsapi.prediction.picture import Limits, open_picture, read_picture
from tests.corpus.heif import (
    box,
    encode_heic,
    encode_tile,
    find_box,
    full_box,
    say_size,
    write_tiles,
)
from tests.corpus.scene import draw
from tests.pictures import encode
from tests.tracing import tracing

LIMITS = Limits()


def flat(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "teal")


def list_frames(data: bytes) -> list[tuple[int, int]]:
    return list(read_frames(Reader(data, "AVIF"), data))


def test_an_avif_that_says_less_than_its_coded_data_has_is_refused_before_decoding() -> None:
    data = say_size(encode(flat(2000, 1500), "AVIF", speed=10), 64, 64)
    with pytest.raises(UnreadableImage, match="says 64 × 64 pixels, its coded data 2000 × 1500"):
        open_picture(data, LIMITS)


def test_an_avif_with_more_coded_pixels_than_the_limit_is_refused_whatever_it_says() -> None:
    data = say_size(encode(flat(4100, 4100), "AVIF", speed=10), 64, 64)
    with pytest.raises((TooLarge, UnreadableImage)):
        open_picture(data, LIMITS)
    small = Limits(max_pixels=1_000_000, working_side=0)
    with pytest.raises((TooLarge, UnreadableImage)):
        open_picture(data, small)


@pytest.mark.parametrize("data_of", ["mdat", "transparency"])
def test_an_avif_with_lying_transparency_is_refused(data_of: str) -> None:
    image = flat(64, 48).convert("RGBA")
    image.putalpha(128)
    data = encode(image, "AVIF")
    assert open_picture(data, LIMITS).header.coded_pixels >= 64 * 48
    other = find_box(encode(flat(5100, 5100), "AVIF", speed=10), b"mdat")[8:]
    # Its place is the second in the list: 2 bytes of offset size, 1 of count, then 14 an item.
    iloc = data.index(b"iloc")
    entry = iloc + 4 + 4 + 2 + 2 + (14 if data_of == "transparency" else 0)
    place = struct.pack(">II", len(data) + 8, len(other))
    lying = data[: entry + 6] + place + data[entry + 14 :] + box(b"mdat", other)
    with pytest.raises((TooLarge, UnreadableImage), match=r"26010000 as coded|5100 × 5100"):
        open_picture(lying, LIMITS)


def test_an_avif_sequence_whose_track_lies_is_refused() -> None:
    frames = [flat(1500, 1000), flat(1500, 1000).rotate(90)]
    data = encode(frames[0], "AVIF", speed=10, save_all=True, append_images=frames[1:])
    assert open_picture(data, LIMITS).width == 1500
    at = data.index(b"tkhd") + 4 + 88
    assert struct.unpack(">II", data[at : at + 8]) == (1500 << 16, 1000 << 16)
    lying = data[:at] + struct.pack(">II", 64 << 16, 64 << 16) + data[at + 8 :]
    lying = lying.replace(b"ispe" + bytes(4) + struct.pack(">II", 1500, 1000), bytes(16))
    with pytest.raises(UnreadableImage):
        open_picture(lying, LIMITS)


def test_an_avif_sequence_that_says_twice_where_its_frames_are_is_refused() -> None:
    # libavif goes by the first list, and scales what it has decoded to the size that it is told.
    frames = [flat(96, 64), flat(96, 64).rotate(90)]
    data = encode(frames[0], "AVIF", speed=10, save_all=True, append_images=frames[1:])
    places, counts = find_box(data, b"stco"), find_box(data, b"stsc")
    data = data.replace(counts, counts[:20] + struct.pack(">I", 1) + counts[24:])
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = data.index(kind) - 4
        longer = int.from_bytes(data[at : at + 4], "big") + len(places)
        data = data[:at] + longer.to_bytes(4, "big") + data[at + 4 :]
    with pytest.raises(UnreadableImage, match="says twice where its frames are"):
        open_picture(data.replace(places, places * 2), LIMITS)


def test_an_avif_sequence_may_give_one_length_for_all_its_frames() -> None:
    frames = [flat(96, 64), flat(96, 64).rotate(90)]
    data = encode(frames[0], "AVIF", speed=10, save_all=True, append_images=frames[1:])
    at = data.index(b"stsz") + 8
    assert data[at : at + 4] == bytes(4)
    # One length, and no list of them: what stands there says nothing.
    same = data[:at] + data[at + 8 : at + 12] + data[at + 4 : at + 8] + b"\xff" * 4
    picture = read_picture(same + data[at + 12 :], LIMITS)
    assert (picture.width, picture.height) == (96, 64)


def test_frames_that_are_decoded_and_never_shown_count() -> None:
    tile = encode_tile(flat(2000, 2000), b"av01")
    one = write_tiles([tile], kind=b"av01", size=(2000, 2000), tile_size=(2000, 2000), grid=(1, 1))
    assert open_picture(one, LIMITS).header.coded_pixels == 4_000_000
    many = (tile[0] * 30, tile[1])
    data = write_tiles([many], kind=b"av01", size=(2000, 2000), tile_size=(2000, 2000), grid=(1, 1))
    with pytest.raises(TooLarge, match=r"4000000 pixels \(2000 × 2000\), 120000000 as coded"):
        open_picture(data, LIMITS)


def test_pictures_that_are_decoded_and_never_shown_count_in_a_heic() -> None:
    coded, description = encode_tile(flat(2000, 2000), b"hvc1")
    data = write_tiles(
        [(coded * 30, description)],
        kind=b"hvc1",
        size=(2000, 2000),
        tile_size=(2000, 2000),
        grid=(1, 1),
    )
    with pytest.raises(TooLarge, match="120000000 as coded"):
        open_picture(data, LIMITS)


@pytest.mark.parametrize("kind", [b"av01", b"hvc1"])
def test_tiles_far_larger_than_the_picture_count(kind: bytes) -> None:
    tile = encode_tile(flat(2000, 2000), kind)
    data = write_tiles([tile] * 16, kind=kind, size=(64, 64), tile_size=(2000, 2000), grid=(4, 4))
    with pytest.raises(TooLarge, match=r"4096 pixels \(64 × 64\), 64000000 as coded"):
        open_picture(data, LIMITS)


def test_a_tile_that_is_shown_often_counts_as_often() -> None:
    # libavif refuses these by itself.
    tile = encode_tile(flat(512, 512), b"hvc1")
    data = write_tiles(
        [tile],
        kind=b"hvc1",
        size=(4096, 4096),
        tile_size=(512, 512),
        grid=(16, 16),
        parts=[2] * 256,
    )
    with pytest.raises(TooLarge, match="67108864 as coded"):
        open_picture(data, LIMITS)


def test_items_that_show_each_other_are_refused() -> None:
    tile = encode_tile(flat(64, 64), b"hvc1")
    for parts in ([1], [2, 1], [3]):
        data = write_tiles(
            [tile],
            kind=b"hvc1",
            size=(64, 64),
            tile_size=(64, 64),
            grid=(len(parts), 1),
            parts=parts,
        )
        with pytest.raises(UnreadableImage, match="put together from"):
            open_picture(data, LIMITS)


def test_data_that_many_items_share_are_not_read_without_end() -> None:
    noise = encode_tile(Image.effect_noise((512, 512), 90).convert("RGB"), b"hvc1")
    data = write_tiles(
        [noise],
        kind=b"hvc1",
        size=(4096, 4096),
        tile_size=(512, 512),
        grid=(20, 20),
        parts=[2] * 400,
    )
    with pytest.raises(UnreadableImage, match="the same coded data too often"):
        open_picture(data, LIMITS)


def test_the_data_of_a_grid_itself_are_not_read_without_end() -> None:
    tile = encode_tile(flat(64, 64), b"hvc1")
    data = write_tiles([tile], kind=b"hvc1", size=(64, 64), tile_size=(64, 64), grid=(1, 1))
    place = struct.pack(">HHHHII", 1, 1, 0, 1, 0, 8)
    assert data.count(place) == 1
    # ISO/IEC 14496-12, 8.11.3: its pieces, of which all are the whole file but the first.
    more = struct.pack(">II", 0, 1_000_000) * 20
    longer = struct.pack(">HHHHII", 1, 0, 0, 21, len(data) + len(more), 8) + more
    for kind in (b"meta", b"iloc"):
        old = find_box(data, kind)
        data = data.replace(old[:8], struct.pack(">I4s", len(old) + len(more), kind))
    data = data.replace(place, longer) + bytes(1_000_000)
    with pytest.raises(UnreadableImage, match="the same coded data too often"):
        open_picture(data, LIMITS)


def test_what_other_pictures_of_a_heic_share_is_not_copied_for_each() -> None:
    tile = encode_tile(flat(64, 64), b"hvc1")
    profile = box(b"colr", b"prof", bytes(1_000_000))
    data = write_tiles(
        [tile] * 31,
        kind=b"hvc1",
        size=(64, 64),
        tile_size=(64, 64),
        grid=(1, 1),
        parts=[2],
        tile_properties=[profile],
    )
    assert len(pillow_heif.HeifFile(BytesIO(data))) == 32
    with tracing() as read_peak:
        picture = read_picture(data, LIMITS)
        peak_bytes = read_peak()
    assert (picture.width, picture.height) == (64, 64)
    assert peak_bytes < 5 * len(data)


def test_a_primary_picture_that_is_the_thumbnail_of_another_is_refused() -> None:
    # libheif lists pictures without their thumbnails; the other one would be decoded uncounted.
    small, large = encode_tile(flat(64, 64), b"hvc1"), encode_tile(flat(3000, 3000), b"hvc1")
    data = write_tiles([small, large], kind=b"hvc1", size=(64, 64), tile_size=(64, 64), grid=(2, 1))
    lying = data.replace(
        b"dimg" + struct.pack(">4H", 1, 2, 2, 3), b"thmb" + struct.pack(">4H", 2, 2, 3, 3)
    )
    lying = lying.replace(b"grid\0", b"mime\0")
    lying = lying.replace(b"pitm" + bytes(4) + b"\0\1", b"pitm" + bytes(4) + b"\0\2")
    with pytest.raises(UnreadableImage):
        read_picture(lying, LIMITS)


@pytest.mark.parametrize("chroma", [420, 422, 444])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGB;16", "RGBA;16"])
def test_the_samples_of_a_heic_count_by_its_coded_data(chroma: int, mode: str) -> None:
    values = bytes(64 * 64 * (4 if "A" in mode else 3) * (2 if "16" in mode else 1))
    heif = pillow_heif.from_bytes(mode, (64, 64), values)
    data = encode_heic(heif, chroma=chroma, quality=80)
    header = open_picture(data, LIMITS).header
    samples = {420: 1.5, 422: 2.0, 444: 3.0}[chroma] + ("A" in mode)
    assert header.bytes_per_pixel == samples * (5.5 if "16" in mode else 3.5)
    # What the container says of the chroma and the bits is not what is decoded.
    at = data.index(b"hvcC") + 4 + 16
    lying = data[:at] + bytes((0xFD, 0xF8, 0xF8)) + data[at + 3 :]
    assert open_picture(lying, LIMITS).header.bytes_per_pixel == header.bytes_per_pixel


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_a_container_without_a_primary_picture_is_refused(format: str) -> None:
    data = encode(draw(), "AVIF") if format == "AVIF" else encode_heic(draw())
    at = data.index(b"pitm") + 8
    with pytest.raises(UnreadableImage, match="no primary picture"):
        open_picture(data[:at] + b"\0\7" + data[at + 2 :], LIMITS)


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_what_a_container_says_twice_is_refused(format: str) -> None:
    data = encode(draw(), "AVIF") if format == "AVIF" else encode_heic(draw())
    meta = find_box(data, b"meta")
    with pytest.raises(UnreadableImage, match="two meta boxes"):
        open_picture(data + meta, LIMITS)
    primary = full_box(b"pitm", b"\0\1")
    longer = struct.pack(">I", len(meta) + len(primary)) + meta[4:] + primary
    with pytest.raises(UnreadableImage, match="two pitm boxes"):
        open_picture(data.replace(meta, longer), LIMITS)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (63, 65), (640, 480), (1025, 33)])
@pytest.mark.parametrize("animated", [False, True])
def test_the_size_in_the_coded_data_is_read_as_decoders_do(
    size: tuple[int, int], animated: bool
) -> None:
    others = [flat(*size).rotate(180)] if animated else []
    data = encode(flat(*size), "AVIF", speed=10, save_all=animated, append_images=others)
    frames = list_frames(find_box(data, b"mdat")[8:])
    assert frames[0] == size
    assert Image.open(BytesIO(data)).size == size
    assert (read_picture(data, LIMITS).width, len(frames) > 1) == (size[0], animated)


def write_wide(kind: bytes, image: Image.Image) -> bytes:
    """Write every number as wide as the boxes permit, as writers of large files do."""

    def wide_box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4sQ", 1, name, 16 + len(content)) + content

    coded, description = encode_tile(image, kind)
    ispe = full_box(b"ispe", struct.pack(">II", *image.size))
    uses = struct.pack(">IIIBHH", 1 << 24 | 1, 1, 70_000, 2, 0x8001, 2)
    entry = full_box(b"infe", struct.pack(">IH", 70_000, 0), kind, b"\0", version=3)
    brand = {b"av01": b"avif", b"hvc1": b"heic"}[kind]
    start = box(b"ftyp", brand, bytes(4), brand, b"mif1miaf")

    def write_meta(offset: int) -> bytes:
        place = struct.pack(">BBIIHHHQQ", 0x88, 0, 1, 70_000, 0, 0, 1, offset, len(coded))
        children = (
            full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", struct.pack(">I", 70_000), version=1),
            full_box(b"iinf", struct.pack(">I", 1), entry, version=1),
            wide_box(b"iprp", box(b"ipco", description, ispe) + box(b"ipma", uses)),
            full_box(b"iloc", place, version=2),
        )
        return wide_box(b"meta", bytes(4) + b"".join(children))

    offset = len(start) + len(write_meta(0)) + 16
    return start + write_meta(offset) + wide_box(b"mdat", coded)


@pytest.mark.parametrize("kind", [b"av01", b"hvc1"])
def test_a_container_may_write_its_numbers_wide(kind: bytes) -> None:
    image = draw(width=160, height=120)
    data = write_wide(kind, image)
    assert open_picture(data, LIMITS).header.coded_pixels > 0
    shown = np.asarray(read_picture(data, LIMITS).cut((0, 0, 160, 120))).astype(int)
    assert np.abs(shown - np.asarray(image))[10:50, 10:70].max() <= 8


def test_a_frame_that_says_its_own_size_counts_as_large_as_it_can_be() -> None:
    def write(bits: str, kind: int) -> bytes:
        content = int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2)
        length = -(-len(bits) // 8)
        return bytes((kind << 3 | 2, length)) + content.to_bytes(length, "big")

    # Profile, still, not reduced, no timing, no display delay, one operating point of level 0,
    # 12 and 11 bits of size: 640 × 480, no numbers, 7 tools off, no order hints, both tools off.
    sequence = "000" + "0" + "0" + "0" + "0" + "00000" + "0" * 17
    sequence += "1011" + "1010" + f"{639:012b}" + f"{479:011b}" + "0" + "0" * 7 + "0" + "00"
    # A key frame, shown, updates its tables; of its sequence's size, or not.
    whole, own = "0" + "00" + "1" + "0" + "0", "0" + "00" + "1" + "0" + "1"
    hidden = "0" + "00" + "0" + "0" + "0" + "0" + "1"
    data = write(sequence, 1) + write(whole, 6) + write(own, 6) + write(hidden, 3)
    assert list_frames(data) == [(640, 480), (4096, 2048), (4096, 2048)]
