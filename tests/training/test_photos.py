from pathlib import Path

import pytest
from PIL import Image

from dsapi.training.photos import PhotosError, read_photos


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_a_folder_per_label_is_split_by_seed_alone(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(20):
            save(tmp_path / label / f"{number}.png")
    first, again = read_photos(tmp_path, seed=4), read_photos(tmp_path, seed=4)
    assert first == again
    assert first.labels == ("cat", "dog")
    assert [sum(p.labels == (i,) for p in first.val) for i in (0, 1)] == [3, 3]
    assert not {p.path for p in first.train} & {p.path for p in first.val}


def test_numbered_folders_take_their_names_from_the_list(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("Men's Fashion\nBags & Accessories\n")
    for split in ("train", "val"):
        save(tmp_path / split / "00-mens-fashion" / "a.jpg")
        save(tmp_path / split / "01-bags" / "b.jpg")
    (tmp_path / "manifest.csv").write_text("file,source_repo\ntrain/01-bags/b.jpg,some/shop\n")
    collection = read_photos(tmp_path)
    assert collection.labels == ("Men's Fashion", "Bags & Accessories")
    assert [(p.labels, p.source) for p in collection.train] == [((0,), ""), ((1,), "some/shop")]
    assert [p.labels for p in collection.val] == [(0,), (1,)]


def test_a_table_may_give_several_labels_or_none(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    (tmp_path / "photos.csv").write_text(
        "file,labels,split,source\na.png,beach|sunset,train,me\nb.png,,train,\n"
        "c.png,sunset,val,me\nd.png,beach,train,me\n"
    )
    collection = read_photos(tmp_path / "photos.csv")
    assert collection.labels == ("beach", "sunset")
    assert [p.labels for p in collection.train] == [(0, 1), (), (0,)]
    assert [p.source for p in collection.train] == ["me", "", "me"]
    assert [p.labels for p in collection.val] == [(1,)]


def test_a_missing_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,labels\ngone.png,beach\n")
    with pytest.raises(PhotosError, match=r"line 2: there is no file .*gone\.png"):
        read_photos(tmp_path / "photos.csv")


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("path,label\na.png,beach\n")
    with pytest.raises(PhotosError, match="needs the columns file and labels"):
        read_photos(tmp_path / "photos.csv")


def test_a_single_label_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png")
    with pytest.raises(PhotosError, match="at least 2"):
        read_photos(tmp_path)
