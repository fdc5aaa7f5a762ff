"""Fields: the names and values of a query, a form or JSON, each name once and known.

Called by `dsapi.web.bodies`, and by `dsapi.web.parameters` for JSON within a field.
"""

import json
import re
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import parse_qsl

from dsapi.errors import BadParameter, BadRequest, MissingImage, quote

MAX_FIELDS = 32
# Of a form, or of a field that is no picture. A path has 4096 at most, which a form triples.
MAX_TEXT_BYTES = 64 * 1024
# What JSON may have of commas and opening brackets, within text too: each may begin a value, which
# takes a hundred times the memory of what it is written in. A batch of 64 points has 256.
MAX_JSON_MARKS = 10_000
PICTURE_FIELDS = ("image", "path")
# JSON can name halves of a character, which no encoding can write.
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_pairs(text: str, where: str) -> dict[str, Any]:
    """Read the text of a query or a form.

    Raises:
        BadRequest: it is malformed.
        BadParameter: a name came twice, or is no text; `MissingImage` if it is a picture's.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest(f"{where} is malformed or has over {MAX_FIELDS} fields") from error
    return gather_unique(pairs)


def load_json(text: str | bytes) -> Any:
    """Read JSON whose names come once each.

    Raises:
        ValueError: it is malformed, nested too deeply, or has more values than any request needs.
        BadParameter: a name came twice, or is no text; `MissingImage` if it is a picture's.
    """
    if _count_marks(text) > MAX_JSON_MARKS:
        raise ValueError(f"it has over {MAX_JSON_MARKS} commas and opening brackets")
    try:
        return json.loads(text, object_pairs_hook=gather_unique, parse_int=_parse_integer)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _count_marks(text: str | bytes) -> int:
    if isinstance(text, str):
        return sum(map(text.count, (",", "[", "{")))
    return sum(map(text.count, (b",", b"[", b"{")))


def _parse_integer(digits: str) -> int | str:
    """Read an integer; one with more digits than Python counts stays text, to be quoted."""
    try:
        return int(digits)
    except ValueError:
        return digits


def gather_unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a mapping of pairs; a name that comes twice is an error, not a choice.

    Raises:
        BadParameter: a name came twice, or is no text; `MissingImage` if it is a picture's.
    """
    mapping: dict[str, Any] = {}
    for name, value in pairs:
        if _SURROGATE.search(name):
            raise BadParameter(f"the name {quote(name)} is no text")
        if name in mapping:
            raise came_twice(name)
        mapping[name] = value
    return mapping


def came_twice(name: str, where: str = "") -> BadRequest:
    """Make the error of a name that came twice."""
    kind = MissingImage if name in PICTURE_FIELDS else BadParameter
    return kind(f"{quote(name)} came twice{where}")


def check_name(name: str, known: Collection[str]) -> None:
    """Refuse an unknown parameter: a misspelt one must not be ignored.

    Raises:
        BadParameter: it is not among the known.
    """
    if name not in PICTURE_FIELDS and name not in known:
        there = ", ".join((*PICTURE_FIELDS, *known))
        raise BadParameter(f"unknown parameter {quote(name)}; there are {there}")


def decode_text(value: bytes, where: str) -> str:
    """Read a form, or a field of one, as text.

    Raises:
        BadRequest: it is none, or too long.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"{where} is not UTF-8 text; a picture as body needs Content-Type: image/jpeg or the "
            "like, a picture in a form needs multipart/form-data"
        ) from error
    if len(value) > MAX_TEXT_BYTES:
        raise BadRequest(
            f"{where} has {len(value)} bytes, of text there may be {MAX_TEXT_BYTES}; a picture "
            "comes as the body, in multipart/form-data or as base64 in JSON"
        )
    return text
