"""The wheel: installed into an environment of its own, it works from any folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from what git would hand to somebody who clones."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    source = folder / "source"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source],
        capture_output=True, check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone; its dependencies are taken from this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    Path(found, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_brings_configuration_models_labels_and_page(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "dsapi.conf", "models/themeClassifier.pb", "models/colorClassifier.pb",
        "labels/themes.txt", "labels/colors.txt", "static/page.html", "static/page.css",
    ):  # fmt: skip
        assert f"dsapi/share/{needed}" in names


def test_the_installed_command_checks_the_shipped_models_from_any_folder(
    installed: Path, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DSAPI_", "PYTHON"))}
    run = subprocess.run(
        [installed / "bin/dsapi", "check"],
        cwd=tmp_path, env={**environment, "COLUMNS": "300"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert str(installed) in run.stdout
    assert "themeClassifier.pb" in run.stdout


def test_an_installed_daemon_writes_into_the_users_state_folder(
    installed: Path, tmp_path: Path
) -> None:
    run = subprocess.run(
        [installed / "bin/python", "-c",
         "from dsapi.settings import load_settings as load; s = load(); print(s.log_dir)"],
        cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == str(tmp_path / "dsapi/log")
