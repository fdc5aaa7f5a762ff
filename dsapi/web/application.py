"""The application: which path is answered by what, and CherryPy set up as a contract, not a site.

Called by `dsapi.process.service`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cherrypy
from cherrypy._cpwsgi import ExceptionTrapper

from dsapi.errors import BadParameter, MethodNotAllowed, NotFound, NotReady, quote
from dsapi.operation.metrics import CONTENT_TYPE
from dsapi.operation.reload import ReloadReport
from dsapi.operation.siblings import Render
from dsapi.web.access import Access
from dsapi.web.admin import Reload
from dsapi.web.answers import (
    StatusAnswer,
    answer_batch,
    answer_models,
    answer_prediction,
    respond,
)
from dsapi.web.exchange import ApiRequest
from dsapi.web.journal import Journal
from dsapi.web.page import STATIC_HEADERS, Page
from dsapi.web.parameters import BatchParameters, PointParameters
from dsapi.web.predictions import InForce, Predictions
from dsapi.web.reference import SWAGGER_UI_FILES, Docs, OpenApi, find_swagger_ui
from dsapi.workers.pool import PredictionWorkers

_WITH_PARAMETERS = frozenset({"/v1/predictions", "/v1/predictions/batch"})
# Below these are files, which CherryPy's own tool sends before any handler is called.
_STATIC, _ASSETS = "/static", "/docs/assets"
_FILE_METHODS = ("GET", "HEAD")


class Metrics:
    """``/metrics``."""

    exposed = True

    def __init__(self, render: Render) -> None:
        self._render = render

    def GET(self) -> bytes:
        """Write every number in Prometheus's text format."""
        cherrypy.serving.response.headers["Content-Type"] = CONTENT_TYPE
        return self._render()


class Models:
    """``/v1/models``."""

    exposed = True

    def __init__(self, workers: PredictionWorkers) -> None:
        self._workers = workers

    def GET(self) -> bytes:
        """Describe the loaded models."""
        return respond(answer_models(self._workers.models))


class Live:
    """``/health/live``."""

    exposed = True

    def GET(self) -> bytes:
        """Answer while the process serves."""
        return respond(StatusAnswer(status="live"))


class Ready:
    """``/health/ready``."""

    exposed = True

    def __init__(self, workers: PredictionWorkers) -> None:
        self._workers = workers

    def GET(self) -> bytes:
        """Answer 200 only while every worker can predict; never waits behind predictions."""
        if not self._workers.ready:
            status = self._workers.status
            raise NotReady(
                "the service is starting or shutting down, or a prediction worker is replaced: "
                f"{status.alive} of {status.count} answer",
                retry_after_s=1,
            )
        return respond(StatusAnswer(status="ready"))


class _ExactDispatcher(cherrypy.dispatch.MethodDispatcher):  # type: ignore[misc]
    """Dispatches by path and method, each path exactly as it is written.

    CherryPy's own search passes over slashes and takes other characters for a ``_``, so that what
    `dsapi.web.access` protects would have further names. (It has made one slash of several by
    now: `dsapi.web.exchange` sees to those.)

    Args:
        resources: what answers, by path.
    """

    def __init__(self, resources: Mapping[str, Any]) -> None:
        super().__init__()
        self._resources = resources

    def __call__(self, path_info: str) -> Any:
        """Answer a preflight for every path alike, and dispatch anything else."""
        super().__call__(path_info)
        request = cherrypy.serving.request
        if request.preflight:
            request.handler = _answer_preflight
        elif isinstance(request.handler, cherrypy.NotFound):
            of_file = path_info.startswith((f"{_STATIC}/", f"{_ASSETS}/"))
            wrong = of_file and request.method not in _FILE_METHODS
            request.handler = _refuse_method if wrong else _find_nothing
        elif isinstance(request.handler, cherrypy.HTTPError):
            request.handler = _refuse_method
        elif request.query_string and path_info not in _WITH_PARAMETERS:
            request.handler = _refuse_parameters

    def find_handler(self, path: str) -> tuple[Any, list[str]]:
        """Find the resource of exactly this path."""
        super().find_handler(path)  # sets the request's configuration
        return self._resources.get(path), []


