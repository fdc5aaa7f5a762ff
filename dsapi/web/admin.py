"""Administration: ``/v1/models/reload``. `dsapi.web.access` decides who may."""

from collections.abc import Callable

import cherrypy
from pydantic import BaseModel

from dsapi.operation.reload import ReloadReport
from dsapi.web.answers import Milliseconds


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
        """Load models and settings anew; the old ones serve until the new ones are checked."""
        report = self._reload()
        answer = ReloadAnswer(
            models={
                name: ModelChangeAnswer(before=change.before, after=change.after)
                for name, change in report.models.items()
            },
            settings=list(report.settings),
            needs_restart=list(report.needs_restart),
            took_ms=report.took_ms,
        )
        cherrypy.serving.response.headers["Content-Type"] = "application/json"
        return answer.model_dump_json().encode()
