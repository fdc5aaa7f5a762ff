"""``dsapi evaluate`` as one types it."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.errors import DsapiError
from tests.evaluation.conftest import save_plain
from tests.graphs import freeze_constant, write_labels


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index, label in enumerate(("red", "green", "blue")):
        save_plain(folder / f"{index:02}-{label}" / "a.png", label)
    return folder


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tables_name_places_labels_and_confusions(photos: Path, tiny_config: Path) -> None:
    shutil.move(photos / "00-red" / "a.png", photos / "01-green" / "b.png")
    output = run("evaluate", "colors", "--data", photos, "--config", tiny_config)
    for expected in ("center", "random", "top-5", "66.7%", "green → red", "worst recall first"):
        assert expected in output


def test_files_that_are_no_pictures_by_name_are_told_of(photos: Path, tiny_config: Path) -> None:
    command = ["evaluate", "colors", "--data", str(photos), "--config", str(tiny_config), "--json"]
    assert "skipped" not in CliRunner().invoke(app, command).stderr
    shutil.copy(photos / "00-red" / "a.png", photos / "00-red" / "b.picture")
    result = CliRunner().invoke(app, command)
    assert "1 file skipped (no picture suffix)" in result.stderr
    assert json.loads(result.stdout)["photos"] == 3


def test_one_split_of_a_table_is_asked_for(photos: Path, tiny_config: Path) -> None:
    rows = ["00-red/a.png,red,val", "01-green/a.png,green,test", "02-blue/a.png,blue,test"]
    (photos / "photos.csv").write_text("\n".join(["file,label,split", *rows]))
    command = ("evaluate", "colors", "--data", photos / "photos.csv", "--config", tiny_config)
    for split, count in (((), 3), (("--split", "test"), 2)):
        assert json.loads(run(*command, "--json", *split))["photos"] == count


def test_json_has_every_figure(photos: Path, tiny_config: Path) -> None:
    output = run("evaluate", "themes", "--data", photos, "--config", tiny_config, "--json")
    summary = json.loads(output)
    assert summary["model"] == "themes"
    assert [each["top1"] for each in summary["figures"]] == [1.0, 1.0]
    assert summary["figures"][0]["labels"][0] == {
        "label": "red",
        "count": 1,
        "precision": 1.0,
        "recall": 1.0,
        "average_precision": 1.0,
    }
    assert summary["comparisons"] == []


def test_a_graph_against_itself_differs_by_nothing(
    photos: Path, tiny_config: Path, tmp_path: Path
) -> None:
    other = shutil.copy(tiny_config.parent / "models/themes.pb", tmp_path / "other.pb")
    output = run(
        *("evaluate", "themes", "--data", photos, "--config", tiny_config, "--json"),
        *("--against", other, "--report", tmp_path / "report", "--points", "0"),
    )
    (comparison,) = json.loads(output)["comparisons"]
    assert (comparison["difference"], comparison["p_value"]) == (0.0, 1.0)
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_new_graph_is_compared_with_one_whose_hash_is_configured(
    photos: Path, tiny_config: Path, tmp_path: Path
) -> None:
    folder = tiny_config.parent
    digest = hashlib.sha256((folder / "models/themes.pb").read_bytes()).hexdigest()
    config = tmp_path / "dsapi.conf"
    config.write_text(
        f'[models.themes]\ngraph = "{folder}/models/themes.pb"\ncrop = "80%"\n'
        f'labels = "{folder}/labels/three.txt"\nsha256 = "{digest}"\n'
    )
    other = freeze_constant(tmp_path / "other.pb", [0.8, 0.1, 0.1], side=32)
    command = ("evaluate", "themes", "--data", photos, "--config", config, "--points", "0")
    summary = json.loads(run(*command, "--against", other, "--json"))
    (comparison,) = summary["comparisons"]
    assert (comparison["accuracy"], comparison["other_accuracy"]) == (1.0, pytest.approx(1 / 3))


def test_a_model_is_compared_with_another_that_is_configured(
    photos: Path, tiny_config: Path
) -> None:
    command = ("evaluate", "themes", "--data", photos, "--config", tiny_config, "--against")
    summary = json.loads(run(*command, "colors", "--json"))
    assert (summary["model"], summary["against_model"]) == ("themes", "colors")
    assert "Against colors" in run(*command, "colors")


def test_models_of_other_labels_are_not_compared(
    photos: Path, tiny_config: Path, tmp_path: Path
) -> None:
    write_labels(tmp_path / "turned.txt", ("blue", "green", "red"))
    models = tiny_config.parent / "models"
    config = tmp_path / "dsapi.conf"
    config.write_text(
        f'[models.themes]\ngraph = "{models}/themes.pb"\ncrop = "80%"\n'
        f'labels = "{tiny_config.parent}/labels/three.txt"\n'
        f'[models.other]\ngraph = "{models}/colors.pb"\ncrop = "9px"\nlabels = "turned.txt"\n'
    )
    command = ("evaluate", "themes", "--data", photos, "--config", config, "--against")
    with pytest.raises(DsapiError, match=r"--against other: its labels .*turned\.txt.* are others"):
        run(*command, "other")
    with pytest.raises(DsapiError, match=r"no model of this name \(themes, other\)"):
        run(*command, "colors")


def test_tables_fit_a_plain_terminal(photos: Path, tiny_config: Path, tmp_path: Path) -> None:
    other = shutil.copy(tiny_config.parent / "models/themes.pb", tmp_path / "other.pb")
    output = run(
        "evaluate", "themes", "--data", photos, "--config", tiny_config, "--against", other
    )  # fmt: skip
    assert "…" not in output
    assert max(map(len, output.splitlines())) <= 80
    assert "to +0.0" not in output  # no interval: no photo differs
    assert "0 : 0" in output


def test_an_unknown_model_is_told_the_known_ones(photos: Path, tiny_config: Path) -> None:
    with pytest.raises(DsapiError, match="themes, colors"):
        run("evaluate", "shapes", "--data", photos, "--config", tiny_config)


def test_photos_of_which_none_can_be_read_are_an_error(tmp_path: Path, tiny_config: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "a.png").write_bytes(b"nothing")
    with pytest.raises(DsapiError, match=r"none of the 1 photos .* the first, .*/red/a\.png: "):
        run("evaluate", "themes", "--data", tmp_path, "--config", tiny_config)


def test_a_photo_that_cannot_be_asked_about_is_listed_and_counts_nowhere(
    photos: Path, tiny_config: Path, tmp_path: Path
) -> None:
    (photos / "00-red" / "b.png").write_bytes(b"nothing")
    table = photos / "photos.csv"
    table.write_text("file,label,x,y\n00-red/a.png,red,1,1\n02-blue/a.png,blue,900,1\n")
    gone = photos / "gone.csv"
    gone.write_text("file,label\n00-red/a.png,red\n00-red/gone.png,red\n")
    for data, asked, name, reason in (
        (photos, 4, "00-red/b.png", "the bytes are no picture"),
        (table, 2, "02-blue/a.png", "x must be"),
        (gone, 2, "00-red/gone.png", "No such file or directory"),
    ):
        command = ("evaluate", "colors", "--data", data, "--config", tiny_config)
        output = run(*command, "--report", tmp_path / "report")
        assert f", {asked} photos, 1 of them unreadable\n" in output
        assert "These count nowhere:" in output
        assert f"/{name}: {reason}" in output
        page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
        assert f"<p>{asked} photos, 1 of them unreadable;" in page
        assert f"<li>{name}: {reason}" in page
        summary = json.loads(run(*command, "--json"))
        assert (summary["photos"], summary["unreadable_photos"]) == (asked, 1)


def test_of_many_photos_that_cannot_be_read_the_first_ten_are_listed(
    photos: Path, tiny_config: Path
) -> None:
    for number in range(12):
        (photos / "00-red" / f"broken{number}.png").write_bytes(b"nothing")
    output = run("evaluate", "colors", "--data", photos, "--config", tiny_config)
    assert ", 15 photos, 12 of them unreadable\n" in output
    assert output.count("broken") == 10
    assert "… and 2 more; --json lists all" in output


def test_a_report_that_cannot_be_written_is_said_before_the_work(
    photos: Path, tiny_config: Path, tmp_path: Path
) -> None:
    (tmp_path / "report").write_text("a file, not a folder")
    command = ("evaluate", "colors", "--data", photos, "--config", tiny_config, "--report")
    with pytest.raises(DsapiError, match=r"--against .*none\.pb: there is no such file, and"):
        run(*command, tmp_path / "other", "--against", tmp_path / "none.pb")
    with pytest.raises(DsapiError, match=r"--report .*report: cannot write there \(File exists\)"):
        run(*command, tmp_path / "report")


def test_a_photo_without_a_label_among_others_with_one_is_told(
    tmp_path: Path, tiny_config: Path
) -> None:
    for name in ("a", "b"):
        save_plain(tmp_path / f"{name}.png", "red")
    (tmp_path / "photos.csv").write_text("file,label\na.png,red\nb.png,\n")
    arguments = ["evaluate", "colors", "--data", str(tmp_path / "photos.csv")]
    result = CliRunner().invoke(app, [*arguments, "--config", str(tiny_config)])
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'b.png'} has no label: all photos are measured as multi-label" in (
        result.stderr
    )