def build_application(
    workers: PredictionWorkers,
    *,
    in_force: InForce,
    static_dir: Path,
    reload: Callable[[], ReloadReport],
    journal: Journal,
    access: Access,
    render_metrics: Render,
) -> cherrypy.Application:
    """Build the WSGI application.

    Args:
        workers: what answers predictions.
        in_force: the settings that requests go by.
        static_dir: folder of the page, its script and its style.
        reload: loads models and settings anew.
        journal: where every request is written down.
        access: who may ask.
        render_metrics: writes all numbers.
    """
    predictions = Predictions(workers, in_force, kind=PointParameters, answer=answer_prediction)
    batch = Predictions(workers, in_force, kind=BatchParameters, answer=answer_batch)
    page = Page(workers, in_force, static_dir=static_dir)
    resources = {
        "/": page,
        "/v1/predictions": predictions,
        "/v1/predictions/batch": batch,
        "/v1/models": Models(workers),
        "/v1/models/reload": Reload(reload),
        "/health/live": Live(),
        "/health/ready": Ready(workers),
        "/metrics": Metrics(render_metrics),
        "/openapi.json": OpenApi(),
        "/docs": Docs(static_dir),
    }
    journal.endpoints = frozenset(resources)
    config = _config(static_dir, resources)
    application = cherrypy.Application(None, script_name="", config=config)
    # Nothing is redirected internally.
    application.wsgiapp.pipeline = [("ExceptionTrapper", ExceptionTrapper)]
    application.request_class = ApiRequest
    application.journal = journal
    application.access = access
    application.page = page
    application.shortcuts = {("POST", "/v1/predictions"): predictions.POST}
    # CherryPy's own access log has no request ids, and costs time even where nobody reads it.
    application.log.access = _log_nothing
    return application


def _find_nothing() -> bytes:
    """Say that there is no such path; CherryPy's own exception would keep the request alive."""
    raise NotFound(f"there is no {quote(cherrypy.serving.request.path_info)}")


def _refuse_method() -> bytes:
    """Say which methods a path takes; CherryPy's own exception would add spaces to the answer.

    Files are there to be read; whether this one is there at all is not looked up.
    """
    request = cherrypy.serving.request
    permitted = cherrypy.serving.response.headers.get("Allow") or ", ".join(_FILE_METHODS)
    raise MethodNotAllowed(
        f"{quote(request.path_info)} takes {permitted}, not {quote(request.method)}",
        permitted=permitted,
    )


def _refuse_parameters() -> bytes:
    """Say that a path takes no parameters: a misspelt one must not be passed over."""
    request = cherrypy.serving.request
    raise BadParameter(
        f"{quote(request.path_info)} takes no parameters, got {quote(request.query_string)}"
    )


def _answer_preflight() -> bytes:
    """Say to a browser what a page of a permitted origin may send (Fetch standard)."""
    response = cherrypy.serving.response
    response.status = 204
    response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Request-ID"
    response.headers["Access-Control-Max-Age"] = "600"
    return b""


def _log_nothing() -> None:
    pass


def _config(static_dir: Path, resources: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "/": {
            "request.dispatch": _ExactDispatcher(resources),
            "tools.log_headers.on": False,
            "tools.trailing_slash.on": False,
        },
        _STATIC: _files(static_dir, r"\.(css|js|jpg|svg)$"),
        _ASSETS: _files(find_swagger_ui(), SWAGGER_UI_FILES),
    }


def _files(folder: Path, match: str) -> dict[str, Any]:
    """Configure a folder whose files are sent if their path matches: templates, say, are not."""
    return {
        "tools.staticdir.on": True,
        "tools.staticdir.dir": str(folder.resolve()),
        "tools.staticdir.match": match,
        "tools.response_headers.on": True,
        "tools.response_headers.headers": list(STATIC_HEADERS.items()),
        "hooks.before_finalize": _tell_no_ranges,
    }


def _tell_no_ranges() -> None:
    """Correct CherryPy's Accept-Ranges for files: `dsapi.web.exchange` drops Range headers."""
    cherrypy.serving.response.headers["Accept-Ranges"] = "none"
