"""The structure that the documentation promises, read from the code's own imports."""

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dsapi"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "static").glob("*.js"))
# Every module is in one of these layers …
LAYERS = {
    "base": ["dsapi.cores", "dsapi.errors", "dsapi.memory"],
    "engines": ["dsapi.engines"],
    "prediction": ["dsapi.prediction"],
    "workers": ["dsapi.workers"],
    "settings": ["dsapi.settings"],
    "operation": ["dsapi.operation"],
    "web": ["dsapi.web"],
    "process": ["dsapi.process"],
    "photos": ["dsapi.photos"],
    "evaluation": ["dsapi.evaluation"],
    "training": ["dsapi.training"],
    "client": ["dsapi.client"],
    "command": ["dsapi.__main__", "dsapi.cli"],
}
# … and imports that and these: the way goes process → web → workers → prediction → engines.
MAY_IMPORT = {
    "base": "",
    "engines": "base",
    "prediction": "base engines",
    "workers": "base prediction",
    "settings": "base engines prediction",
    "operation": "base prediction workers settings",
    "web": "base prediction workers settings operation",
    "process": "base prediction workers settings operation web",
    "photos": "base prediction",
    "evaluation": "base prediction photos",
    "training": "base engines prediction photos evaluation",
    "client": "",
    "command": " ".join(LAYERS),
}
# Each library has its place: HTTP above the core, pixels and tensors below the web.
FORBIDDEN_LIBRARIES = {
    "base": {"cherrypy", "cheroot"},
    "engines": {"cherrypy", "cheroot"},
    "prediction": {"cherrypy", "cheroot"},
    "workers": {"cherrypy", "cheroot"},
    "photos": {"cherrypy", "cheroot"},
    "evaluation": {"cherrypy", "cheroot"},
    "training": {"cherrypy", "cheroot"},
    "web": {"PIL", "numpy", "pillow_heif", "simplejpeg"},
}
HEAVY = {"tensorflow", "keras", "openvino"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> set[str]:
    """Name every module that is imported anywhere in a tree, and what is taken from each.

    That may be a module itself: ``from dsapi.process import server``.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import is not understood here"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def find_layer(name: str) -> str | None:
    """Find a module's layer; none for the package itself, its version and other libraries."""
    owners = [
        layer
        for layer, modules in LAYERS.items()
        if any(name == module or name.startswith(f"{module}.") for module in modules)
    ]
    assert len(owners) <= 1, f"{name} is in more than one layer: {owners}"
    return owners[0] if owners else None


def find_wrong_imports(name: str, source: str) -> set[str]:
    """Name what a module imports and must not."""
    layer = find_layer(name)
    imported = imports(ast.parse(source))
    if layer is None:
        return {each for each in imported if each.split(".")[0] == "dsapi"}
    permitted = {None, layer, *MAY_IMPORT[layer].split()}
    forbidden = FORBIDDEN_LIBRARIES.get(layer, set())
    return {
        each
        for each in imported
        if find_layer(each) not in permitted or each.split(".")[0] in forbidden
    }


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_imports_point_one_way(file: Path) -> None:
    name = module_name(file)
    assert name == "dsapi" or find_layer(name), f"{name} is in no layer: add it to one above"
    wrong = find_wrong_imports(name, file.read_text(encoding="utf-8"))
    assert not wrong, f"{name} must not import {sorted(wrong)}"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("dsapi", "from dsapi.settings import Settings"),
        ("dsapi.errors", "import dsapi.memory, dsapi.operation.logs"),
        ("dsapi.engines.tensorflow", "from dsapi.prediction import model"),
        ("dsapi.engines.batching", "import dsapi.operation.metrics"),
        ("dsapi.prediction.golden", "from dsapi.workers import worker"),
        ("dsapi.prediction.picture", "def read():\n    import cherrypy.lib"),
        ("dsapi.workers.worker", "from dsapi.operation.reload import Reloader"),
        ("dsapi.workers.queues", "from dsapi.settings import Settings"),
        ("dsapi.settings", "from dsapi.operation.downloads import fetch_graphs"),
        ("dsapi.operation.metrics", "from dsapi.web.journal import Journal"),
        ("dsapi.web.page", "from dsapi.process.server import serve"),
        ("dsapi.web.page", "import numpy as np"),
        ("dsapi.process.server", "from dsapi.cli import app"),
        ("dsapi.evaluation.report", "from dsapi.training.calibration import softmax"),
        ("dsapi.client.client", "from dsapi.errors import DsapiError"),
    ],
)
def test_an_import_that_points_the_other_way_is_seen(name: str, source: str) -> None:
    assert find_wrong_imports(name, source)


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


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_the_pages_scripts_import_one_another_one_way(file: Path) -> None:
    def find_all(name: str, *above: str) -> None:
        assert name not in above, f"{name} imports itself: {' → '.join([*above, name])}"
        source = (file.parent / name).read_text(encoding="utf-8")
        for imported in re.findall(r'from "\./(.+)";', source):
            find_all(imported, *above, name)

    find_all(file.name)


@pytest.mark.parametrize("file", [*MODULES, *SCRIPTS], ids=lambda file: str(file.relative_to(ROOT)))
def test_modules_stay_small(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300
