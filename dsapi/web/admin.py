"""Administration: ``/v1/models/reload``. `dsapi.web.access` decides who may."""

from collections.abc import Callable

import cherrypy
from pydantic import BaseModel

from dsapi.errors import BadRequest, quote
from dsapi.operation.reload import ReloadReport
from dsapi.web.answers import Milliseconds, respond

_PIECE_BYTES = 4096


class ModelChangeAnswer(BaseModel):
    """A model's version before and after a reload; null: it was or is not configured."""

    before: str | None
    after: str | None


class ReloadAnswer(BaseModel):
    """What a reload has done."""

    models: dict[str, ModelChangeAnswer]
    settings: list[str]
    needs_restart: list[str]
    took_ms: Milliseconds


class Reload:
    """``/v1/models/reload``."""

    exposed = True

    def __init__(self, reload: Callable[[], ReloadReport]) -> None:
        self._reload = reload

    def POST(self) -> bytes:
        """Load models and settings anew; the old ones serve until the new ones are checked.

        There is nothing to choose: which models and settings is said by the configuration alone.
        """
        _refuse_body()
        report = self._reload()
        answer = ReloadAnswer(
            models={
                name: ModelChangeAnswer(before=change.before, after=change.after)
                for name, change in report.models.items()
            },
            settings=list(report.settings),
            needs_restart=list(report.needs_restart),
            took_ms=round(report.took_ms, 1),
        )
        return respond(answer)


def _refuse_body() -> None:
    """See that the current request has no body: what is passed over must not seem to be heeded.

    Raises:
        BadRequest: it has one, or it is malformed or stalls.
        DeadlineExceeded: it drips.
    """
    environ = cherrypy.serving.request.wsgi_environ
    path, announced = quote(environ["PATH_INFO"]), environ.get("CONTENT_LENGTH") or "0"
    if int(announced):
        raise BadRequest(f"{path} takes no body, got one of {announced} bytes")
    try:
        piece = environ["wsgi.input"].read(_PIECE_BYTES)
    except TimeoutError as error:
        environ["dsapi.deadline"].check()
        raise BadRequest(f"{path} takes no body, and the one that was announced stalled") from error
    except (OSError, ValueError) as error:
        raise BadRequest(f"{path} takes no body, got a malformed one") from error
    if piece:
        raise BadRequest(f"{path} takes no body, got a chunk of {len(piece)} bytes")
