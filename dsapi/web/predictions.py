"""``/v1/predictions``: themes and colors at one point, or at many points of one picture."""

from pathlib import Path

import cherrypy
import uuid_utils

from dsapi.prediction.deadline import Deadline
from dsapi.prediction.files import read_image_file
from dsapi.prediction.predictor import Prediction, PredictionRequest
from dsapi.prediction.spec import choose_models
from dsapi.settings import Settings
from dsapi.web.answers import answer_batch, answer_prediction
from dsapi.web.bodies import Form, parse_form, read_body
from dsapi.web.journal import PredictionRecord
from dsapi.web.parameters import (
    AnyParameters,
    BatchParameters,
    PointParameters,
    read_parameters,
)
from dsapi.workers.pool import PredictionWorkers


class RequestLimits:
    """What a request may use. A reload puts other settings in the place of these, all at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def take(self, settings: Settings) -> None:
        """Take them from changed settings."""
        self._settings = settings

    @property
    def image_roots(self) -> tuple[Path, ...]:
        """Folders whose pictures may be named by path."""
        return self._settings.image_roots

    @property
    def max_bytes(self) -> int:
        """Largest body or picture file."""
        return self._settings.max_bytes

    @property
    def timeout_s(self) -> float:
        """Time from the request's first byte to its answer."""
        return self._settings.request_timeout


class BatchPredictions:
    """``/v1/predictions/batch``."""

    exposed = True

    def __init__(self, workers: PredictionWorkers, limits: RequestLimits) -> None:
        self._workers = workers
        self._limits = limits

    def POST(self) -> bytes:  # CherryPy names handlers after methods
        """Answer many points of one picture."""
        prediction, prediction_id = _predict(BatchParameters, self._workers, self._limits)
        return _json(answer_batch(prediction, prediction_id=prediction_id).model_dump_json())


class Predictions:
    """``/v1/predictions``."""

    exposed = True

    def __init__(self, workers: PredictionWorkers, limits: RequestLimits) -> None:
        self._workers = workers
        self._limits = limits

    def POST(self) -> bytes:  # likewise
        """Answer one point."""
        prediction, prediction_id = _predict(PointParameters, self._workers, self._limits)
        return _json(answer_prediction(prediction, prediction_id=prediction_id).model_dump_json())


def _predict(
    kind: type[AnyParameters], workers: PredictionWorkers, limits: RequestLimits
) -> tuple[Prediction, str]:
    """Go the whole way from the current request to a prediction and its id."""
    request = cherrypy.serving.request
    deadline: Deadline = request.wsgi_environ["dsapi.deadline"]
    # The body goes when it is taken apart: it would lie beside its picture while that is decoded.
    form = parse_form(
        request.headers.get("Content-Type", ""),
        read_body(max_bytes=limits.max_bytes, deadline=deadline),
        request.query_string,
        known=kind.model_fields,
    )
    request.picture_form = form.kind
    parameters = read_parameters(kind, form.parameters)
    return predict_form(form, parameters, workers=workers, limits=limits, deadline=deadline)


def predict_form(
    form: Form,
    parameters: PointParameters | BatchParameters,
    *,
    workers: PredictionWorkers,
    limits: RequestLimits,
    deadline: Deadline,
) -> tuple[Prediction, str]:
    """Answer a form whose parameters are validated: a prediction and its id.

    Raises:
        RequestError: the picture, the point or a model is unusable, or there was no time.
    """
    request = cherrypy.serving.request
    asked = PredictionRequest(
        _image(form, limits),
        points=parameters.asked_points,
        models=choose_models(
            parameters.models, {name: model.spec for name, model in workers.models.items()}
        ),
        unit=parameters.unit,
        top=parameters.top,
        min_probability=parameters.min_probability,
        listed=isinstance(parameters, BatchParameters),
        id=str(request.unique_id),
    )
    caller_gone = request.wsgi_environ["dsapi.caller_gone"]
    prediction = workers.predict(asked, deadline, caller_gone=caller_gone)
    request.prediction = PredictionRecord(prediction, asked.id, source=form.path or "body")
    return prediction, str(uuid_utils.uuid7())


def _image(form: Form, limits: RequestLimits) -> bytes:
    if form.image is not None:
        return form.image
    return read_image_file(form.path or "", roots=limits.image_roots, max_bytes=limits.max_bytes)


def _json(text: str) -> bytes:
    cherrypy.serving.response.headers["Content-Type"] = "application/json"
    return text.encode()
