"""``dsapi settings``, ``check`` and ``key``: all is shown, and what is of no use is told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.errors import StartupError
from tests.conftest import write_tiny_config


def run(*arguments: object, columns: int = 80) -> str:
    """Run a command that must succeed; return what it printed."""
    given = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, given, env={"COLUMNS": str(columns)})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def column(told: str, name: str) -> str:
    """Put the pieces of a folded value together again."""
    lines = told.splitlines()
    start, end = lines[0].index("value"), lines[0].index("meaning")
    first = next(number for number, line in enumerate(lines) if line.startswith(f" {name} "))
    pieces = [lines[first][start:end].strip()]
    for line in lines[first + 1 :]:
        if line[:start].strip():
            break
        pieces.append(line[start:end].strip())
    return "".join(pieces)


def test_no_setting_is_cut(tmp_path: Path) -> None:
    config = write_tiny_config(tmp_path)
    key = f"app={'0123456789abcdef' * 4}"
    config.write_text(config.read_text().replace("[global]", f'[global]\napi_keys = ["{key}"]'))
    told = run("settings", "-c", config)
    assert column(told, "api_keys") == key
    assert column(told, "pid_file") == str(tmp_path / "run/dsapi.pid")
    assert "…" not in told.split("[models.")[0]


def test_the_password_of_a_store_is_not_shown(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSAPI_RATE_LIMIT_STORAGE", "redis://:of-redis@127.0.0.1:6379")
    told = run("settings", "-c", tiny_config, columns=200)
    assert column(told, "rate_limit_storage") == "redis://:***@127.0.0.1:6379"
    monkeypatch.setenv("DSAPI_RATE_LIMIT_STORAGE", "redsi://user:of-redis@127.0.0.1")
    with pytest.raises(StartupError, match="write memory:// or redis://") as caught:
        run("settings", "-c", tiny_config)
    assert "of-redis" not in str(caught.value)


@pytest.mark.parametrize("value", ['["app=not-hashed"]', "not-hashed", '"app=not-hashed"'])
def test_a_key_that_is_not_hashed_is_not_shown(tmp_path: Path, value: str) -> None:
    config = write_tiny_config(tmp_path)
    config.write_text(config.read_text().replace("[global]", f"[global]\napi_keys = {value}"))
    with pytest.raises(StartupError, match=r"api_keys = \*\*\*: ") as caught:
        run("settings", "-c", config)
    assert "not-hashed" not in str(caught.value)


def test_the_settings_of_models_are_shown(tiny_config: Path) -> None:
    _, *models = run("settings", "-c", tiny_config, columns=200).split("\n[models.")
    assert [model.partition("]")[0] for model in models] == ["themes", "colors"]
    told = models[1].partition("\n")[2]
    assert column(told, "crop") == "9px"
    assert column(told, "graph") == str(tiny_config.parent / "models/colors.pb")


def test_check_shows_paths_whole_on_a_narrow_terminal(tiny_config: Path) -> None:
    told = run("check", "-c", tiny_config)
    assert f"themes is {tiny_config.parent / 'models/themes.pb'}\n" in told
    assert max(len(line) for line in told.splitlines() if " is " not in line) <= 80


@pytest.mark.parametrize("root", ["missing", "dsapi.conf"])
def test_check_tells_of_image_roots_that_are_no_folders(tmp_path: Path, root: str) -> None:
    config = write_tiny_config(tmp_path)
    config.write_text(config.read_text().replace('["pictures"]', f'["pictures", "{root}"]'))
    told = run("check", "-c", config)
    assert f"warning: image_roots: {tmp_path / root} is no folder" in told
    assert str(tmp_path / "pictures") not in told


@pytest.mark.parametrize("name", ["a b", "a=b", "", 'ä"', "x" * 41])
def test_a_key_gets_no_name_that_the_settings_refuse(name: str) -> None:
    with pytest.raises(StartupError, match=r"cannot name a key: 1 to 40 ASCII letters"):
        run("key", name)
    assert '"my.app-1=' in run("key", "my.app-1")
