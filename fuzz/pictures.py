"""A fuzz target: any bytes are answered or refused with a documented error, and nothing else.

    python -m fuzz.pictures --write-seeds CORPUS_DIR
    python -m fuzz.pictures -atheris_runs=20000 -max_len=65536 CORPUS_DIR

Needs the extra ``fuzz``; where atheris has no wheel, nothing is fuzzed.
Further options are libFuzzer's: ``-max_total_time=3600``, ``-jobs=2``, a file to repeat one input.
"""

import logging
import sys
from pathlib import Path


class _LogIsClean(logging.Handler):
    """Turns a warning or an error in the log into a finding."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(f"logged: {record.getMessage()}")


def write_seeds(folder: Path) -> None:
    """Write the test corpus for the fuzzer to start from."""
    from tests.corpus.malformed import malformed_pictures
    from tests.corpus.valid import valid_pictures

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {name: case.make() for name, case in valid_pictures().items()}
    pictures |= {name: data for name, (data, _) in malformed_pictures().items()}
    for index, data in enumerate(pictures.values()):
        if len(data) <= 65_536:
            (folder / f"seed-{index:03d}").write_bytes(data)


def main() -> None:
    """Write seeds, or fuzz until an option or a finding ends it."""
    if sys.argv[1:2] == ["--write-seeds"]:
        write_seeds(Path(sys.argv[2]))
        return
    try:
        import atheris
    except ImportError:
        print("atheris is not installed here (extra: fuzz); nothing is fuzzed")
        return
    with atheris.instrument_imports(include=["dsapi.prediction", "PIL"]):
        from fuzz.invariant import check_picture

    def read(data: bytes) -> None:
        """Let the last two bytes choose the point and the reduction."""
        last, other = (data[-1], data[-2]) if len(data) > 1 else (0, 0)
        check_picture(data, point=(last % 101, other % 101), factor=1 << last % 4)

    logging.getLogger().addHandler(_LogIsClean(logging.WARNING))
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
