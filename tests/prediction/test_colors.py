"""Embedded color profiles: known patches come back within 3 ΔE2000 of what they are."""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dsapi.prediction.formats.primaries import write_profile
from dsapi.prediction.picture import Limits, read_picture
from dsapi.training.colors.science import measure_lab
from tests.corpus.heif import encode_heic
from tests.corpus.png import chunk, write_png
from tests.corpus.profiles import (
    SPACES,
    cmyk_profile,
    gray_profile,
    rgb_profile,
    to_xyz_d50,
)
from tests.pictures import encode

Floats = NDArray[np.float64]
LIMITS = Limits()
# Within sRGB, so that every space can show them: grays, skin, foliage, sky, the six full hues
# somewhat desaturated (after the ColorChecker).
PATCHES: Floats = np.array(
    [
        *((243, 243, 242), (160, 160, 160), (52, 52, 52), (194, 150, 130), (87, 108, 67)),
        *((98, 122, 157), (175, 54, 60), (70, 148, 73), (56, 61, 150), (231, 199, 31)),
        *((187, 86, 149), (8, 133, 161), (214, 126, 44), (103, 189, 170)),
    ]
)


def shown(data: bytes) -> Floats:
    """The colors of a row of 16 × 16 patches, as sRGB."""
    picture = read_picture(data, LIMITS)
    count = picture.width // 16
    return np.array(
        [
            np.asarray(picture.cut((16 * at + 4, 4, 16 * at + 12, 12))).reshape(-1, 3).mean(axis=0)
            for at in range(count)
        ]
    )


def row(colors: NDArray[np.uint8], mode: str) -> Image.Image:
    """Draw a row of 16 × 16 patches."""
    pixels = np.repeat(np.repeat(colors[None], 16, axis=0), 16, axis=1)
    if mode != "CMYK":
        return Image.fromarray(pixels)
    return Image.frombytes(mode, (pixels.shape[1], 16), pixels.tobytes())


def linear(srgb: Floats) -> Floats:
    """Undo the sRGB curve (IEC 61966-2-1)."""
    values = srgb / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab_d50(srgb: Floats) -> Floats:
    """CIELAB relative to D50, as profiles have it (CIE 15:2004)."""
    matrix = to_xyz_d50("sRGB")
    relative = linear(srgb) @ matrix.T / matrix.sum(axis=1)
    f = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def curved(values: Floats) -> Floats:
    """Apply the sRGB curve."""
    low = values * 12.92
    return 255 * np.where(
        values <= 0.0031308, low, 1.055 * np.clip(values, 0, 1) ** (1 / 2.4) - 0.055
    )


def delta_e(first: Floats, second: Floats) -> Floats:
    """ΔE2000 (Sharma, Wu, Dalal 2005) between colors given as sRGB, ``[n, 3]`` of 0 to 255."""
    (l1, a1, b1), (l2, a2, b2) = (
        np.moveaxis(measure_lab(linear(rgb)), -1, 0) for rgb in (first, second)
    )
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + 25.0**7)))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = np.arctan2(b1, stretch * a1), np.arctan2(b2, stretch * a2)
    turn = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    hue = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)
    mean_h, mean_l, mean_c = h1 + turn / 2, (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(mean_h - np.pi / 6)
        + 0.24 * np.cos(2 * mean_h)
        + 0.32 * np.cos(3 * mean_h + np.pi / 30)
        - 0.20 * np.cos(4 * mean_h - 63 * np.pi / 180)
    )
    weigh_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    weigh_c, weigh_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    angle = np.exp(-(((np.degrees(mean_h) % 360 - 275) / 25) ** 2)) * np.pi / 3
    rotate = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(angle)
    light, chroma, tone = (l2 - l1) / weigh_l, (c2 - c1) / weigh_c, hue / weigh_h
    return np.asarray(np.sqrt(light**2 + chroma**2 + tone**2 + rotate * chroma * tone))


def in_space(name: str) -> NDArray[np.uint8]:
    """The patches as values of another RGB space."""
    xyz = to_xyz_d50("sRGB") @ linear(PATCHES).T
    values = np.clip(np.linalg.solve(to_xyz_d50(name), xyz), 0, 1).T ** (1 / SPACES[name][2])
    return np.asarray((values * 255).round().astype(np.uint8))


def test_the_ruler_measures_a_pair_of_the_paper_that_defines_it() -> None:
    # Equal colors are 0 apart, black and white 100.
    black_and_white = np.array([[0.0, 0, 0]]), np.array([[255.0, 255, 255]])
    assert delta_e(PATCHES, PATCHES).max() == 0
    assert delta_e(*black_and_white)[0] == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB", "ProPhoto RGB"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_wide_color_space_is_converted_to_srgb(name: str, format: str) -> None:
    options: dict[str, object] = {
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
    }.get(format, {})
    if format == "AVIF":
        options = {"quality": 98, "subsampling": "4:4:4"}
    image = row(in_space(name), "RGB")
    data = encode(image, format, icc_profile=rgb_profile(name), **options)
    assert delta_e(shown(data), PATCHES).max() <= 3
    without = encode(image, format, **options)
    assert delta_e(shown(without), PATCHES).max() > 3


def test_steps_without_end_in_a_profile_are_not_taken() -> None:
    image = row(PATCHES.astype(np.uint8), "RGB")
    plain, stepped = (rgb_profile("Display P3", steps=steps) for steps in (0, 50))
    expected = shown(encode(image, "PNG", icc_profile=plain))
    assert np.array_equal(shown(encode(image, "PNG", icc_profile=stepped)), expected)


