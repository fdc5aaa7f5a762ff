"""Label files: the names of a model's outputs, one a line.

Read by models, evaluation and training, which writes them, too.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from dsapi.errors import StartupError, tell_cause


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a labels file: one label a line, blank lines at the end ignored.

    Raises:
        StartupError: the file cannot be read, is empty, or has a blank or repeated label.
    """
    try:
        # Some editors put a mark before UTF-8.
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"cannot read the labels {path}: {tell_cause(error)}; "
            "check `labels` in the model's section"
        ) from error
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels, start=1):
        if not label:
            raise StartupError(f"{path} has no label on line {number}; write one label a line")
        if label in labels[: number - 1]:
            raise StartupError(f"{path} repeats the label {label!r} on line {number}; remove one")
    return labels


def format_labels(labels: Sequence[str]) -> bytes:
    """Write labels down as `read_labels` reads them."""
    return "".join(f"{label}\n" for label in labels).encode()


def check_labels(labels: Sequence[str], *, where: str) -> None:
    """See that labels can stand in a labels file, and that nobody takes one for another.

    Raises:
        StartupError: one is blank, has blanks at its ends, a line break or half a character in it,
            or differs from another in case or accents' way of writing only.
    """
    seen: dict[str, str] = {}
    for label in labels:
        if label != label.strip() or not label.isprintable():
            raise StartupError(
                f"{where}: {label!r} can be no label; it has blanks at an end, or what is no text"
            )
        alike = unicodedata.normalize("NFC", label).casefold()
        if alike in seen:
            raise StartupError(
                f"{where}: the labels {seen[alike]!r} and {label!r} are hard to tell apart; "
                "write both alike"
            )
        seen[alike] = label
