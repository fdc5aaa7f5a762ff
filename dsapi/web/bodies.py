"""Bodies: a request's bytes in, a picture (or its path) and the other parameters out.

CherryPy's own multipart parser reads line by line into temporary files, 4 to 6 ms for 300 kB,
nearly as long as an inference; this reads large pieces and splits them in memory.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

import cherrypy
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from dsapi.errors import (
    BadParameter,
    BadRequest,
    LengthRequired,
    MissingImage,
    TooLarge,
    quote,
)
from dsapi.prediction.deadline import Deadline

_PIECE_BYTES = 256 * 1024
_MAX_FIELDS = 32
_PICTURE_FIELDS = ("image", "path")
# JSON can name halves of a character, which no encoding can write.
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Stream(Protocol):
    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True)
class Form:
    """What a request brought: a picture or the path of one, and parameters as they came."""

    image: bytes | None
    path: str | None
    parameters: dict[str, Any]


def read_body(*, max_bytes: int, deadline: Deadline) -> bytes:
    """Read the body of the current request, whether its length is announced or not.

    After an error the connection is closed, as what is left of the body would be taken for the
    next request; `dsapi.web.http_server` sees to it.

    Raises:
        LengthRequired: the body has neither a length nor chunks.
        TooLarge: over `max_bytes`, announced or counted.
        BadRequest: the body ends early, stalls, or its chunks are malformed.
        DeadlineExceeded: it came too slowly.
    """
    environ = cherrypy.serving.request.wsgi_environ
    length = _announced_length(environ)
    return _read_all(environ["wsgi.input"], length=length, max_bytes=max_bytes, deadline=deadline)


def _announced_length(environ: dict[str, Any]) -> int | None:
    """Find the body's length; ``None`` if it comes in chunks."""
    if environ.get("wsgi.input_terminated"):
        return None
    announced = environ.get("CONTENT_LENGTH", "")
    if not announced:
        raise LengthRequired("the request needs a Content-Length, or a chunked body")
    return int(announced)


def _read_all(stream: _Stream, *, length: int | None, max_bytes: int, deadline: Deadline) -> bytes:
    if length is not None and length > max_bytes:
        raise TooLarge(f"the body has {length} bytes, max_bytes is {max_bytes}")
    pieces = []
    count = 0
    try:
        while piece := stream.read(_PIECE_BYTES):
            pieces.append(piece)
            count += len(piece)
            if count > max_bytes:
                raise TooLarge(f"the body has over {max_bytes} bytes, max_bytes is {max_bytes}")
            deadline.check()
    except TimeoutError as error:
        deadline.check()
        raise BadRequest(f"the body stalled after {count} bytes") from error
    except (OSError, ValueError) as error:
        raise BadRequest(f"the body is malformed after {count} bytes") from error
    if length is not None and count < length:
        raise BadRequest(f"the body ends after {count} of {length} bytes")
    return b"".join(pieces)


def parse_form(content_type: str, body: bytes, query: str, *, known: Collection[str]) -> Form:
    """Take a request apart.

    A body of any type that is no form and no JSON is the picture itself: its bytes decide.

    Args:
        content_type: the header, possibly empty.
        body: the whole body.
        query: the query string.
        known: names of the parameters beside the picture.

    Raises:
        BadParameter: a parameter is unknown or came twice, or its name is no text.
        MissingImage: no picture, or more than one.
        BadRequest: the body is not what the content type says.
    """
    media_type, options = parse_options_header(content_type)
    parameters = _unique(_parse_pairs(query, "the query string"))
    if media_type == "multipart/form-data":
        fields = _unique(split_multipart(body, options.get("boundary", ""), known=known))
    elif media_type == "application/x-www-form-urlencoded":
        fields = _unique(_parse_pairs(_text(body, "the form"), "the form"))
    elif media_type == "application/json":
        fields = _parse_json(body)
    else:
        if not body:
            raise MissingImage("the body is empty: send a picture, or a form that names one")
        fields = {"image": body}
    for name, value in fields.items():
        if name in parameters:
            raise _twice(name, ", in the query and in the body")
        parameters[name] = value
    return gather_form(parameters, known=known)


