"""The way from a picture to its labels, all of it, and what is told where a model fails."""

import gc
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from dsapi.engines import Session
from dsapi.errors import DeadlineExceeded, InternalError
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import OpenModel, load_model
from dsapi.prediction.picture import Limits
from dsapi.prediction.predictor import (
    PictureFacts,
    Prediction,
    PredictionRequest,
    predict,
)
from dsapi.prediction.spec import ModelSpec
from dsapi.process.service import load_models
from dsapi.settings import load_settings
from tests.engines.gated import GatedGraph, GatedSession, gated_model
from tests.graphs import freeze_constant, freeze_failing, write_labels
from tests.pictures import GREEN, encode, photo

SIZE = (123, 77)


def test_a_prediction_does_not_keep_the_pixels(tiny_config: Path) -> None:
    settings = load_settings(tiny_config)
    models = {name: model.open() for name, model in load_models(settings).items()}
    encoded = encode(Image.new("RGB", SIZE, "teal"))
    prediction = predict(
        PredictionRequest(encoded, points=(None,), models=tuple(models)),
        models=models,
        limits=settings.limits,
        deadline=Deadline.within(60.0),
    )
    assert prediction.picture == PictureFacts(*SIZE, format="PNG", bytes=len(encoded))
    # While the prediction is held, as by a slow caller's answer.
    assert [
        each for each in gc.get_objects() if isinstance(each, Image.Image) and each.size == SIZE
    ] == []


