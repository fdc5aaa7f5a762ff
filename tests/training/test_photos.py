from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsapi.errors import StartupError
from dsapi.photos.files import PhotosError, read_upright
from dsapi.training.photos import (
    count_skipped_files,
    describe_unused_points,
    read_photos,
    require_one_label,
)
from dsapi.training.splitting import split_photos
from tests.corpus.heif import encode_heic


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_a_folder_per_label_is_split_by_seed_alone(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(20):
            save(tmp_path / label / f"{number}.png")
    first, again = read_photos(tmp_path, seed=4), read_photos(tmp_path, seed=4)
    assert first == again
    assert first != read_photos(tmp_path, seed=5)
    assert first.labels == ("cat", "dog")
    assert [sum(p.labels == (i,) for p in first.val) for i in (0, 1)] == [3, 3]
    assert not {p.path for p in first.train} & {p.path for p in first.val}


def test_a_folder_to_learn_from_alone_is_split_by_seed_too(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / "train/cat" / f"{number}.png")
        save(tmp_path / "train/dog" / f"{number}.png")
    first = read_photos(tmp_path, seed=4)
    assert (len(first.train), len(first.val)) == (34, 6)
    assert not {p.path for p in first.train} & {p.path for p in first.val}
    assert first == read_photos(tmp_path, seed=4) != read_photos(tmp_path, seed=5)


def test_of_photos_with_several_labels_each_label_is_held_out(tmp_path: Path) -> None:
    """Nearly every set of labels is the only one of its kind."""
    rng = np.random.default_rng(2)
    names = [f"label{number}" for number in range(12)]
    lines = ["file,labels"]
    for number in range(300):
        save(tmp_path / f"{number}.png")
        chosen = [name for name in names if rng.random() < 0.3]
        lines.append(f"{number}.png,{'|'.join(chosen)}")
    # Two photos of a rare label, and one of a label that must stay to be learned from.
    for number, labels in enumerate(("rare|label1", "rare|label2", "single|label3")):
        save(tmp_path / f"rare{number}.png")
        lines.append(f"rare{number}.png,{labels}")
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    first = read_photos(tmp_path / "photos.csv", seed=4)
    assert first == read_photos(tmp_path / "photos.csv", seed=4)
    assert first != read_photos(tmp_path / "photos.csv", seed=5)
    assert len(first.train) + len(first.val) == 303
    for index, name in enumerate(first.labels):
        held = sum(index in photo.labels for photo in first.val)
        total = held + sum(index in photo.labels for photo in first.train)
        if name.startswith("label"):
            assert 0.13 < held / total < 0.2
        else:
            assert (name, held, total) in (("rare", 1, 2), ("single", 0, 1))
    assert first.unmeasured == ("single",)


def test_each_of_several_labels_is_held_out_by_its_share_and_keeps_a_photo_to_learn_from() -> None:
    # Ten rare labels, two photos each, stand beside a common one; some photos show nothing.
    rare = [(0, 1 + number % 10) for number in range(20)]
    photos = [*rare, *[(0,)] * 80, *[()] * 20]
    _, held = split_photos(photos, seed=4)
    assert sum(0 in photos[each] for each in held) == 15
    assert sum(not photos[each] for each in held) == 3
    alone = [(0, 1), (2, 1), (3,), (3,)]
    assert {alone[each] for each in split_photos(alone, seed=4)[1]} == {(3,)}


def test_one_label_a_photo_is_split_as_ever() -> None:
    """A changed split would change what a training gives, and what goes on from a checkpoint."""
    train, held = split_photos([(number % 3,) for number in range(24)], seed=4)
    assert held == [3, 4, 2]
    assert train[:5] == [6, 0, 21, 12, 15]


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


def test_a_list_beside_folders_of_labels_gives_their_order(tmp_path: Path) -> None:
    for name in ("cat/a", "cat/b", "dog/c", "dog/d"):
        save(tmp_path / f"{name}.png")
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    collection = read_photos(tmp_path)
    assert collection.labels == ("dog", "cat")
    shown = {p.path.parent.name: p.labels for p in (*collection.train, *collection.val)}
    assert shown == {"dog": (0,), "cat": (1,)}


def test_labels_that_look_alike_are_refused(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    (tmp_path / "photos.csv").write_text(
        "file,labels\na.png,cat\nb.png,Cat\nc.png,cat\nd.png,Cat\n"
    )
    with pytest.raises(StartupError, match="'Cat' and 'cat' are hard to tell apart"):
        read_photos(tmp_path / "photos.csv")


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


@pytest.mark.parametrize(("labels", "count"), [("", 0), ("cat|dog", 2)])
def test_a_training_on_one_label_a_photo_refuses_other_photos(
    tmp_path: Path, labels: str, count: int
) -> None:
    for name in "abcde":
        save(tmp_path / f"{name}.png")
    lines = ("file,labels", "a.png,cat", "b.png,cat", "c.png,dog", "d.png,dog")
    (tmp_path / "photos.csv").write_text("\n".join((*lines, f"e.png,{labels}")))
    with pytest.raises(PhotosError, match=rf"e\.png has {count} labels, one is needed"):
        require_one_label(read_photos(tmp_path / "photos.csv"))
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    require_one_label(read_photos(tmp_path / "photos.csv"))


def test_rows_for_testing_are_not_trained_with(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    (tmp_path / "photos.csv").write_text(
        "file,labels,split\na.png,cat,train\nb.png,dog,Train\nc.png,dog,val \nd.png,cow,test\n"
    )
    collection = read_photos(tmp_path / "photos.csv")
    assert collection.labels == ("cat", "dog")
    assert [p.path.name for p in collection.train + collection.val] == ["a.png", "b.png", "c.png"]
    (tmp_path / "photos.csv").write_text("file,labels,split\na.png,cat,train\nb.png,dog,dev\n")
    with pytest.raises(PhotosError, match="line 3: split is train, val or test, not 'dev'"):
        read_photos(tmp_path / "photos.csv")


def test_a_table_without_rows_to_measure_with_is_told_so(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    table = tmp_path / "photos.csv"
    table.write_text("file,labels,split\na.png,cat,train\nb.png,dog,train\n")
    with pytest.raises(PhotosError, match=r"photos\.csv: no row is split=val; mark some so"):
        read_photos(table)


def test_blanks_around_labels_and_repetitions_count_for_nothing(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    (tmp_path / "photos.csv").write_text(
        "file,labels\na.png,cars | dogs\nb.png, cars\nc.png,cars|cars\nd.png,cars\n"
    )
    collection = read_photos(tmp_path / "photos.csv")
    assert collection.labels == ("cars", "dogs")
    assert sorted(p.labels for p in collection.train + collection.val) == [(0,), (0,), (0,), (0, 1)]


def test_a_table_for_evaluation_is_understood(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    (tmp_path / "photos.csv").write_text(
        "file,label\na.png,cars\nb.png,cars\nc.png,dogs\nd.png,dogs\n"
    )
    assert read_photos(tmp_path / "photos.csv").labels == ("cars", "dogs")


def test_points_that_training_would_not_use_are_told(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    table = tmp_path / "photos.csv"

    def tell(point: str) -> str | None:
        rows = ("a.png,cat,train,,", f"b.png,dog,train,{point}", "c.png,dog,val,,")
        table.write_text("\n".join(("file,label,split,x,y", *rows, "d.png,dog,test,3,4")))
        return describe_unused_points(read_photos(table))

    for point in ("3,4", "3,", ",4"):
        told = tell(point)
        assert told is not None
        assert "photos.csv, line 3 has a point, which training leaves unused" in told
    # What is kept for testing is asked about at its points.
    assert tell(",") is None
    table.write_text("file,label,y\na.png,cat,\nb.png,cat,\nc.png,dog,5\n")
    assert "line 4 has a point" in str(describe_unused_points(read_photos(table)))


def test_a_folder_to_measure_with_that_nothing_is_learned_for_is_named(tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "val/cat", "val/horse"):
        save(tmp_path / folder / "a.png")
    with pytest.raises(PhotosError, match=r"folder .*val/horse is no label"):
        read_photos(tmp_path)


def test_a_photo_in_two_lines_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "photos.csv").write_text("file,labels\na.png,beach\na.png,sunset\n")
    with pytest.raises(PhotosError, match=r"line 3: .*a\.png stands in .*line 2 already"):
        read_photos(tmp_path / "photos.csv")


@pytest.mark.parametrize("name", ["x" * 5000, ""])
def test_a_name_that_no_file_can_have_is_a_missing_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "photos.csv").write_text(f"file,labels\n{name},beach\n")
    with pytest.raises(PhotosError, match="line 2: there is no file"):
        read_photos(tmp_path / "photos.csv")


def test_a_label_may_be_called_train(tmp_path: Path) -> None:
    for label in ("car", "train"):
        for name in "ab":
            save(tmp_path / label / f"{name}.png")
    assert read_photos(tmp_path).labels == ("car", "train")


def test_a_folder_that_would_not_be_measured_with_is_named(tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "validation/cat"):
        save(tmp_path / folder / "a.png")
    with pytest.raises(PhotosError, match=r"rename .*validation to val"):
        read_photos(tmp_path)


def test_skipped_files_are_counted_in_every_layout(tmp_path: Path) -> None:
    for folder in ("plain/cat", "split/train/cat", "split/val/cat"):
        save(tmp_path / folder / "a.png")
        (tmp_path / folder / "a.txt").touch()
    (tmp_path / "photos.csv").touch()
    names = ("plain", "split", "photos.csv")
    assert [count_skipped_files(tmp_path / name) for name in names] == [1, 2, 0]


def test_another_size_or_label_of_a_photo_is_another_collection(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    table = tmp_path / "photos.csv"
    text = "file,labels,split\na.png,cat,train\nb.png,dog,train\nc.png,cat,val\nd.png,dog,train\n"
    table.write_text(text)
    before = read_photos(table).identity
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.png")
    assert read_photos(table).identity != before
    save(tmp_path / "a.png")
    assert read_photos(table).identity == before
    table.write_text(text.replace("d.png,dog", "d.png,cat"))
    assert read_photos(table).identity != before


def test_a_missing_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,labels\ngone.png,beach\n")
    with pytest.raises(PhotosError, match=r"line 2: there is no file .*gone\.png"):
        read_photos(tmp_path / "photos.csv")


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("path,labels\na.png,beach\n")
    with pytest.raises(PhotosError, match="must name the columns file and labels"):
        read_photos(tmp_path / "photos.csv")


def test_a_single_label_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png")
    with pytest.raises(PhotosError, match="has one label, at least two are needed"):
        read_photos(tmp_path)


def test_one_photo_a_label_leaves_none_to_measure_with_and_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "dog" / "b.png")
    with pytest.raises(PhotosError, match="no photo to measure with; add a second photo"):
        read_photos(tmp_path)


def test_a_label_that_nothing_is_learned_from_is_refused_by_its_name(tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "val/cat"):
        save(tmp_path / folder / "a.png")
    (tmp_path / "labels.txt").write_text("cat\ncow\ndog\n")
    with pytest.raises(PhotosError, match="no training photo for cow"):
        read_photos(tmp_path)


def test_an_empty_val_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat" / "a.png")
    save(tmp_path / "train" / "dog" / "b.png")
    (tmp_path / "val" / "cat").mkdir(parents=True)
    with pytest.raises(PhotosError, match="no photo to measure with"):
        read_photos(tmp_path)


@pytest.mark.parametrize("parent", [".", "train"])
def test_hidden_folders_and_files_are_no_labels_and_no_photos(tmp_path: Path, parent: str) -> None:
    for label in ("cat", "dog"):
        for name in ("a.png", "b.png", "._a.png"):
            save(tmp_path / parent / label / name)
    save(tmp_path / parent / ".thumbnails" / "c.png")
    collection = read_photos(tmp_path)
    assert collection.labels == ("cat", "dog")
    assert {p.path.name for p in (*collection.train, *collection.val)} == {"a.png", "b.png"}


@pytest.mark.parametrize("suffix", ["jpe", "avif", "heic", "HEIF"])
def test_every_format_that_evaluation_reads_is_trained_on(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("RGB", (64, 48), (200, 30, 30))
    for label in ("cat", "dog"):
        for name in "ab":
            path = tmp_path / label / f"{name}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            if suffix.lower() in ("heic", "heif"):
                path.write_bytes(encode_heic(picture))
            else:
                picture.save(path)
    collection = read_photos(tmp_path)
    assert len(collection.train) == len(collection.val) == 2
    image = read_upright(collection.train[0].path)
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert image.getpixel((30, 20)) == pytest.approx((200, 30, 30), abs=12)


def test_a_table_written_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    table = "file,labels\na.png,cat\nb.png,cat\nc.png,dog\nd.png,dog\n"
    (tmp_path / "photos.csv").write_text(table, encoding="utf-8-sig")
    assert read_photos(tmp_path / "photos.csv").labels == ("cat", "dog")


def test_a_line_without_labels_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "photos.csv").write_text("file,labels\na.png\n")
    with pytest.raises(PhotosError, match="line 2: the column labels is missing"):
        read_photos(tmp_path / "photos.csv")


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        save(tmp_path / "train" / label / "a.png")
    (tmp_path / "manifest.csv").write_text("path,shop\n")
    with pytest.raises(PhotosError, match="must name the columns file and source_repo"):
        read_photos(tmp_path)
