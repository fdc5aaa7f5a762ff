"""The tester's page: ``/`` as HTML, and the same page with an answer for browsers without script.

The script asks ``/v1/predictions`` like any caller. Without it the form is posted here, with the
fields of the contract: what a person left empty counts as not sent, as browsers send every field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cherrypy
from multipart import parse_options_header
from pydantic import ValidationError

from dsapi import __version__
from dsapi.errors import BadParameter, BadRequest, RequestError, Unauthorized
from dsapi.prediction.deadline import Deadline
from dsapi.web.answers import PredictionAnswer, answer_prediction
from dsapi.web.bodies import gather_form, read_body, split_multipart
from dsapi.web.fields import came_twice
from dsapi.web.parameters import PointParameters, read_parameters
from dsapi.web.predictions import InForce, predict_form
from dsapi.web.problems import begin_response
from dsapi.workers.pool import PredictionWorkers

if TYPE_CHECKING:
    from jinja2 import Template

# Nothing from another host, nothing inline; pictures also from the visitor's own disk (blob:).
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Scripts, styles and pictures are only what they say, and are asked for anew after an update.
STATIC_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
PAGE_HEADERS = {
    **STATIC_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
# Which field an error is shown beside, by its code; any other is shown above the answer.
_PLACES = {
    "bad_point": "point",
    "missing_image": "image",
    "too_large": "image",
    "unsupported_media_type": "image",
    "unreadable_image": "image",
    "path_forbidden": "path",
    "path_not_found": "path",
    "unauthorized": "key",
}
# What the page says in its own words, as the service's are for programs: by place, or by code.
_WORDS = {
    "models": "Tick at least one model.",
    "top": "Labels each must be a whole number between 1 and 50.",
    "unauthorized": "This service asks for an access key.",
    "overloaded": "The service is busy. Try again in a few seconds.",
    "deadline_exceeded": (
        "This took longer than the service waits. On a slow connection a smaller picture helps."
    ),
}


@dataclass(frozen=True)
class Sample:
    """A picture that comes with the page."""

    name: str
    title: str


SAMPLES = (
    Sample("garden", "Garden"),
    Sample("harbor", "Harbor at dusk"),
    Sample("fruit", "Bowl of fruit"),
    Sample("colors", "Color card"),
)


@dataclass(frozen=True)
class Failure:
    """What went wrong with a posted form, and the field to say it beside."""

    place: str
    detail: str


class Page:
    """``/``: the tester's page."""

    exposed = True

    def __init__(self, workers: PredictionWorkers, in_force: InForce, *, static_dir: Path) -> None:
        self._workers = workers
        self._in_force = in_force
        self._static_dir = static_dir

    @cached_property
    def _template(self) -> "Template":
        """The page's template, compiled for the first tester: the start does without."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(self._static_dir), autoescape=True, undefined=StrictUndefined
        )
        environment.filters["percent"] = _percent
        return environment.get_template("page.html")

    def GET(self) -> bytes:
        """Send the page."""
        return self._render()

    def POST(self) -> bytes:
        """Answer the form: the page again, with the result or with what is wrong."""
        fields: dict[str, Any] = {}
        settings = self._in_force.settings
        try:
            deadline: Deadline = cherrypy.serving.request.wsgi_environ["dsapi.deadline"]
            fields = _read_fields(read_body(max_bytes=settings.max_bytes, deadline=deadline))
            if fields.get("models") == "":
                raise BadParameter(_WORDS["models"])
            form = gather_form(fields, known=PointParameters.model_fields)
            parameters = read_parameters(PointParameters, form.parameters)
            prediction, prediction_id = predict_form(
                form, parameters, workers=self._workers, settings=settings, deadline=deadline
            )
        except RequestError as error:
            if not takes_page():
                raise
            begin_response(error)
            return self._render(fields, failure=_failure(error, fields))
        return self._render(fields, answer=answer_prediction(prediction, prediction_id))

    def refuse(self, error: RequestError) -> None:
        """Answer a form whose sender may not ask: with the page, empty as the form is not read."""
        begin_response(error)
        detail = error.detail
        if isinstance(error, Unauthorized):
            detail = f"{_WORDS[error.code]} A browser can send one with script only."
        cherrypy.serving.response.body = self._render(failure=Failure("answer", detail))

    def _render(
        self,
        fields: Mapping[str, Any] = MappingProxyType({}),
        *,
        answer: PredictionAnswer | None = None,
        failure: Failure | None = None,
    ) -> bytes:
        settings = self._in_force.settings
        cherrypy.serving.response.headers.update(PAGE_HEADERS)
        return self._template.render(
            version=__version__,
            models=list(self._workers.models.values()),
            paths_on=bool(settings.image_roots),
            max_bytes=settings.max_bytes,
            samples=SAMPLES,
            places=_PLACES,
            words=_WORDS,
            fields=fields,
            answer=answer,
            failure=failure,
        ).encode()


def takes_page() -> bool:
    """Whether the caller is to see an error on the page; programs get what they get anywhere."""
    return "text/html" in cherrypy.serving.request.headers.get("Accept", "")


def _read_fields(body: bytes) -> dict[str, Any]:
    """Read the posted form: fields left empty are dropped, ticked models are joined.

    The form sends an empty model before the ticked ones, so that "none ticked" differs
    from "not sent".

    Raises:
        BadRequest: the form is malformed.
        BadParameter: another field came twice.
    """
    content_type = cherrypy.serving.request.headers.get("Content-Type", "")
    media_type, options = parse_options_header(content_type)
    if media_type != "multipart/form-data":
        raise BadRequest("the page takes its own form only, as multipart/form-data")
    fields: dict[str, Any] = {}
    boundary = options.get("boundary", "")
    for name, value in split_multipart(body, boundary, known=PointParameters.model_fields):
        if name == "models":
            fields[name] = f"{fields.get(name, '')},{value}".strip(",")
        elif value in ("", b""):
            continue
        elif name in fields:
            raise came_twice(name)
        else:
            # Keyboards of many languages have the decimal comma only.
            fields[name] = value.replace(",", ".") if name in ("x", "y") else value
    return fields


def _failure(error: RequestError, fields: Mapping[str, Any]) -> Failure:
    """Say an error beside the field that it is about."""
    place = _PLACES.get(error.code, "answer")
    if isinstance(error, BadParameter):
        cause = error.__cause__
        if fields.get("models") == "":  # then nothing else has been looked at
            place = "models"
        elif isinstance(cause, ValidationError) and cause.errors()[0]["loc"] == ("top",):
            place = "top"
    return Failure(place, _WORDS.get(place) or _WORDS.get(error.code, error.detail))


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f}"
