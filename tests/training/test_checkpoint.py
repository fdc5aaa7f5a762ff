"""Checkpoints: what comes back, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsapi.errors import StartupError
from dsapi.training.checkpoint import Checkpoint


def variables(*values: float) -> list[Any]:
    import keras

    return [keras.Variable(np.full(3, value, np.float32)) for value in values]


def test_a_checkpoint_gives_back_variables_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "work" / "run.npz"
    Checkpoint(path, run="seed 1").save(variables(1.5, 2.5), history=np.arange(4.0))
    fresh = variables(0, 0)
    arrays = Checkpoint(path, run="seed 1").restore(fresh)
    assert arrays is not None
    assert [each.numpy().tolist() for each in fresh] == [[1.5] * 3, [2.5] * 3]
    assert arrays["history"].tolist() == [0, 1, 2, 3]
    Checkpoint(path, run="seed 1").remove()
    assert Checkpoint(path, run="seed 1").restore(fresh) is None


def test_a_checkpoint_of_another_run_changes_nothing(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "run.npz", run="seed 1").save(variables(1.5))
    fresh = variables(0)
    assert Checkpoint(tmp_path / "run.npz", run="seed 2").restore(fresh) is None
    assert fresh[0].numpy().tolist() == [0, 0, 0]


def test_a_file_that_is_no_checkpoint_is_named_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    checkpoint = Checkpoint(path, run="seed 1")
    checkpoint.save([])
    cut = path.read_bytes()[:-30]
    np.save(tmp_path / "array.npy", np.arange(4.0))
    for content in (b"", cut, b"words", (tmp_path / "array.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(StartupError, match=r"run\.npz is no checkpoint .*; remove it"):
            checkpoint.restore([])
