"""The tree of errors, as its module draws it."""

import re
from collections.abc import Iterator

from dsapi import errors
from dsapi.errors import DsapiError, RequestError, quote


def find_kinds(kind: type[DsapiError]) -> Iterator[type[DsapiError]]:
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from find_kinds(below)


def test_the_tree_shows_every_error_and_its_status() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+) *(\d{3})?", errors.__doc__ or ""))
    assert set(drawn) == {kind.__name__ for kind in find_kinds(DsapiError)}
    for kind in find_kinds(RequestError):
        if shown := drawn[kind.__name__]:
            assert int(shown) == kind.status


def test_what_a_caller_sent_is_quoted_and_cut() -> None:
    assert quote("a\nb") == r"'a\nb'"
    assert quote("x" * 58) == f"'{'x' * 58}'"
    assert quote("x" * 59) == f"'{'x' * 58}…"
    assert quote([1, 2, 3], most=5) == "[1, …"
