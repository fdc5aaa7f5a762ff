"""The structure that the documentation promises, read from the code's own imports."""

import ast
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dsapi"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Who may not import whom: the way goes process → web → workers → prediction → engines.
FORBIDDEN = {
    "dsapi.engines": ["dsapi.prediction", "dsapi.workers", "dsapi.web", "dsapi.settings"],
    "dsapi.prediction": ["dsapi.workers", "dsapi.web", "dsapi.settings", "cherrypy", "cheroot"],
    "dsapi.workers": ["dsapi.web", "dsapi.server", "dsapi.settings", "cherrypy", "cheroot"],
    "dsapi.web": ["dsapi.server", "dsapi.daemon", "dsapi.cli", "PIL", "numpy", "tensorflow"],
    "dsapi.errors": ["dsapi."],
}
PROCESS_ONLY = ["dsapi.server", "dsapi.daemon", "dsapi.cli"]
HEAVY = {"tensorflow", "keras", "openvino"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> set[str]:
    """Name every module that is imported anywhere in a tree."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def begins(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix if prefix.endswith(".") else f"{prefix}.")


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_imports_point_one_way(file: Path) -> None:
    name = module_name(file)
    imported = imports(ast.parse(file.read_text(encoding="utf-8")))
    for layer, forbidden in FORBIDDEN.items():
        if begins(name, layer):
            wrong = {i for i in imported for f in forbidden if begins(i, f)}
            assert not wrong, f"{name} must not import {wrong}"


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_no_thread_is_made_before_it_is_started(file: Path) -> None:
    # What a service is built of is made before the daemon forks, and Python 3.13 does not start a
    # thread in the child that was made in its parent.
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            made = [ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)]
            assert not {"threading.Thread", "threading.Timer", "Thread", "Timer"} & set(made)


def test_only_engines_and_training_import_a_tensor_library() -> None:
    users = {
        module_name(file)
        for file in MODULES
        if {i.split(".")[0] for i in imports(ast.parse(file.read_text(encoding="utf-8")))} & HEAVY
    }
    assert users, "the check sees no user at all"
    assert {name.split(".")[1] for name in users} <= {"engines", "training"}


def test_importing_every_module_loads_no_tensor_library() -> None:
    names = [module_name(file) for file in MODULES if file.name != "__main__.py"]
    code = (
        f"import importlib, sys\n[importlib.import_module(name) for name in {names!r}]\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "[]", run.stderr


def test_every_package_is_in_the_distribution() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split()) - {"dsapi.share"}
    assert listed == {module_name(file) for file in MODULES if file.name == "__init__.py"}


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_modules_stay_small(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300