def gather_form(parameters: Mapping[str, Any], *, known: Collection[str]) -> Form:
    """Separate the picture from the other parameters, whose names are among the known.

    Raises:
        MissingImage: no picture, or more than one.
        BadParameter: a parameter is unknown, or ``path`` is no text.
        BadRequest: ``image`` is neither bytes nor base64.
    """
    for name in parameters:
        _check_name(name, known)
    parameters = dict(parameters)
    image, path = parameters.pop("image", None), parameters.pop("path", None)
    if image is not None and path is not None:
        raise MissingImage("both image and path came: send one of them")
    if image is None and path is None:
        raise MissingImage("no picture came: send image or path")
    if path is not None and not isinstance(path, str):
        raise BadParameter("path must be text")
    if isinstance(image, str):
        image = _decode_base64(image)
    if image is not None and not isinstance(image, bytes):
        raise BadRequest("image must be base64 text")
    return Form(image, path, parameters)


def _decode_base64(text: str) -> bytes:
    """Decode, with or without a ``data:`` prefix (RFC 2397) and line breaks."""
    if text.startswith("data:"):
        prefix, comma, text = text.partition(",")
        if not comma or not prefix.endswith(";base64"):
            raise BadRequest("image starts with data: but not with data:…;base64,")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"image is no valid base64: {error}") from error


def _parse_json(body: bytes) -> dict[str, Any]:
    if not body:
        raise MissingImage("the body is empty: send JSON with image or path")
    try:
        fields = load_json(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is no valid JSON") from error
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields


def load_json(text: str | bytes) -> Any:
    """Read JSON whose names come once each.

    Raises:
        ValueError: it is malformed.
        RecursionError: it is nested too deeply.
        BadParameter: a name came twice, or is no text.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_int=_parse_integer)


def _parse_integer(digits: str) -> int | str:
    """Read an integer; one with more digits than Python counts stays text, to be quoted."""
    try:
        return int(digits)
    except ValueError:
        return digits


def split_multipart(body: bytes, boundary: str, *, known: Collection[str]) -> list[tuple[str, Any]]:
    """Split an upload into its parts: ``image`` as bytes, everything else as text.

    Raises:
        BadParameter: a part's name is not among the known.
        BadRequest: it is malformed, or has too many parts.
    """
    if not boundary:
        raise BadRequest("multipart/form-data came without a boundary")
    try:
        # A file's name, which nobody reads, may be in any encoding; all names are ASCII here.
        with PushMultipartParser(
            boundary,
            content_length=len(body),
            max_segment_count=_MAX_FIELDS,
            header_charset="latin-1",
        ) as parser:
            parts = [
                (segment.name, _part(segment, content, known))
                for segment, content in _segments(parser, body)
            ]
    except MultipartError as error:
        raise BadRequest(f"the multipart body is malformed: {error}") from error
    # A browser sends an empty, unnamed part for a file input that nobody used.
    return [part for part in parts if part != ("image", None)]


def _segments(
    parser: PushMultipartParser, body: bytes
) -> Iterator[tuple[MultipartSegment, bytearray]]:
    """Gather the parser's events: a segment, pieces of its content, ``None`` at its end."""
    content = bytearray()
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            segment, content = event, bytearray()
        elif event is None:
            yield segment, content
        else:
            content += event


def _part(
    segment: MultipartSegment, content: bytearray, known: Collection[str]
) -> bytes | str | None:
    name = segment.name
    if name == "image":
        return bytes(content) if content or segment.filename else None
    # Before its content is read as text: a picture under another name is none.
    _check_name(name, known)
    return _text(bytes(content), name)


def _parse_pairs(text: str, where: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise BadRequest(f"{where} is malformed or has over {_MAX_FIELDS} fields") from error
    # A + that was not escaped arrives as a space, which base64 does not have.
    return [(name, value.replace(" ", "+") if name == "image" else value) for name, value in pairs]


def _text(value: bytes, where: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"{where} is not UTF-8 text; a picture as body needs Content-Type: image/jpeg or the "
            "like, a picture in a form needs multipart/form-data"
        ) from error


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a mapping of pairs; a name that comes twice is an error, not a choice."""
    mapping: dict[str, Any] = {}
    for name, value in pairs:
        if _SURROGATE.search(name):
            raise BadParameter(f"the name {quote(name)} is no text")
        if name in mapping:
            raise _twice(name)
        mapping[name] = value
    return mapping


def _twice(name: str, where: str = "") -> BadRequest:
    kind = MissingImage if name in _PICTURE_FIELDS else BadParameter
    return kind(f"{quote(name)} came twice{where}")


def _check_name(name: str, known: Collection[str]) -> None:
    """Refuse a parameter that there is not: a misspelt one must not be passed over."""
    if name not in _PICTURE_FIELDS and name not in known:
        there = ", ".join((*_PICTURE_FIELDS, *known))
        raise BadParameter(f"unknown parameter {quote(name)}; there are {there}")
