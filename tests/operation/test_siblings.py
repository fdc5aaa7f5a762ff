"""Several processes tell one set of numbers, whoever is asked; one that is silent is left out."""

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dsapi.operation.siblings import Render, Siblings, merge


def render_counted(count: int) -> Render:
    """Make numbers of each kind that a process has."""
    registry = CollectorRegistry()
    Counter("asked", 'Of a "form"', ["form"], registry=registry).labels('a"\\b').inc(count)
    Histogram("seconds", "Of each", buckets=(1, 4), registry=registry).observe(count)
    return lambda: generate_latest(registry)


def read(text: bytes) -> dict[tuple[str, str, str], float]:
    """Read values by name, process and the other label's value."""
    return {
        (
            sample.name,
            sample.labels["process"],
            sample.labels.get("form") or sample.labels.get("le", ""),
        ): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_each_process_tells_the_numbers_of_all() -> None:
    siblings = Siblings(3)
    renders = [siblings.share(place, render_counted(place + 1)) for place in range(3)]
    for render in renders:
        found = read(render())
        for place in range(3):
            count = place + 1
            assert found["asked_total", str(place), 'a"\\b'] == count
            assert found["seconds_bucket", str(place), "1.0"] == (count <= 1)
            assert found["seconds_bucket", str(place), "+Inf"] == 1
            assert found["seconds_sum", str(place), ""] == count
        assert len(found) == 3 * 6


def test_a_metric_is_described_once_before_the_numbers_of_all() -> None:
    lines = merge({place: render_counted(1)() for place in (1, 0)}).decode().splitlines()
    begin = lines.index("# TYPE asked_total counter")
    assert lines.count("# TYPE asked_total counter") == 1
    assert [line.rpartition("process=")[2] for line in lines[begin + 1 : begin + 3]] == [
        '"0"} 1.0',
        '"1"} 1.0',
    ]


def test_numbers_lose_nothing_on_their_way() -> None:
    text = b'# TYPE level gauge\nlevel 1.7959160711300204e+09\nlevel{a="b"} NaN\n'
    found = {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(merge({0: text}).decode())
        for sample in family.samples
    }
    assert found[("process", "0"),] == 1.7959160711300204e09
    assert math.isnan(found[("a", "b"), ("process", "0")])


def test_a_process_that_does_not_answer_is_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    siblings = Siblings(2)
    render = siblings.share(0, render_counted(1))
    assert {place for _, place, _ in read(render())} == {"0"}
    assert "process 1 does not tell its numbers in time" in caplog.text
    # When it does again, what had asked before is no more.
    siblings.share(1, render_counted(2))
    assert {place for _, place, _ in read(render())} == {"0", "1"}


def test_numbers_of_many_models_arrive_whole() -> None:
    siblings = Siblings(2)
    # More than a socket holds at a time.
    many = b"".join(b'level{model="%d"} 1\n' % number for number in range(20_000))
    first = siblings.share(0, render_counted(1))
    siblings.share(1, lambda: b"# TYPE level gauge\n" + many)
    assert first().count(b"level{model=") == 20_000
