"""``/v1/predictions``: themes and colors at one point, or at many points of one picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

import cherrypy
import uuid_utils
from pydantic import BaseModel

from dsapi.prediction.deadline import Deadline
from dsapi.prediction.files import read_image_file
from dsapi.prediction.predictor import Prediction, PredictionRequest
from dsapi.prediction.spec import choose_models
from dsapi.settings import Settings
from dsapi.web.answers import respond
from dsapi.web.bodies import Form, parse_form, read_body
from dsapi.web.journal import PredictionRecord
from dsapi.web.parameters import (
    AnyParameters,
    BatchParameters,
    PointParameters,
    read_parameters,
)
from dsapi.workers.pool import PredictionWorkers


@dataclass
class InForce:
    """The settings that requests go by.

    A reload replaces them as a whole: a request reads them once.
    """

    settings: Settings


class Predictions(Generic[AnyParameters]):
    """``/v1/predictions``, or ``/v1/predictions/batch``.

    Args:
        workers: what predicts.
        in_force: the settings to go by.
        kind: the parameters that it takes.
        answer: makes the answer of a prediction and its id.
    """

    exposed = True

    def __init__(
        self,
        workers: PredictionWorkers,
        in_force: InForce,
        *,
        kind: type[AnyParameters],
        answer: Callable[[Prediction, str], BaseModel],
    ) -> None:
        self._workers = workers
        self._in_force = in_force
        self._kind: type[AnyParameters] = kind
        self._answer = answer

    def POST(self) -> bytes:  # CherryPy names handlers after methods
        """Go the whole way from the current request to its answer."""
        settings = self._in_force.settings
        request = cherrypy.serving.request
        deadline: Deadline = request.wsgi_environ["dsapi.deadline"]
        # The body goes when it is taken apart: it would lie beside its picture, decoded.
        form = parse_form(
            request.headers.get("Content-Type", ""),
            read_body(max_bytes=settings.max_bytes, deadline=deadline),
            request.query_string,
            known=self._kind.model_fields,
        )
        request.picture_form = form.kind
        parameters = read_parameters(self._kind, form.parameters)
        prediction, prediction_id = predict_form(
            form, parameters, workers=self._workers, settings=settings, deadline=deadline
        )
        return respond(self._answer(prediction, prediction_id))


def predict_form(
    form: Form,
    parameters: PointParameters | BatchParameters,
    *,
    workers: PredictionWorkers,
    settings: Settings,
    deadline: Deadline,
) -> tuple[Prediction, str]:
    """Answer a form whose parameters are validated: a prediction and its id.

    Raises:
        RequestError: the picture, the point or a model is unusable, or there was no time.
    """
    request = cherrypy.serving.request
    asked = PredictionRequest(
        _image(form, settings),
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


def _image(form: Form, settings: Settings) -> bytes:
    if form.image is not None:
        return form.image
    return read_image_file(
        form.path or "", roots=settings.image_roots, max_bytes=settings.max_bytes
    )
