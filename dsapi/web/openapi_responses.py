"""The responses of the OpenAPI document, from the models that answer and the tree of errors.

Called by `dsapi.web.openapi`.
"""

import http
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from dsapi.errors import BadParameter, BadPoint, MissingImage, PathForbidden, RequestError, TooLarge
from dsapi.web.problems import CONTENT_TYPE, ProblemAnswer, status_in_words

Schema = dict[str, Any]

_RETRIED = {http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE}
HEADERS: Schema = {
    "X-Request-ID": {
        "description": "The caller's own value if it was sane, else a new one",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "Retry-After": {
        "description": "Seconds after which trying again makes sense",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
_RETRY_AFTER = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}


def describe_page(media_type: str, description: str) -> Schema:
    """Describe an answer that the contract does not take apart."""
    schema = {"type": "object"} if media_type == "application/json" else {"type": "string"}
    return {
        "200": {
            "description": description,
            "headers": _REQUEST_ID,
            "content": {media_type: {"schema": schema}},
        }
    }


def describe_answer(answer: type[BaseModel]) -> Schema:
    """Describe a JSON answer, with its example."""
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{answer.__name__}"}}
    extra = answer.model_config.get("json_schema_extra")
    if isinstance(extra, dict):
        content["example"] = extra["examples"][0]  # type: ignore[index]
    return {
        "200": {
            "description": (answer.__doc__ or "").strip(),
            "headers": _REQUEST_ID,
            "content": {"application/json": content},
        }
    }


def describe_problems(errors: Iterable[type[RequestError]]) -> Schema:
    """Describe the error answers, one a status, with every code it comes with."""
    by_status: dict[int, list[type[RequestError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {str(status): _problem(status, kinds) for status, kinds in sorted(by_status.items())}


def describe_page_problems(errors: Iterable[type[RequestError]]) -> Schema:
    """Describe the same errors as the page shows them; some come before the page is asked."""
    described = describe_problems(errors)
    for response in described.values():
        response["content"]["text/html"] = {"schema": {"type": "string"}}
    return described


def _problem(status: int, kinds: list[type[RequestError]]) -> Schema:
    codes = [kind.code for kind in kinds]
    lines = [f"- `{kind.code}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in kinds]
    return {
        "description": "\n".join(lines),
        "headers": _REQUEST_ID | (_RETRY_AFTER if status in _RETRIED else {}),
        "content": {
            CONTENT_TYPE: {
                "schema": {
                    "$ref": "#/components/schemas/ProblemAnswer",
                    "properties": {"status": {"const": status}, "code": {"enum": codes}},
                },
                "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: type[RequestError]) -> Mapping[str, Any]:
    detail = _DETAILS.get(kind, (kind.__doc__ or "").splitlines()[0].lower().rstrip("."))
    return ProblemAnswer(
        title=status_in_words(kind.status),
        status=kind.status,
        code=kind.code,
        detail=detail,
        request_id="0193e1f2-7a6b-7c3d-8e4f-5a6b7c8d9e0f",
    ).model_dump()


_DETAILS: Mapping[type[RequestError], str] = {
    BadPoint: "x must be between 0 and 1599, got 1700",
    BadParameter: "unknown parameter 'unti'; there are image, path, unit, models, top, …",
    MissingImage: "no picture came: send image or path",
    TooLarge: "the body has 22020096 bytes, max_bytes is 20971520",
    PathForbidden: "path must stay below the image roots, got '../secret.jpg'",
}
