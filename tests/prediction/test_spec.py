"""What a model's section may say, and which models a request gets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dsapi.errors import BadParameter
from dsapi.prediction.spec import ModelSpec, choose_models

DIGEST = "0" * 64


def spec(**options: object) -> ModelSpec:
    return ModelSpec.model_validate(
        {"graph": Path("g.pb"), "labels": Path("labels.txt"), "crop": "80%", **options}
    )


@pytest.mark.parametrize(
    "options",
    [
        *({"min_probability": 1.01}, {"min_probability": -0.01}, {"input_size": 0}),
        *({"scale": 0}, {"scale": float("nan")}, {"offset": float("inf")}),
        *({"crop": 80}, {"crop": "0%"}, {"resize": "cover"}, {"dtype": "float16"}),
        *({"sha256": "0" * 63}, {"sha256": "g" * 64}, {"lables": "labels.txt"}),
    ],
    ids=str,
)
def test_what_makes_no_sense_of_a_model_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        spec(**options)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/g.pb", "host/g.pb", "https:///g.pb", "https://host:0/g.pb"),
        *("https://host:99999/g.pb", "https://user@host/g.pb", "https://user:secret@host/g.pb"),
        "https://host/größe.pb",
    ],
)
def test_a_url_that_no_download_can_use_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        spec(url=url, sha256=DIGEST)


def test_nothing_is_downloaded_that_cannot_be_verified() -> None:
    with pytest.raises(ValidationError, match="url needs sha256"):
        spec(url="https://host:8443/g.pb")
    assert spec(url="https://host:8443/g.pb", sha256=DIGEST).url == "https://host:8443/g.pb"


def test_the_default_models_are_taken_where_none_is_named() -> None:
    specs = {"themes": spec(), "shapes": spec(default=False), "colors": spec()}
    assert choose_models(None, specs) == ("themes", "colors")
    assert choose_models(["shapes"], specs) == ("shapes",)


def test_a_model_that_is_named_twice_is_run_once_in_the_order_asked() -> None:
    specs = {"themes": spec(), "colors": spec()}
    assert choose_models(["colors", "themes", "colors"], specs) == ("colors", "themes")


def test_a_model_that_there_is_not_is_told_with_those_that_there_are() -> None:
    specs = {"themes": spec(), "colors": spec()}
    with pytest.raises(BadParameter, match="among themes, colors; got 'shapes'"):
        choose_models(["themes", "shapes"], specs)