def test_a_gray_profile_is_applied() -> None:
    shades = np.array([[20], [90], [180], [250]], np.uint8)
    image = row(np.repeat(shades, 3, axis=1), "RGB").convert("L")
    data = encode(image, "PNG", icc_profile=gray_profile(1.0))
    expected = np.repeat(curved(shades / 255.0), 3, axis=1)
    assert delta_e(shown(data), expected).max() <= 3


def test_white_stays_white_whatever_paper_a_profile_wants_to_be_shown_on() -> None:
    profile = rgb_profile("Display P3")
    # Of a scanner, absolute colorimetric (ICC.1:2022, 7.2.15), with the white of a yellow paper.
    at = profile.index(b"wtpt")
    place = int.from_bytes(profile[at + 4 : at + 8], "big") + 8
    yellow = struct.pack(">3i", *(round(value * 65536) for value in (0.85, 0.88, 0.5)))
    profile = profile[:12] + b"scnr" + profile[16:]
    asked = profile[:64] + struct.pack(">I", 3) + profile[68:place] + yellow + profile[place + 12 :]
    assert len(asked) == len(profile)
    data = encode(row(in_space("Display P3"), "RGB"), "PNG", icc_profile=asked)
    assert delta_e(shown(data), PATCHES).max() <= 3


def inks() -> NDArray[np.uint8]:
    """Paper, the four inks, their overprints, and tints."""
    full = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    tints = np.array([[0.5, 0, 0, 0], [0, 0.5, 0.5, 0], [0.3, 0.2, 0.2, 0.1], [0, 0, 0, 0.5]])
    return np.asarray((np.concatenate([full, tints]) * 255).round().astype(np.uint8))


@pytest.mark.parametrize(("format", "options"), [("JPEG", {"quality": 98}), ("TIFF", {})])
def test_cmyk_without_a_profile_is_ink_on_white_paper(
    format: str, options: dict[str, object]
) -> None:
    inked = inks()
    share = inked / 255
    expected = 255 * (1 - share[:, :3]) * (1 - share[:, 3:])
    data = encode(row(inked, "CMYK"), format, **options)
    assert delta_e(shown(data), expected).max() <= 3


@pytest.mark.parametrize(("format", "options"), [("JPEG", {"quality": 98}), ("TIFF", {})])
def test_cmyk_with_a_profile_shows_the_inks_it_describes(
    format: str, options: dict[str, object]
) -> None:
    # Colors of inks on paper within sRGB; what is full of black is black.
    paper = np.array([250, 250, 246]) / 255
    ink = np.array([[60, 140, 190], [190, 70, 120], [235, 215, 70], [50, 48, 46]]) / 255
    table = np.zeros((2, 2, 2, 2, 3))
    for at in np.ndindex(2, 2, 2, 2):
        filters = [ink[band] / paper for band in range(4) if at[band]]
        table[at] = np.prod([paper, *filters], axis=0)
    lab = lab_d50(255 * table)
    full = inks()[:16]
    data = encode(row(full, "CMYK"), format, icc_profile=cmyk_profile(lab), **options)
    assert delta_e(shown(data), 255 * table.reshape(-1, 3)).max() <= 3


@pytest.mark.parametrize(
    "profile",
    [
        *(
            b"",
            b"garbage" * 99,
            rgb_profile("Display P3")[:200],
            cmyk_profile(np.zeros((2,) * 4 + (3,))),
        ),
        rgb_profile("Display P3")[:132] + b"\xff" * 400,
        rgb_profile("Display P3") + bytes(5_000_000),
    ],
    ids=["none", "garbage", "truncated", "of CMYK", "corrupt", "5 MB"],
)
def test_a_profile_that_does_not_fit_is_passed_over(profile: bytes) -> None:
    data = encode(row(PATCHES.astype(np.uint8), "RGB"), "PNG", icc_profile=profile)
    assert delta_e(shown(data), PATCHES).max() <= 1


def named_colors(format: str, primaries: int, transfer: int) -> bytes:
    """Encode the patches as values of Display P3, and name a color space by its numbers."""
    xyz = to_xyz_d50("sRGB") @ linear(PATCHES).T
    values = np.clip(np.linalg.solve(to_xyz_d50("Display P3"), xyz), 0, 1).T
    image = row(np.asarray(curved(values).round().astype(np.uint8)), "RGB")
    if format == "PNG":
        named = chunk(b"cICP", bytes((primaries, transfer, 0, 1)))
        return write_png(np.asarray(image), extra=named)
    lossless = {"quality": 100, "subsampling": "4:4:4"}
    data = encode(image, "AVIF", **lossless) if format == "AVIF" else _encode_heic(image)
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def _encode_heic(image: Image.Image) -> bytes:
    return encode_heic(image, quality=100, chroma=444)


@pytest.mark.parametrize("format", ["PNG", "AVIF", "HEIC"])
def test_a_color_space_named_by_numbers_is_converted(format: str) -> None:
    assert delta_e(shown(named_colors(format, 12, 13)), PATCHES).max() <= 3
    # The same values taken as sRGB, or with a curve that goes beyond white, are not converted.
    for primaries, transfer in ((1, 13), (12, 16)):
        assert delta_e(shown(named_colors(format, primaries, transfer)), PATCHES).max() > 3


def test_the_built_profiles_have_the_primaries_of_their_spaces() -> None:
    for primaries, space in ((12, "Display P3"), (9, "BT.2020")):
        profile = write_profile(primaries, 13)
        at = profile.index(b"XYZ ", profile.index(b"acsp"))
        colorants = [
            np.frombuffer(profile[start + 8 : start + 20], ">i4") / 65536
            for start in range(at, len(profile))
            if profile[start : start + 8] == b"XYZ " + bytes(4)
        ]
        assert np.abs(np.array(colorants[1:]).T - to_xyz_d50(space)).max() < 2e-4
    assert write_profile(1, 13) == write_profile(9, 16) == b""
