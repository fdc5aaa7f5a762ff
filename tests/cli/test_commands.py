"""The commands on tiny graphs, in this process where that does not matter."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsapi.cli import app, main
from dsapi.errors import BadPoint, MissingImage, StartupError
from tests.conftest import RunningServer, write_tiny_config
from tests.graphs import freeze_constant, freeze_failing, write_labels
from tests.pictures import encode, halves


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "halves.png"
    path.write_bytes(encode(halves()))
    return path


def run(*arguments: object) -> str:
    """Run a command that must succeed; return what it printed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "140"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_predict_shows_labels_bars_and_probabilities(picture: Path, tiny_config: Path) -> None:
    told = run("predict", picture, 60, 10, "-c", tiny_config)
    assert "PNG, 64 × 48 pixels, point (60, 10)" in told
    assert "colors in [55, 6, 64, 15]" in told
    lines = [line.split() for line in told.split("colors in")[1].splitlines()[1:]]
    assert [line[0] for line in lines if line] == ["blue", "green", "red"]
    assert "━" in told
    assert all(re.fullmatch(r"\d+\.\d%", line[-1]) for line in lines if line)


def test_predict_shows_why_a_model_has_no_answer(picture: Path, tmp_path: Path) -> None:
    config = write_tiny_config(tmp_path)
    freeze_failing(tmp_path / "models/colors.pb")
    themes, colors = run("predict", picture, 10, 10, "-c", config).split("colors in")
    assert "red" in themes
    assert "%" not in colors
    served = json.loads(run("predict", picture, 10, 10, "--json", "-c", config))
    assert served["errors"]["colors"] in colors


def test_a_label_in_brackets_is_shown_as_it_is(picture: Path, tmp_path: Path) -> None:
    config = write_tiny_config(tmp_path)
    write_labels(tmp_path / "labels/three.txt", ("red", "[green]", "blue [/dark]"))
    told = run("predict", picture, 60, 10, "-c", config)
    assert "[green]" in told
    assert "blue [/dark]" in told


def test_predict_prints_the_json_of_the_server(
    picture: Path, tiny_config: Path, server: RunningServer
) -> None:
    printed = json.loads(run("predict", picture, 10, 10, "--json", "-c", tiny_config))
    served = server.post_picture(picture.read_bytes(), "x=10&y=10").json
    for key in ("image", "point", "predictions", "crops", "models", "errors"):
        assert printed[key] == served[key]


def test_predict_takes_percent_one_model_and_the_center(picture: Path, tiny_config: Path) -> None:
    one = json.loads(
        run("predict", picture, 100, 0, "--unit", "percent", "--model", "themes", "--top", 1,
            "--json", "-c", tiny_config)
    )  # fmt: skip
    assert one["point"] == {"x": 63, "y": 0}
    assert [len(ranked) for ranked in one["predictions"].values()] == [1]
    assert "point (32, 24)" in run("predict", picture, "-c", tiny_config)


def test_predict_says_what_is_wrong(picture: Path, tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(BadPoint, match="x must be between 0 and 63, got 64"):
        run("predict", picture, 64, 0, "-c", tiny_config)
    with pytest.raises(StartupError, match="models must be among themes, colors; got 'shapes'"):
        run("predict", picture, "--model", "shapes", "-c", tiny_config)
    silent = tmp_path / "dsapi.conf"
    sections = tiny_config.read_text().replace("crop = ", "default = False\ncrop = ")
    silent.write_text(
        sections.replace('"models/', f'"{tiny_config.parent}/models/').replace(
            '"labels/', f'"{tiny_config.parent}/labels/'
        )
    )
    with pytest.raises(StartupError, match="models must name some of themes, colors"):
        run("predict", picture, "-c", silent)
    with pytest.raises(MissingImage, match="cannot read"):
        run("predict", tmp_path / "none.png", "-c", tiny_config)
    alone = CliRunner().invoke(app, ["predict", str(picture), "5"])
    assert alone.exit_code == 2
    assert "go together" in alone.output


def test_check_and_models_list_what_is_configured(tiny_config: Path) -> None:
    for told in (run("check", "-c", tiny_config), run("models", "-c", tiny_config)):
        assert "themes" in told
        assert "32×32" in told
        assert "9px" in told
    described = json.loads(run("models", "--json", "-c", tiny_config))
    assert [model["name"] for model in described["models"]] == ["themes", "colors"]


def test_check_refuses_what_serve_would_refuse(tiny_config: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "dsapi.conf"
    wrong.write_text(tiny_config.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(StartupError, match=r"\[models.themes\] cannot read the labels"):
        run("check", "-c", wrong)
    wrong.write_text("[global]\nport = 9000\n", encoding="utf-8")
    with pytest.raises(StartupError, match="no model is configured"):
        run("check", "-c", wrong)


def spoil_scores(folder: Path) -> None:
    freeze_constant(folder / "models/themes.pb", [4.0, -2.0, 0.5], side=32)


def expect_another_label(folder: Path) -> None:
    (folder / "golden.png").write_bytes(encode(halves()))
    (folder / "golden.json").write_text('[{"image": "golden.png", "label": "green"}]')
    config = folder / "dsapi.conf"
    golden = config.read_text().replace('crop = "80%"', 'crop = "80%"\ngolden = "golden.json"')
    config.write_text(golden)


@pytest.mark.parametrize(
    ("spoil", "told", "commands"),
    [
        (spoil_scores, "no probabilities", ("check", "predict", "evaluate")),
        (expect_another_label, "golden check, .*sample 1: golden.png must get 'green'", ("check",)),
    ],
)
def test_a_graph_that_serve_would_refuse_is_refused_by(
    spoil: Callable[[Path], None], told: str, commands: tuple[str, ...], tmp_path: Path
) -> None:
    config = write_tiny_config(tmp_path)
    spoil(tmp_path)
    (tmp_path / "photos/red").mkdir(parents=True)
    photo = tmp_path / "photos/red/1.png"
    photo.write_bytes(encode(halves()))
    arguments = {
        "check": [],
        "predict": [photo],
        "evaluate": ["themes", "--data", tmp_path / "photos"],
    }
    for command in commands:
        with pytest.raises(StartupError, match=told):
            run(command, *arguments[command], "-c", config)


def test_an_expected_error_is_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments, code in (
        (["check", "-c", str(tmp_path / "no.conf")], 2),
        (["predict", str(tmp_path / "no.png")], 1),
    ):
        monkeypatch.setattr("sys.argv", ["dsapi", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
        told = capsys.readouterr().err
        assert told.startswith("dsapi: cannot read")
        assert told.count("\n") == 1


def test_a_folder_that_has_been_removed_is_told_in_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    within = f"cd '{gone}' && rmdir '{gone}' && exec '{sys.executable}' -m dsapi settings"
    ended = subprocess.run(["sh", "-c", within], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    # The shell may tell of the folder, too.
    assert ended.stderr.endswith("dsapi: this folder has been removed; change to another\n")
    assert "Traceback" not in ended.stderr


def test_help_breaks_lines_where_they_are_full_not_where_the_source_does() -> None:
    assert "if anything is wrong with them, nothing changes" in run("restart", "--help")


def test_help_names_every_command_and_the_version_is_shown() -> None:
    told = run("--help")
    for command in ("serve", "start", "stop", "restart", "status", "check", "predict", "models"):
        assert command in told
        assert "Usage" in run(command, "--help")
    assert run("--version").startswith("dsapi 0.")
