"""The journal: every request and every prediction, when its answer is out, in logs and metrics.

Written by `dsapi.web.exchange` for requests that reached the application, and by
`dsapi.web.http_server` for those that were refused before.
"""

import logging
import re
from dataclasses import asdict, dataclass

from dsapi.operation.metrics import Metrics
from dsapi.prediction.predictor import Prediction

_LOGGER = logging.getLogger("dsapi.access")
_PREDICTIONS_LOGGER = logging.getLogger("dsapi.predictions")
# What could end a line, or the quotes in it, and make another one look real.
_UNPRINTABLE = re.compile(r'[\x00-\x1f"\\\x7f-\x9f\u2028\u2029]')


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
        request = _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", self.request)
        return (
            f'{self.request_id} {self.client} "{request}" {self.status} '
            f"{'-' if self.size is None else self.size} {self.took_ms:.1f}ms"
            + (f" {self.code}" if self.code else "")
        )


@dataclass(frozen=True)
class PredictionRecord:
    """The log line of a prediction: what was asked, answered, and the time of every step."""

    prediction: Prediction
    request_id: str
    source: str

    def fields(self) -> dict[str, object]:
        """Give the fields of a JSON log line."""
        picture, first = self.prediction.picture, self.prediction.results[0]
        return {
            "request_id": self.request_id,
            "source": self.source,
            "format": picture.format,
            "bytes": picture.bytes,
            "width": picture.width,
            "height": picture.height,
            "points": len(self.prediction.results),
            "point": [first.point.x, first.point.y],
            "models": {
                name: {
                    "version": version,
                    "label": best[0].label if (best := first.labels[name]) else None,
                    "probability": round(best[0].probability, 4) if best else None,
                }
                for name, version in self.prediction.versions.items()
            },
            "timing_ms": {
                step: round(value, 1) for step, value in self.prediction.timing_ms.items()
            },
        }

    def __str__(self) -> str:
        picture, first = self.prediction.picture, self.prediction.results[0]
        parts = [
            f"{self.request_id} source={self.source!r} format={picture.format} "
            f"bytes={picture.bytes} size={picture.width}x{picture.height} "
            f"points={len(self.prediction.results)} point={first.point.x},{first.point.y}"
        ]
        for name, version in self.prediction.versions.items():
            best = first.labels[name]
            told = f'"{best[0].label}":{best[0].probability:.4f}' if best else "-"
            parts.append(f"{name}={version}:{told}")
        parts += [f"{step}_ms={value:.1f}" for step, value in self.prediction.timing_ms.items()]
        return " ".join(parts)


class Journal:
    """Where requests are written down.

    Attributes:
        endpoints: paths that are counted by their names, as whoever serves them says.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.endpoints: frozenset[str] = frozenset()

    def write(self, record: RequestRecord) -> None:
        """Log and count a request."""
        _LOGGER.info(record)
        self._metrics.count_request(
            endpoint=self._find_endpoint(record.request),
            form=record.form,
            status=record.status,
            code=record.code,
            seconds=record.took_ms / 1000,
        )

    def write_prediction(self, record: PredictionRecord) -> None:
        """Log a prediction and observe its steps."""
        _PREDICTIONS_LOGGER.info(record)
        self._metrics.observe_stages(record.prediction.timing_ms)

    def _find_endpoint(self, request: str) -> str:
        """Find the endpoint of a request line; callers must not make up new ones."""
        path = request.partition(" ")[2].partition(" ")[0].partition("?")[0]
        if path in self.endpoints:
            return path
        return "static" if path.startswith("/static/") else "other"
