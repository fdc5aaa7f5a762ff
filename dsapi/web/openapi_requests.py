"""The requests of the OpenAPI document: query parameters and bodies, from the models that validate.

Called by `dsapi.web.openapi`.
"""

import json
from typing import Any

from dsapi.web.parameters import POINT_FIELDS, Parameters, PointParameters

Schema = dict[str, Any]

_IMAGE_RULES = (
    "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC; the bytes decide, never the file name or the "
    "media type."
)
BINARY: Schema = {"type": "string", "format": "binary", "description": _IMAGE_RULES}
_BASE64: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "description": f"{_IMAGE_RULES} With or without a data: prefix.",
}
_PATH: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "A file below the configured image_roots; with none configured this is off",
    "examples": ["uploads/photo.jpg"],
}
# 16 × 12 pixels, the left half red, the right half blue: an example that can be sent as it is.
_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAMCAIAAADkharWAAAAHUlEQVR42mO8IyLHgA3ocW3BKs7EQCIY1TBSNAAAjnQC"
    "EpIecmAAAAAASUVORK5CYII="
)


def describe_properties(kind: type[Parameters]) -> dict[str, Schema]:
    """Give each parameter's schema, as JSON has it; one without a value is left out, not null."""
    properties: dict[str, Schema] = {}
    described = kind.model_json_schema()["properties"]
    for name in sorted(described, key=lambda name: name not in POINT_FIELDS):
        schema = described[name]
        plain = {key: value for key, value in schema.items() if key != "title"}
        if (either := plain.pop("anyOf", None)) is not None:
            plain = {**next(one for one in either if one.get("type") != "null"), **plain}
        if plain.get("default", "") is None:
            del plain["default"]
        if name == "models":
            as_list = {key: plain.pop(key) for key in ("type", "items", "minItems")}
            plain["anyOf"] = [{"type": "string", "minLength": 1}, as_list]
            plain["examples"] = ["themes,colors"]
        properties[name] = plain
    return properties


def describe_texts(kind: type[Parameters]) -> dict[str, Schema]:
    """Give each parameter's schema as a query or a form has it: lists are text there."""
    texts: dict[str, Schema] = {}
    for name, schema in describe_properties(kind).items():
        texts[name] = schema
        if name in ("models", "points"):
            example = schema["examples"][0]
            texts[name] = {
                "type": "string",
                "minLength": 1,
                "description": schema["description"],
                "examples": [example if isinstance(example, str) else json.dumps(example)],
            }
    return texts


def describe_query(kind: type[Parameters]) -> list[Schema]:
    """List the query parameters; none is required or has a default, as a form may hold them."""
    return [_query_parameter(name, schema) for name, schema in describe_texts(kind).items()]


def _query_parameter(name: str, schema: Schema) -> Schema:
    description = schema["description"]
    if "default" in schema:
        description += f"; by default {schema['default']}"
    plain = {key: value for key, value in schema.items() if key not in ("default", "description")}
    return {"name": name, "in": "query", "description": description, "schema": plain}


def describe_body(kind: type[Parameters]) -> Schema:
    """Describe the four ways in which a picture comes."""
    point = kind is PointParameters
    inside = {"x": 3, "y": 6} if point else {"points": [[3, 6], [12, 6]]}
    example = {"x": 120, "y": 340} if point else {"points": [[120, 340], [5, 6]]}
    texts = {name: v if isinstance(v, int) else json.dumps(v) for name, v in example.items()}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _form(kind, {"image": BINARY, "path": _PATH})},
            "image/*": {"schema": BINARY},
            "application/octet-stream": {"schema": BINARY},
            "application/x-www-form-urlencoded": {
                "schema": _form(kind, {"path": _PATH}),
                "example": {"path": "uploads/photo.jpg", **texts},
            },
            "application/json": {
                "schema": {
                    **_object(kind, {"image": _BASE64, "path": _PATH}, describe_properties(kind)),
                    "oneOf": [{"required": ["image"]}, {"required": ["path"]}],
                },
                "examples": {
                    "base64": {"value": {"image": _PICTURE, **inside}},
                    "path": {"value": {"path": "uploads/photo.jpg", **example}},
                },
            },
        },
    }


def _form(kind: type[Parameters], pictures: dict[str, Schema]) -> Schema:
    """Describe a form by its alternatives, one for each way in which the picture comes.

    Swagger UI makes fields of an object's own properties, fills in every one, and sends those that
    are emptied too. So only what an upload needs is among these; its page has the query for the
    rest. Without any of its own, an object is sent as its example says.
    """
    texts = describe_texts(kind)
    schema: Schema = {
        "type": "object",
        "oneOf": [
            {**_object(kind, {name: picture}, texts), "required": [name]}
            for name, picture in pictures.items()
        ],
    }
    if "image" in pictures:
        points = {name: text for name, text in texts.items() if name == "points"}
        schema["properties"] = {"image": pictures["image"], **points}
    return schema


def _object(
    kind: type[Parameters], pictures: dict[str, Schema], fields: dict[str, Schema]
) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {**pictures, **fields},
        "additionalProperties": False,
    }
    if kind is PointParameters:
        schema["dependentRequired"] = {"x": ["y"], "y": ["x"]}
    return schema
