"""A training that is cut in its midst: the console on which its lines appear fails."""

from __future__ import annotations

from typing import IO

from rich.console import Console


class CutError(Exception):
    """Stands for a power failure."""


class CuttingConsole(Console):
    """A console on which the second epoch's line, or what is named, is the last thing printed."""

    def __init__(self, *, file: IO[str], last: str = "epoch 2 of") -> None:
        super().__init__(file=file)
        self._last = last

    def print(self, *objects: object, **options: object) -> None:  # type: ignore[override]
        super().print(*objects, **options)  # type: ignore[arg-type]
        if self._last in str(objects[0]):
            raise CutError
