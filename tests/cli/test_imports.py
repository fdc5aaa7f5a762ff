"""What the command imports before it knows what to do: every start waits for it."""

import subprocess
import sys

_SPARED = ("rich", "jinja2", "matplotlib", "scipy", "tensorflow", "openvino", "dsapi.evaluation")


def test_serving_imports_nothing_that_only_other_commands_need() -> None:
    code = (
        "import sys\nimport dsapi.cli, dsapi.process.server\n"
        f"print([name for name in {_SPARED!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stderr
