"""The contract as an OpenAPI 3.1 document, from the very models that validate and answer.

Served at ``/openapi.json``; ``python -m dsapi.web.openapi`` prints it, and a test holds the copy
in ``docs/openapi.json`` to it.
"""

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dsapi import __version__
from dsapi.errors import (
    BadParameter,
    BadPoint,
    BadRequest,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    LengthRequired,
    MissingImage,
    NotReady,
    Overloaded,
    PathForbidden,
    PathNotFound,
    RateLimited,
    ReloadFailed,
    RequestError,
    TooLarge,
    Unauthorized,
    UnreadableImage,
    UnsupportedMediaType,
)
from dsapi.web.admin import ReloadAnswer
from dsapi.web.answers import BatchAnswer, ModelsAnswer, PredictionAnswer, StatusAnswer
from dsapi.web.openapi_requests import BINARY, describe_body, describe_query, describe_texts
from dsapi.web.openapi_responses import (
    HEADERS,
    describe_answer,
    describe_page,
    describe_page_problems,
    describe_problems,
)
from dsapi.web.parameters import BatchParameters, PointParameters
from dsapi.web.problems import ProblemAnswer

Schema = dict[str, Any]

_PREDICTION_ERRORS: tuple[type[RequestError], ...] = (
    BadRequest,
    BadPoint,
    BadParameter,
    MissingImage,
    Unauthorized,
    Forbidden,
    PathForbidden,
    PathNotFound,
    LengthRequired,
    TooLarge,
    UnsupportedMediaType,
    UnreadableImage,
    RateLimited,
    InternalError,
    Overloaded,
    NotReady,
    DeadlineExceeded,
)
# Of every path: unknown parameters are refused, other networks where some are allowed, and any
# request may be malformed, too slow, or one too many.
_COMMON_ERRORS: tuple[type[RequestError], ...] = (
    BadRequest,
    BadParameter,
    Forbidden,
    InternalError,
    Overloaded,
    DeadlineExceeded,
)
_ANSWERS: tuple[type[BaseModel], ...] = (
    PredictionAnswer,
    BatchAnswer,
    ModelsAnswer,
    ReloadAnswer,
    StatusAnswer,
    ProblemAnswer,
)
_DESCRIPTION = """\
What a point of a picture shows: themes and colors, from the models that the service runs.

- Every coordinate, width, height and box is in the frame of the **upright** picture: its EXIF
  orientation is applied first. The origin is the top left pixel.
- Unknown parameters are an error, not ignored: a misspelt `unit` must not silently move a point.
- Every answer carries `X-Request-ID`: the caller's own if it is sane, else a new one.
- Every error has the same shape, `application/problem+json`, and a stable `code`. A method that a
  path does not take gets a 405 with `Allow`, a path that does not exist a 404.
"""


def build_openapi() -> Schema:
    """Write the document."""
    _, schemas = models_json_schema(
        [(answer, "serialization") for answer in _ANSWERS],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dsapi",
            "version": __version__,
            "summary": "Themes and colors of a picture at a point",
            "description": _DESCRIPTION,
        },
        "servers": [{"url": ".", "description": "where this document comes from"}],
        "security": [{}, {"key": []}],
        "paths": _prediction_paths() | _model_paths() | _health_paths() | _page_paths(),
        "components": {
            "schemas": schemas["$defs"],
            "headers": HEADERS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Only where keys are configured.",
                }
            },
        },
    }


def _prediction_paths() -> Schema:
    return {
        "/v1/predictions": {
            "post": {
                "operationId": "predict",
                "tags": ["predictions"],
                "summary": "Themes and colors at one point",
                "description": "Without x and y: at the center of the picture. The picture comes "
                "as the body, as an upload, by its path on the server, or as base64. With the "
                "picture as body the parameters come in the query; else as fields of the form or "
                "of the JSON, or in the query, each of them once. What is null in JSON counts as "
                "not sent.",
                "parameters": describe_query(PointParameters),
                "requestBody": describe_body(PointParameters),
                "responses": describe_answer(PredictionAnswer)
                | describe_problems(_PREDICTION_ERRORS),
            }
        },
        "/v1/predictions/batch": {
            "post": {
                "operationId": "predictBatch",
                "tags": ["predictions"],
                "summary": "Themes and colors at many points of one picture",
                "description": "One decode, and one run of each model, for all points.",
                "parameters": describe_query(BatchParameters),
                "requestBody": describe_body(BatchParameters),
                "responses": describe_answer(BatchAnswer) | describe_problems(_PREDICTION_ERRORS),
            }
        },
    }


def _model_paths() -> Schema:
    return {
        "/v1/models": _get(
            "listModels",
            "The loaded models: version, labels, input",
            describe_answer(ModelsAnswer),
            tag="models",
            errors=(Unauthorized, RateLimited),
        ),
        "/v1/models/reload": {
            "post": {
                "operationId": "reloadModels",
                "tags": ["models"],
                "summary": "Load models and settings anew, without a pause",
                "description": "For callers on the machine itself (not with `admin_loopback = "
                "False`), or with one of `admin_keys`. The old ones serve until the new ones "
                "are checked, and go on if anything is wrong with those. It takes no body.",
                "responses": describe_answer(ReloadAnswer)
                | describe_problems((*_COMMON_ERRORS, Unauthorized, ReloadFailed)),
            }
        },
    }


def _health_paths() -> Schema:
    return {
        "/health/live": _get(
            "live", "Whether the process serves", describe_answer(StatusAnswer), tag="health"
        ),
        "/health/ready": _get(
            "ready",
            "Whether every default model is loaded and the workers answer",
            describe_answer(StatusAnswer),
            tag="health",
            errors=(NotReady,),
        ),
        "/metrics": _get(
            "metrics",
            "Every number, in Prometheus's text format",
            describe_page("text/plain", "The numbers"),
            tag="health",
            errors=(Unauthorized,),
        ),
    }


def _page_paths() -> Schema:
    page = describe_page("text/html", "The page")
    return {
        "/openapi.json": _get(
            "openapi",
            "This document",
            describe_page("application/json", "This document"),
            tag="pages",
        ),
        "/docs": _get("docs", "A page to read and try it", page, tag="pages"),
        "/": _get("page", "The tester's page", page, tag="pages") | {"post": _page_post()},
    }


def _get(
    operation_id: str,
    summary: str,
    answer: Schema,
    *,
    tag: str,
    errors: tuple[type[RequestError], ...] = (),
) -> Schema:
    return {
        "get": {
            "operationId": operation_id,
            "tags": [tag],
            "summary": summary,
            "responses": answer | describe_problems((*_COMMON_ERRORS, *errors)),
        }
    }


def _page_post() -> Schema:
    fields = {"image": BINARY, "path": {"type": "string"}} | describe_texts(PointParameters)
    return {
        "operationId": "postPage",
        "tags": ["pages"],
        "summary": "The page's own form, for browsers without script",
        "description": "The fields of POST /v1/predictions; one left empty counts as not sent, "
        "but models, which are none then. The answer is the page again, with the result or, "
        "beside its field, with what is wrong.",
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": {"type": "object", "properties": fields}}
            },
        },
        "responses": describe_page("text/html", "The page with the answer")
        | describe_page_problems(_PREDICTION_ERRORS),
    }


def main() -> None:
    """Print the document."""
    print(json.dumps(build_openapi(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
