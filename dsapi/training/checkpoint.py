"""The checkpoint of a training: one file from which it goes on when it was cut.

Enters: a network's and its optimizers' variables, or only arrays. Leaves: the same, in a run that
agrees on data and settings. Called by every ``dsapi train``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError
from dsapi.training.freezing import write_atomically


class Checkpoint:
    """A file that holds how far a training has come."""

    def __init__(self, path: Path, *, run: str) -> None:
        """Keep it at `path`; `run` describes all that a result depends on."""
        self._path = path
        self._run = run

    def exists(self) -> bool:
        """Tell whether there is a checkpoint, of whichever run."""
        return self._path.exists()

    def save(self, variables: Sequence[Any], **more: NDArray[Any]) -> None:
        """Write the values of Keras variables and `more` arrays, whole or not at all."""
        arrays: dict[str, Any] = {"run": np.array(self._run), **more}
        arrays |= {f"variable{index}": np.asarray(each) for index, each in enumerate(variables)}
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        write_atomically(self._path, stream.getvalue())

    def restore(self, variables: Sequence[Any]) -> Mapping[str, NDArray[Any]] | None:
        """Put the saved values into the variables and give the other arrays.

        Returns:
            ``None`` if there is no checkpoint, or one of another run.

        Raises:
            StartupError: the file is no checkpoint.
        """
        if not self.exists():
            return None
        try:
            # Opened here: np.load would leave a file open that only begins as an archive does.
            with self._path.open("rb") as stream, np.load(stream) as saved:
                arrays = dict(saved)
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise StartupError(
                f"{self._path} is no checkpoint of a training; remove it to begin anew"
            ) from error
        if str(arrays.pop("run", "")) != self._run:
            return None
        for index, variable in enumerate(variables):
            variable.assign(arrays.pop(f"variable{index}"))
        return arrays

    def remove(self) -> None:
        """Delete the file: the training is done."""
        self._path.unlink(missing_ok=True)
