"""Label files: the names of a model's outputs, one a line. Read by models and by evaluation."""

from pathlib import Path

from dsapi.errors import StartupError


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a labels file: one label a line, blank lines at the end ignored.

    Raises:
        StartupError: the file cannot be read, is empty, or has a blank or repeated label.
    """
    try:
        lines = path.read_text(encoding="utf-8").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"cannot read the labels {path}: {error}; check `labels` in the model's section"
        ) from error
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels, start=1):
        if not label:
            raise StartupError(f"{path} has no label on line {number}; write one label a line")
        if label in labels[: number - 1]:
            raise StartupError(f"{path} repeats the label {label!r} on line {number}; remove one")
    return labels
