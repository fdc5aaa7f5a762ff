"""The exchange: CherryPy's request, which answers in the contract's shape and is written down.

Made by CherryPy for each request to `dsapi.web.application`.
"""

import sys

import cherrypy
from cherrypy._cprequest import Request

from dsapi.errors import BadRequest, Forbidden, NotFound, RateLimited, Unauthorized, quote
from dsapi.web.journal import PredictionRecord, RequestRecord
from dsapi.web.page import takes_page
from dsapi.web.problems import respond_to_exception, understand
from dsapi.web.request_ids import choose_request_id


class ApiRequest(Request):  # type: ignore[misc]
    """A CherryPy request that answers every error in the contract's shape.

    Set on the class, not in the configuration, as CherryPy reads that only after it has found the
    path: an error before then would get the framework's own page.
    """

    show_tracebacks = False
    # `dsapi.web.bodies` reads body and query, once and strictly.
    process_request_body = False

    # What the journal tells of the request: the error's code, how the picture came, and what the
    # prediction was.
    error_code = ""
    picture_form = ""
    prediction: PredictionRecord | None = None
    # Whether it is a browser's question before the request of another origin's page.
    preflight = False

    def _do_respond(self, path_info: str) -> None:
        """Answer; a shortcut without CherryPy's configuration, tools, hooks and body.

        Nothing of a prediction needs them, and they take a fifth of what HTTP costs.
        """
        handler = self.app.shortcuts.get((self.method, path_info))
        if handler is None:
            try:
                super()._do_respond(path_info)
            except cherrypy.HTTPError as error:  # whose own answer is filled up with spaces
                raise understand(error) from error
            return
        self.process_headers()
        response = cherrypy.serving.response
        response.body = handler()
        response.finalize()

    def process_query_string(self) -> None:
        """Leave the query to `dsapi.web.bodies`."""

    def process_headers(self) -> None:
        """Read the headers as they came, name the request, and see who asks.

        CherryPy would decode values as mail does (RFC 2047), which RFC 9110 does not know, and
        fail where they only look like it; and read cookies.
        """
        for name, value in self.header_list:
            self.headers[name] = value
        self.unique_id = choose_request_id(self.headers.get("X-Request-ID", ""))
        headers = cherrypy.serving.response.headers
        headers["X-Request-ID"] = self.unique_id
        headers["Server"] = "dsapi"
        if permitted := self.app.access.origin_headers(self.wsgi_environ.get("HTTP_ORIGIN", "")):
            headers.update(permitted)
            self.preflight = (
                self.method == "OPTIONS"
                and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in self.wsgi_environ
            )
        self.remote.ip = self.app.access.find_address(self.wsgi_environ)
        self.app.access.check(
            self.wsgi_environ,
            path=self.path_info,
            address=self.remote.ip,
            preflight=self.preflight,
        )
        if self.protocol >= (1, 1) and "Host" not in self.headers:
            raise BadRequest("HTTP/1.1 requires a Host header")
        # A file is sent whole, as is permitted (RFC 9110, 14.2): CherryPy fails on a range that it
        # cannot read, sends as many copies as there are ranges, and does not close the file. Its
        # condition goes with it: no request changes what it could protect.
        for name in ("Range", "If-Unmodified-Since"):
            self.headers.pop(name, None)
        # CherryPy makes one slash of several, so that every path would have further names.
        if "//" in (path := self.wsgi_environ["PATH_INFO"]):
            # PEP 3333: bytes as characters.
            path = path.encode("latin-1").decode(errors="replace")
            raise NotFound(f"there is no {quote(path)}")

    def handle_error(self) -> None:
        """Answer an exception; overridden, as CherryPy sets ``error_response`` anew each time."""
        error = sys.exc_info()[1]
        refused = isinstance(error, Unauthorized | Forbidden | RateLimited)
        if refused and self.path_info == "/" and takes_page():
            self.app.page.refuse(error)
        else:
            respond_to_exception()
        cherrypy.serving.response.finalize()

    def close(self) -> None:
        """Write the request, and what was predicted, into the journal when its answer is out."""
        if not self.closed:
            response = cherrypy.serving.response
            length = response.headers.get("Content-Length")
            if self.prediction is not None:
                self.app.journal.write_prediction(self.prediction)
            self.app.journal.write(
                RequestRecord(
                    request_id=self.unique_id,
                    client=self.remote.ip,
                    request=self.request_line[:200],
                    status=int((response.output_status or b"500")[:3]),
                    code=self.error_code,
                    form=self.picture_form,
                    size=None if length is None else int(length),
                    took_ms=self.wsgi_environ["dsapi.deadline"].spent_s * 1000,
                )
            )
        super().close()
