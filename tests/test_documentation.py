"""The documentation says what the code does: examples are run, tables compared."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.cli.settings import describe_settings
from dsapi.errors import RequestError
from dsapi.prediction.model import load_model
from dsapi.prediction.spec import ModelSpec
from dsapi.settings import load_settings
from dsapi.settings.config_file import default_config
from tests.conftest import RunningServer, StartServer
from tests.graphs import write_labels

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```sh\n(?P<command>.*?)\n```(?:\n+```json\n(?P<answer>.*?)\n```)?", re.S)
CURLS = [match for match in BLOCK.finditer(README) if "curl" in match["command"]]


@pytest.fixture(scope="module")
def shipped(start_server: StartServer) -> RunningServer:
    """A server with the shipped models, as `make serve` starts it."""
    return start_server(load_settings(port=0, image_roots=[ROOT / "static/samples"]))


def error_codes(kind: type[RequestError]) -> set[str]:
    return {kind.code}.union(*(error_codes(child) for child in kind.__subclasses__()))


def stable(value: Any) -> Any:
    """Leave out what differs between runs; processors differ in the last digits of floats."""
    if isinstance(value, dict):
        changing = ("id", "timing_ms", "request_id")
        return {key: stable(part) for key, part in value.items() if key not in changing}
    if isinstance(value, list):
        return [stable(part) for part in value]
    return pytest.approx(value, abs=0.01) if isinstance(value, float) else value


def without_changing(answer: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in answer.items() if k not in ("id", "timing_ms", "request_id")}


def test_the_page_on_configuration_is_what_the_code_says() -> None:
    told = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert told == describe_settings(), "run: dsapi settings --markdown > docs/configuration.md"


def test_the_shipped_configuration_names_only_settings_that_exist() -> None:
    load_settings(default_config())


@pytest.mark.parametrize("match", CURLS, ids=lambda m: m["command"][:40])
def test_an_example_with_curl_gets_the_answer_that_is_shown(
    shipped: RunningServer, match: re.Match[str]
) -> None:
    command = match["command"].replace("http://localhost:9000", f"http://127.0.0.1:{shipped.port}")
    run = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    answer = json.loads(run.stdout)
    if match["answer"]:
        assert stable(json.loads(match["answer"])) == without_changing(answer)
    else:
        assert answer["predictions"]


def test_there_is_an_example_of_every_form() -> None:
    commands = " ".join(match["command"] for match in CURLS)
    for form in ("--data-binary", "-F image=@", "base64", "-d path="):
        assert form in commands


def test_every_error_code_is_documented() -> None:
    for code in error_codes(RequestError):
        assert f"`{code}`" in README, code


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"dsapi ([a-z]+)", " ".join(re.findall(r"```(.*?)```", README, re.S))))
    assert {"predict", "start"} <= named
    for command in named:
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0, command


def test_the_examples_of_dsapi_predict_work(capfd: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"^dsapi predict .*$", README, re.M)
    assert lines
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output


def test_the_examples_of_freezing_make_graphs_that_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    layers = [
        keras.Input((224, 224, 3)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ]
    network = keras.Sequential(layers)
    network.save(tmp_path / "scenes.keras")
    network.export(tmp_path / "scenes", verbose=False)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(examples) == 2
    spec = ModelSpec(
        graph=tmp_path / "models/sceneClassifier.pb",
        labels=write_labels(tmp_path / "labels.txt"),
        crop="50%",
    )
    crop = np.full((1, 224, 224, 3), (10, 250, 20), np.uint8)
    for example in examples:
        exec(compile(example, "docs/models.md", "exec"), {})
        model = load_model("scenes", spec, engine="tensorflow").open()
        assert model.run(crop).argmax() == 1
        spec.graph.unlink()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_links_inside_the_documentation_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
