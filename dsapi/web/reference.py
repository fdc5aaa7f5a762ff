"""The developer's reference: ``/openapi.json``, and ``/docs`` to read and try it.

The page is Swagger UI, from the files that the package swagger-ui-py carries; nothing of that
package is imported.
"""

import importlib.util
import json
from pathlib import Path

import cherrypy

from dsapi.errors import StartupError
from dsapi.web.openapi import build_openapi
from dsapi.web.page import PAGE_HEADERS

# The only ones of the package's files that are sent.
SWAGGER_UI_FILES = r"/swagger-ui(\.css|-bundle\.js)$"


class OpenApi:
    """``/openapi.json``."""

    exposed = True

    def __init__(self) -> None:
        self._document = json.dumps(build_openapi(), ensure_ascii=False).encode()

    def GET(self) -> bytes:
        """Send the document."""
        cherrypy.serving.response.headers["Content-Type"] = "application/json"
        return self._document


class Docs:
    """``/docs``: the document as a page."""

    exposed = True

    def __init__(self, static_dir: Path) -> None:
        self._page = (static_dir / "docs.html").read_bytes()

    def GET(self) -> bytes:
        """Send the page."""
        cherrypy.serving.response.headers.update(PAGE_HEADERS)
        return self._page


def find_swagger_ui() -> Path:
    """Find the folder of Swagger UI's files.

    Raises:
        StartupError: the package swagger-ui-py is not installed.
    """
    spec = importlib.util.find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise StartupError(
            "the package swagger-ui-py is missing; install dsapi's dependencies: pip install -e ."
        )
    return Path(spec.origin).parent / "static"
