"""The journal: every request once, when it has ended, in the access log and in the metrics.

Written by `dsapi.web.application` for requests that reached a handler, and by
`dsapi.web.http_server` for those that were refused before.
"""

import logging
from dataclasses import asdict, dataclass

from dsapi.metrics import Metrics

_LOGGER = logging.getLogger("dsapi.access")
_ENDPOINTS = frozenset(
    {
        "/",
        "/docs",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/v1/models",
        "/v1/models/reload",
        "/v1/predictions",
        "/v1/predictions/batch",
    }
)


@dataclass(frozen=True)
class RequestRecord:
    """A request that has ended.

    Attributes:
        request_id: its id.
        client: the caller's address.
        request: method, path, query and protocol, as they came.
        status: of the answer.
        code: of the error; empty for none.
        form: how the picture came: raw, upload, path, base64; empty for none.
        size: bytes of the answer's body, ``None`` if unknown.
        took_ms: from its first byte to the end of its answer.
    """

    request_id: str
    client: str
    request: str
    status: int
    code: str
    form: str
    size: int | None
    took_ms: float

    def fields(self) -> dict[str, object]:
        """Give the fields of a JSON log line."""
        return asdict(self) | {"took_ms": round(self.took_ms, 1)}

    def __str__(self) -> str:
        return (
            f'{self.request_id} {self.client} "{self.request}" {self.status} '
            f"{'-' if self.size is None else self.size} {self.took_ms:.1f}ms"
            + (f" {self.code}" if self.code else "")
        )


class Journal:
    """Where requests are written down."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def write(self, record: RequestRecord) -> None:
        """Log and count a request."""
        _LOGGER.info(record)
        self.metrics.count_request(
            endpoint=_endpoint(record.request),
            form=record.form,
            status=record.status,
            code=record.code,
            seconds=record.took_ms / 1000,
        )


def _endpoint(request: str) -> str:
    """Find the endpoint of a request line; callers must not make up new ones."""
    path = request.partition(" ")[2].partition(" ")[0].partition("?")[0]
    if path in _ENDPOINTS:
        return path
    return "static" if path.startswith("/static/") else "other"
