"""Bodies: a request's bytes in, a picture (or its path) and the other parameters out.

CherryPy's own multipart parser reads line by line into temporary files, 4 to 6 ms for 300 kB,
nearly as long as an inference; this reads large pieces and splits them in memory.
"""

import base64
import string
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cherrypy
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from dsapi.errors import BadParameter, BadRequest, LengthRequired, MissingImage, TooLarge
from dsapi.prediction.deadline import Deadline
from dsapi.web.fields import (
    MAX_FIELDS,
    PICTURE_FIELDS,
    came_twice,
    check_name,
    decode_text,
    gather_unique,
    load_json,
    parse_pairs,
)
from dsapi.web.framing import ChunkedBody, LengthBody

_PIECE_BYTES = 256 * 1024
_WITHOUT_SPACE = str.maketrans("", "", string.whitespace)


@dataclass(frozen=True)
class Form:
    """What a request brought.

    Attributes:
        image: a picture, or ``None``.
        path: or the path of one, or ``None``.
        parameters: all others, as they came.
        kind: how the picture came: raw, upload, path, base64; empty where nobody counts it.
    """

    image: bytes | None
    path: str | None
    parameters: dict[str, Any]
    kind: str


def read_body(*, max_bytes: int, deadline: Deadline) -> bytes:
    """Read the body of the current request, whether its length is announced or not.

    After an error the connection is closed, as what is left of the body would be taken for the
    next request; `dsapi.web.protocol` sees to it.

    Raises:
        LengthRequired: the body has neither a length nor chunks.
        TooLarge: over `max_bytes`, announced or counted.
        BadRequest: the body ends early, stalls, or its chunks are malformed.
        DeadlineExceeded: it came too slowly.
    """
    environ = cherrypy.serving.request.wsgi_environ
    stream: LengthBody | ChunkedBody = environ["wsgi.input"]
    length = _announced_length(environ)
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
    except TimeoutError as error:
        deadline.check()
        raise BadRequest(f"the body stalled after {count} bytes") from error
    except (OSError, ValueError) as error:
        raise BadRequest(f"the body is malformed after {count} bytes") from error
    if length is not None and count < length:
        raise BadRequest(f"the body ends after {count} of {length} bytes")
    return b"".join(pieces)


def _announced_length(environ: dict[str, Any]) -> int | None:
    """Find the body's length; ``None`` if it comes in chunks."""
    if environ.get("wsgi.input_terminated"):
        return None
    announced = environ.get("CONTENT_LENGTH", "")
    if not announced:
        raise LengthRequired("the request needs a Content-Length, or a chunked body")
    return int(announced)


def parse_form(content_type: str, body: bytes, query: str, *, known: Collection[str]) -> Form:
    """Take a request apart.

    A body of any type that is no form and no JSON is the picture itself: its bytes decide. What
    is null in JSON counts as not sent.

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
    parameters = parse_pairs(query, "the query string")
    for name in PICTURE_FIELDS:
        if name in parameters:
            raise MissingImage(f"{name} came in the query: the picture comes in the body")
    if not body:
        raise MissingImage("the body is empty: send a picture, or a form or JSON that names one")
    if media_type == "multipart/form-data":
        kind = "upload"
        fields = gather_unique(split_multipart(body, options.get("boundary", ""), known=known))
    elif media_type == "application/x-www-form-urlencoded":
        kind, fields = "path", _parse_text_form(body)
    elif media_type == "application/json":
        kind, fields = "base64", _parse_json(body)
    else:
        kind, fields = "raw", {"image": body}
    for name, value in fields.items():
        check_name(name, known)
        if value is None:
            continue
        if name in parameters:
            raise came_twice(name, ", in the query and in the body")
        parameters[name] = value
    return gather_form(parameters, known=known, kind=kind)


def gather_form(parameters: Mapping[str, Any], *, known: Collection[str], kind: str = "") -> Form:
    """Separate the picture from the other parameters, whose names are among the known.

    Args:
        parameters: all of them.
        known: names of the parameters beside the picture.
        kind: how the picture came, if not as a path.

    Raises:
        MissingImage: no picture, or more than one.
        BadParameter: a parameter is unknown, or ``path`` is no text.
        BadRequest: ``image`` is neither bytes nor base64.
    """
    for name in parameters:
        check_name(name, known)
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
    return Form(image, path, parameters, kind if path is None else "path")


def _decode_base64(text: str) -> bytes:
    """Decode, with or without a ``data:`` prefix (RFC 2397) and line breaks."""
    if text.startswith("data:"):
        prefix, comma, text = text.partition(",")
        if not comma or not prefix.endswith(";base64"):
            raise BadRequest("image starts with data: but not with data:…;base64,")
    # Blanks are rare, and leaving them out takes the text's memory once more. (By split() it would
    # be twenty times as much where they are many.)
    with suppress(ValueError):
        return base64.b64decode(text, validate=True)
    try:
        text = text.translate(_WITHOUT_SPACE) if text.isascii() else text
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadRequest(f"image is no valid base64: {error}") from error


def _parse_text_form(body: bytes) -> dict[str, Any]:
    # A long form is not taken apart, and a picture is what makes one long.
    if not (body.startswith(b"image=") or b"&image=" in body):
        fields = parse_pairs(decode_text(body, "the form"), "the form")
        if "image" not in fields:
            return fields
    raise MissingImage(
        "image came as text in a form: send it as multipart/form-data, or as base64 in JSON"
    )


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        fields = load_json(body)
    except ValueError as error:
        raise BadRequest(f"the body cannot be read as JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields


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
            max_segment_count=MAX_FIELDS,
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
    check_name(name, known)
    return decode_text(bytes(content), name)
