"""A small application that uses dsapi: upload a picture, tap a point, choose among the labels.

Run it beside a service::

    dsapi serve &
    python docs/example/gallery.py            # http://127.0.0.1:8080

    DSAPI_URL and DSAPI_KEY name another service, GALLERY_PORT another port.

It shows the two steps of `docs/integrating.md`. Uploading never waits for the service; tapping
does, for half a second at most, and works on without it: then all labels are offered.
"""

import html
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

import cherrypy
from cherrypy.lib.static import serve_file

from dsapi.client import Client, Result

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Gallery</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 16px/1.5 system-ui; max-width: 44rem; margin: 1rem auto; padding: 0 1rem }}
img {{ max-width: 100% }}
</style><h1>Gallery</h1>{body}</html>"""
UPLOAD = """<form action="upload" method="post" enctype="multipart/form-data">
<label>Picture <input type="file" name="picture" accept="image/*" required></label>
<button>Upload</button></form>"""
# In percent of what is shown: a wide picture is shown smaller than it is.
TAP = """<form action="tag" id="tap"><input type="hidden" name="name" value="{name}">
<input type="hidden" name="x"><input type="hidden" name="y"></form>
<p>Tap what you mean.</p>
<img src="picture?name={name}" alt="Your picture" onclick="
  tap.x.value = Math.min(100, 100 * event.offsetX / width);
  tap.y.value = Math.min(100, 100 * event.offsetY / height);
  tap.submit()">"""
CHOOSE = """<p>At {x:.0f} %, {y:.0f} %: {note}</p><form action="choose" method="post">
<input type="hidden" name="name" value="{name}">
{choices}<button>Save</button></form>"""
# A few of them, to keep the example short; `GET /v1/models` has all.
ALL_THEMES = ["Architecture", "Art", "Food", "Furniture & Decor", "Gardening", "Women's Fashion"]
ALL_COLORS = ["black", "blue", "green", "neutral", "red", "white", "yellow"]


class Gallery:
    """The application's pages."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder

    @cherrypy.expose
    def index(self) -> str:
        """Ask for a picture."""
        return PAGE.format(body=UPLOAD)

    @cherrypy.expose
    def upload(self, picture: Any) -> None:
        """Step 1: keep the picture. The service is not asked: its state is no upload's business."""
        name = uuid.uuid4().hex
        (self._folder / name).write_bytes(picture.file.read())
        raise cherrypy.HTTPRedirect(f"tap?name={name}")

    @cherrypy.expose
    def tap(self, name: str) -> str:
        """Show the picture, to be tapped."""
        self._find(name)
        return PAGE.format(body=TAP.format(name=name))

    @cherrypy.expose
    def picture(self, name: str) -> Any:
        """Send the picture."""
        return serve_file(str(self._find(name)), content_type="application/octet-stream")

    @cherrypy.expose
    def tag(self, name: str, x: str, y: str) -> str:
        """Step 2: ask the service about the point, and offer what it says, or everything."""
        point = float(x), float(y)
        result = self._client.predict_or_empty(
            self._find(name), *point, unit="percent", request_id=name
        )
        if result.empty:
            cherrypy.log(f"no suggestions for {name}: {result.reason}")
        note = "please choose." if result.empty else "our suggestions, best first."
        choices = offer("themes", result, ALL_THEMES) + offer("colors", result, ALL_COLORS)
        body = CHOOSE.format(x=point[0], y=point[1], note=note, name=name, choices=choices)
        return PAGE.format(body=body)

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def choose(self, name: str, themes: str, colors: str) -> str:
        """Keep what the user chose."""
        self._find(name).with_suffix(".txt").write_text(f"{themes}\n{colors}\n", encoding="utf-8")
        chosen = html.escape(f"{themes}, {colors}")
        return PAGE.format(body=f'<p>Saved: {chosen}.</p><p><a href="./">Another one</a></p>')

    def _find(self, name: str) -> Path:
        """Find a picture that was uploaded; names are ours alone."""
        path = self._folder / name
        if not (name.isalnum() and path.is_file()):
            raise cherrypy.HTTPError(404)
        return path


def offer(model: str, result: Result, everything: list[str]) -> str:
    """Write a list to choose from: the service's labels, or all there are when it gave none."""
    labels = [best.label for best in result.labels(model)] or everything
    options = "".join(f"<option>{html.escape(label)}</option>" for label in labels)
    return f'<p><label>{model} <select name="{model}">{options}</select></label></p>'


def main() -> None:
    """Serve the application."""
    url = os.environ.get("DSAPI_URL", "http://127.0.0.1:9000")
    client = Client(url, os.environ.get("DSAPI_KEY"), timeout_s=0.5)
    cherrypy.config.update(
        {
            "server.socket_port": int(os.environ.get("GALLERY_PORT", "8080")),
            "server.max_request_body_size": 20 * 1024 * 1024,
            "engine.autoreload.on": False,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        cherrypy.quickstart(Gallery(client, Path(folder)))


if __name__ == "__main__":
    main()