def test_of_a_jpeg_the_rows_that_all_points_need_are_decoded(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(tiny_config)
    models = {name: model.open() for name, model in load_models(settings).items()}
    jpeg = encode(photo(640, 480), "JPEG")
    png = encode(Image.open(BytesIO(jpeg)))
    heights = []
    decode = simplejpeg.decode_jpeg

    def count_rows(*args: Any, **options: Any) -> Any:
        pixels = decode(*args, **options)
        heights.append(len(pixels))
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", count_rows)

    def ask(
        image: bytes,
        *points: tuple[float, float],
        names: tuple[str, ...] = ("themes", "colors"),
    ) -> list[Any]:
        prediction = predict(
            PredictionRequest(image, points=points, models=names),
            models=models,
            limits=settings.limits,
            deadline=Deadline.within(60.0),
        )
        return [result.labels for result in prediction.results]

    top, bottom = (500, 0), (20, 479)
    assert ask(jpeg, top, bottom) == ask(jpeg, bottom, top)[::-1] == ask(png, top, bottom)
    assert ask(jpeg, top) == ask(png, top) == ask(jpeg, top, names=("colors", "themes"))
    assert heights[:2] == [480, 480]
    assert 384 < heights[2] < 480


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> OpenModel:
    """A model that gives NaN for patches of plain green, and thirds for black ones."""
    folder = tmp_path_factory.mktemp("failing")
    spec = ModelSpec.model_validate(
        {
            "graph": freeze_failing(folder / "g.pb"),
            "labels": write_labels(folder / "labels.txt"),
            "crop": "9px",
        }
    )
    return load_model("colors", spec, engine="tensorflow").open()


def ask_at(model: OpenModel, *points: tuple[float, float]) -> Prediction:
    """Ask about a picture whose left half is black, and whose right half is green."""
    picture = Image.new("RGB", (60, 30))
    picture.paste(GREEN, (30, 0, 60, 30))
    return predict(
        PredictionRequest(encode(picture), points=points, models=("colors",)),
        models={"colors": model},
        limits=Limits(max_pixels=1_000_000, working_side=0),
        deadline=Deadline.within(60.0),
    )


def test_a_point_at_which_a_model_fails_takes_nothing_from_the_others(
    failing: OpenModel, caplog: pytest.LogCaptureFixture
) -> None:
    results = ask_at(failing, (5, 5), (55, 5), (6, 6)).results
    assert [len(result.labels["colors"]) for result in results] == [3, 0, 3]
    told = {"colors": "the model failed on this picture"}
    assert [result.errors for result in results] == [{}, told, {}]
    assert "model colors" in caplog.text
    assert "request" not in caplog.text
    assert "failed at 1 of 3 points: the model's scores are no prob" in caplog.text


def test_only_if_every_model_fails_at_every_point_there_is_no_answer(failing: OpenModel) -> None:
    with pytest.raises(InternalError, match="every model failed"):
        ask_at(failing, (55, 5), (54, 6))


class _FailingSession(GatedSession):
    """Fails on several crops, at once or when its scores are asked for."""

    late: bool

    def start(self, batch: NDArray[np.generic]) -> Callable[[], NDArray[np.float32]]:
        if len(batch) == 1:
            return super().start(batch)
        return self.fail if self.late else self.fail()

    def fail(self) -> Any:
        raise RuntimeError("no memory for so many")


@pytest.mark.parametrize("late", [False, True])
def test_a_model_that_fails_takes_nothing_from_the_others(late: bool) -> None:
    class Failing(GatedGraph):
        def open_session(self) -> Session:
            session = _FailingSession(self)
            session.late = late
            return session

    results = predict(
        PredictionRequest(
            encode(Image.new("RGB", SIZE)), points=((1, 1), (2, 2)), models=("themes", "colors")
        ),
        models={
            "themes": gated_model(Failing(lambda: None)).open(),
            "colors": gated_model(GatedGraph(lambda: None)).open(),
        },
        limits=Limits(max_pixels=1_000_000, working_side=0),
        deadline=Deadline.within(60.0),
    ).results
    assert [result.errors for result in results] == [
        {"themes": "the model failed on this picture"}
    ] * 2
    assert [result.labels["themes"] for result in results] == [()] * 2
    assert [result.labels["colors"][0].label for result in results] == ["yes"] * 2


def test_no_model_is_run_past_the_deadline() -> None:
    deadline = Deadline.within(0.05)
    ran = []

    def outlast() -> None:
        ran.append("themes")
        while deadline.left_s:
            time.sleep(0.01)

    models = {
        "themes": gated_model(GatedGraph(outlast)).open(),
        "colors": gated_model(GatedGraph(lambda: ran.append("colors"))).open(),
    }
    with pytest.raises(DeadlineExceeded):
        predict(
            PredictionRequest(encode(Image.new("RGB", SIZE)), points=(None,), models=tuple(models)),
            models=models,
            limits=Limits(max_pixels=1_000_000, working_side=0),
            deadline=deadline,
        )
    assert ran == ["themes"]


def test_the_deadline_is_looked_at_before_every_crop() -> None:
    class Counted(Deadline):
        """Counts how often it is looked at."""

        looks: ClassVar[list[int]] = []

        def check(self) -> None:
            super().check()
            self.looks[-1] += 1

    models = {"themes": gated_model(GatedGraph(lambda: None)).open()}
    picture = encode(Image.new("RGB", SIZE))
    for count in (1, 64):
        Counted.looks.append(0)
        predict(
            PredictionRequest(picture, points=(None,) * count, models=tuple(models)),
            models=models,
            limits=Limits(max_pixels=1_000_000, working_side=0),
            deadline=Counted.within(60.0),
        )
    assert Counted.looks[1] - Counted.looks[0] == 63


def test_the_time_of_a_model_is_all_that_it_took() -> None:
    took_ms = []

    def work() -> None:
        started = time.perf_counter()
        time.sleep(0.01)
        took_ms.append((time.perf_counter() - started) * 1000)

    prediction = predict(
        PredictionRequest(encode(Image.new("RGB", SIZE)), points=(None,), models=("themes",)),
        models={"themes": gated_model(GatedGraph(work)).open()},
        limits=Limits(max_pixels=1_000_000, working_side=0),
        deadline=Deadline.within(60.0),
    )
    assert prediction.timing_ms["themes"] >= took_ms[0]


@pytest.mark.parametrize(("asked", "told"), [(0.0, "ab"), (0.1, "ab"), (0.25, "ab"), (0.4, "a")])
def test_labels_below_a_models_least_probability_are_never_told(
    tmp_path: Path, asked: float, told: str
) -> None:
    spec = ModelSpec(
        graph=freeze_constant(tmp_path / "g.pb", [0.5, 0.3, 0.2]),
        labels=write_labels(tmp_path / "labels.txt", ("a", "b", "c")),
        crop="9px",
        min_probability=0.25,
    )
    prediction = predict(
        PredictionRequest(
            encode(Image.new("RGB", SIZE)),
            points=(None,),
            models=("colors",),
            min_probability=asked,
        ),
        models={"colors": load_model("colors", spec, engine="tensorflow").open()},
        limits=Limits(max_pixels=1_000_000, working_side=0),
        deadline=Deadline.within(60.0),
    )
    assert [best.label for best in prediction.results[0].labels["colors"]] == list(told)
