"""What the core says, as numbers that callers read."""

import json

from dsapi.prediction.points import Point
from dsapi.prediction.predictor import PictureFacts, PointPrediction, Prediction
from dsapi.prediction.ranking import RankedLabel
from dsapi.web.answers import answer_batch, answer_prediction

RESULT = PointPrediction(
    Point(3, 5),
    labels={"themes": (RankedLabel("a", 0.66666), RankedLabel("b", 0.33334))},
    crops={"themes": (0, 1, 8, 9)},
    errors={"colors": "failed"},
)
PREDICTION = Prediction(
    PictureFacts(width=10, height=12, format="PNG", bytes=99),
    results=(RESULT,),
    versions={"themes": "0" * 12},
    timing_ms={"queue": 0.06, "total": 12.34},
)


def test_probabilities_are_rounded_to_four_decimals_and_times_to_one() -> None:
    told = answer_prediction(PREDICTION, "1").model_dump()
    ranked = told["predictions"]["themes"]
    assert [best["probability"] for best in ranked] == [0.6667, 0.3333]
    assert told["timing_ms"] == {"queue": 0.1, "total": 12.3}


def test_one_point_and_many_are_told_alike() -> None:
    one = json.loads(answer_prediction(PREDICTION, "1").model_dump_json())
    many = json.loads(answer_batch(PREDICTION, "1").model_dump_json())
    (result,) = many.pop("results")
    assert {**many, **result} == one
    assert one["image"] == {"width": 10, "height": 12, "format": "PNG", "bytes": 99}
    assert one["crops"] == {"themes": [0, 1, 8, 9]}
    assert one["errors"] == {"colors": "failed"}
