"""Photos are seen in training and evaluation as the server sees them."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsapi.evaluation import photos as evaluation
from dsapi.photos.files import PhotosError, count_skipped, list_photos, open_photo, read_upright
from dsapi.settings import load_settings
from dsapi.settings.config_file import default_config
from dsapi.training import photos as training
from tests.another_user import ask_as_another_user


def read_to_evaluate(data: Path) -> object:
    return evaluation.read_photos(data, ("cat", "dog"))


def test_a_photo_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture at all")
    for name in ("a.jpg", "gone.jpg"):
        with pytest.raises(PhotosError, match=rf"{name} cannot be read .*; remove or replace it"):
            read_upright(tmp_path / name)


def test_gray_levels_of_16_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "a.png")
    assert read_upright(tmp_path / "a.png").getpixel((1, 1)) == (128, 128, 128)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_upright(tmp_path / "a.png").getpixel((1, 1)) == (255, 255, 255)


def test_a_photo_held_sideways_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_upright(tmp_path / "a.jpg").size == (4, 8)


def test_photos_are_found_below_a_folder_but_not_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.jpg", "inner/a.JPEG", "c.jfif", "._b.jpg", ".thumbnails/c.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in list_photos(tmp_path)]
    assert found == ["b.jpg", "c.jfif", "inner/a.JPEG"]


def test_every_usual_name_of_a_permitted_format_is_that_of_a_photo(tmp_path: Path) -> None:
    usual = "avif, bmp, gif, heic, heif, jfif, jpe, jpeg, jpg, png, tif, tiff, webp"
    for suffix in (*usual.split(", "), "pdf", "svg", "txt"):
        (tmp_path / f"a.{suffix}").touch()
    assert ", ".join(path.suffix[1:] for path in list_photos(tmp_path)) == usual


def test_files_that_are_skipped_are_counted_but_not_hidden_ones_nor_those_beside(
    tmp_path: Path,
) -> None:
    for name in ("cat/a.jpg", "cat/b.webp2", "dog/deep/c", "cat/.DS_Store", ".x/d", "labels.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert count_skipped(tmp_path) == 2


@pytest.mark.parametrize("read", [read_to_evaluate, training.read_photos])
@pytest.mark.parametrize("closed", ["photos.csv", "photos", "photos/cat", "photos/cat/more"])
def test_what_may_not_be_read_is_named_and_not_left_out(
    read: Callable[[Path], object], closed: str
) -> None:
    with tempfile.TemporaryDirectory() as name:  # unlike pytest's own, it can be entered by others
        folder = Path(name)
        folder.chmod(0o755)
        for label in ("cat", "cat/more", "dog"):
            (folder / "photos" / label).mkdir(parents=True, exist_ok=True)
            for photo in ("a.png", "b.png"):
                (folder / "photos" / label / photo).touch()
        (folder / "photos.csv").write_text("file,labels\nphotos/cat/a.png,cat\n")
        (folder / closed).chmod(0)
        told = ask_as_another_user(read, folder / closed.split("/")[0])
        (folder / closed).chmod(0o755)
    assert told.startswith(f"cannot read {folder / closed}")
    assert told.endswith(": Permission denied; let this user read it")


def test_photos_are_decoded_within_the_limits_of_a_server(tmp_path: Path) -> None:
    limits = load_settings(default_config()).limits
    side = math.isqrt(limits.max_pixels)
    Image.new("RGB", (side, side)).save(tmp_path / "a.jpg")
    Image.new("RGB", (side, side + 2)).save(tmp_path / "b.jpg")
    assert open_photo(tmp_path / "a.jpg").width == side
    assert max(read_upright(tmp_path / "a.jpg").size) <= limits.working_side
    with pytest.raises(PhotosError, match=f"max_pixels is {limits.max_pixels}"):
        open_photo(tmp_path / "b.jpg")
