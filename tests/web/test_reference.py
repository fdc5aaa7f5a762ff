"""The reference: ``/openapi.json`` says what is, ``/docs`` shows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from dsapi.errors import RequestError
from dsapi.web.answers import BatchAnswer, ModelsAnswer, PredictionAnswer
from dsapi.web.openapi import build_openapi
from dsapi.web.parameters import BatchParameters, PointParameters
from dsapi.web.problems import ProblemAnswer
from tests.conftest import RunningServer

COPY = Path(__file__).parents[2] / "docs/openapi.json"


def _subclasses(kind: type[RequestError]) -> list[type[RequestError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _subclasses(child))]


def test_the_server_sends_the_document(server: RunningServer) -> None:
    sent = server.ask("GET", "/openapi.json")
    assert sent.status == 200
    assert sent.headers["Content-Type"].startswith("application/json")
    assert sent.json == build_openapi()
    assert sent.json["openapi"].startswith("3.1")


def test_the_copy_in_docs_is_the_document_that_is_served() -> None:
    expected = json.dumps(build_openapi(), indent=2, ensure_ascii=False) + "\n"
    assert COPY.read_text(encoding="utf-8") == expected, (
        "write it anew: python -m dsapi.web.openapi > docs/openapi.json"
    )


def test_every_parameter_that_is_validated_is_in_the_document() -> None:
    paths = build_openapi()["paths"]
    for path, kind in {
        "/v1/predictions": PointParameters,
        "/v1/predictions/batch": BatchParameters,
    }.items():
        operation = paths[path]["post"]
        assert {parameter["name"] for parameter in operation["parameters"]} == set(
            kind.model_fields
        )
        content = operation["requestBody"]["content"]
        properties = content["application/json"]["schema"]["properties"]
        assert set(properties) == {"image", "path", *kind.model_fields}
        upload, named = content["multipart/form-data"]["schema"]["oneOf"]
        assert set(upload["properties"]) == {"image", *kind.model_fields}
        assert set(named["properties"]) == {"path", *kind.model_fields}
        assert content["application/x-www-form-urlencoded"]["schema"]["oneOf"] == [named]


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/batch"])
def test_the_query_has_its_defaults_in_words(path: str) -> None:
    # As values, they would come twice from the page to try it: in the query and in the body.
    operation = build_openapi()["paths"][path]["post"]
    fields = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    for parameter in operation["parameters"]:
        assert "default" not in parameter["schema"]
        if (default := fields[parameter["name"]].get("default")) is not None:
            assert parameter["description"].endswith(f"by default {default}")


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/batch"])
def test_every_error_of_a_prediction_is_in_the_document(path: str) -> None:
    described = {
        (int(status), code)
        for status, response in build_openapi()["paths"][path]["post"]["responses"].items()
        for code in response["content"].get("application/problem+json", {}).get("examples", {})
    }
    # The last is for the log alone: nobody reads an answer.
    elsewhere = {"not_found", "method_not_allowed", "reload_failed", "caller_gone"}
    raised = {
        (kind.status, kind.code) for kind in _subclasses(RequestError) if kind.code not in elsewhere
    }
    assert described == raised


def test_what_any_request_may_get_is_with_every_operation() -> None:
    operations = [
        operation for methods in build_openapi()["paths"].values() for operation in methods.values()
    ]
    assert operations
    for operation in operations:
        assert {"400", "403", "500", "503", "504"} <= operation["responses"].keys()


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/batch"])
def test_the_example_with_a_picture_can_be_sent_as_it_is(server: RunningServer, path: str) -> None:
    body = build_openapi()["paths"][path]["post"]["requestBody"]
    example = next(iter(body["content"]["application/json"]["examples"].values()))["value"]
    sent = server.ask("POST", path, json.dumps(example), {"Content-Type": "application/json"})
    assert sent.status == 200, sent.body


def test_the_examples_are_valid_answers() -> None:
    paths = build_openapi()["paths"]

    def example(path: str) -> Any:
        operation = paths[path].get("post") or paths[path]["get"]
        return operation["responses"]["200"]["content"]["application/json"]["example"]

    assert PredictionAnswer.model_validate(example("/v1/predictions")).point.x == 120
    assert BatchAnswer.model_validate(example("/v1/predictions/batch")).results[0].errors == {}
    for response in paths["/v1/predictions"]["post"]["responses"].values():
        problems = response["content"].get("application/problem+json", {}).get("examples", {})
        for code, problem in problems.items():
            assert ProblemAnswer.model_validate(problem["value"]).code == code


def test_a_models_answer_is_as_described(server: RunningServer) -> None:
    answer = ModelsAnswer.model_validate(server.ask("GET", "/v1/models").json)
    assert [model.name for model in answer.models] == ["themes", "colors"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs", "text/html"),
        ("/docs/assets/swagger-ui.css", "text/css"),
        ("/docs/assets/swagger-ui-bundle.js", "text/javascript"),
        ("/static/docs.js", "text/javascript"),
    ],
)
def test_the_page_to_read_it_comes_from_this_server(
    server: RunningServer, path: str, media_type: str
) -> None:
    sent = server.ask("GET", path)
    assert sent.status == 200
    assert sent.headers["Content-Type"].split(";")[0] == media_type
    assert sent.headers["X-Content-Type-Options"] == "nosniff"


def test_the_packages_other_files_are_not_sent(server: RunningServer) -> None:
    assert server.ask("GET", "/docs/assets/swagger-editor.css").status == 404
    assert server.ask("GET", "/docs/assets/../core.py").status in (403, 404)
