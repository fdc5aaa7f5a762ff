"""Mutated pictures × points × reductions: an answer or a documented error, nothing else."""

import gc
import logging
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.invariant import check_picture
from tests.corpus.malformed import SEEDS
from tests.corpus.valid import valid_pictures

_PICTURES = valid_pictures()
# The long form, `make fuzz-long`, draws others each time.
_LONG = os.environ.get("DSAPI_FUZZ") == "long"
SEED_DATA = [_PICTURES[name].make() for name in SEEDS]

# Where something is changed, as a share of the file, and how.
_PLACES = st.floats(0, 1, exclude_max=True)
_CHANGES = st.one_of(
    st.tuples(st.just("set"), _PLACES, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), _PLACES, st.binary(min_size=1, max_size=64)),
    st.tuples(st.just("cut"), _PLACES, st.integers(1, 400)),
    st.tuples(st.just("repeat"), _PLACES, st.integers(1, 400)),
    st.tuples(st.just("end"), _PLACES, st.just(0)),
)


def change(data: bytes, kind: str, place: float, what: bytes | int) -> bytes:
    """Change a file at one place."""
    # Squared: headers are at the front.
    at = int(place * place * len(data))
    if isinstance(what, bytes):
        return data[:at] + what + data[at + (len(what) if kind == "set" else 0) :]
    if kind == "cut":
        return data[:at] + data[at + what :]
    return data[: at + what] + data[at:] if kind == "repeat" else data[:at]


@settings(
    max_examples=20_000 if _LONG else 600,
    deadline=None,
    derandomize=not _LONG,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    data=st.sampled_from(SEED_DATA),
    changes=st.lists(_CHANGES, max_size=4),
    x=st.floats(0, 100),
    y=st.floats(0, 100),
    factor=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_a_mutated_picture_is_answered_or_refused(
    data: bytes,
    changes: list[tuple[str, float, bytes | int]],
    x: float,
    y: float,
    factor: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for kind, place, what in changes:
        data = change(data, kind, place, what)
    picture = check_picture(data, point=(x, y), factor=factor)
    assert picture is None or picture.bytes == len(data)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def test_memory_comes_back_to_its_level_after_thousands_of_odd_pictures() -> None:
    chance = random.Random(11)

    def read_many(count: int) -> None:
        for _ in range(count):
            data = bytearray(chance.choice(SEED_DATA))
            for _ in range(chance.randrange(4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            check_picture(bytes(data), point=(50, 50), factor=1)
        gc.collect()

    read_many(600)
    before = _resident_mib()
    read_many(2400)
    assert _resident_mib() - before < 24
