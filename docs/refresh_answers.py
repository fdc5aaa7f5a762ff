"""Run the README's examples against a server and put its answers below them.

Usage: dsapi serve --image-root static/samples, then: python docs/refresh_answers.py
"""

import json
import re
import subprocess
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(r"```sh\n([^`]*curl[^`]*)\n```\n\n```json\n.*?\n```", re.S)


def run(match: re.Match[str]) -> str:
    """Run one example and write it anew."""
    command = match[1]
    answer = subprocess.run(
        ["bash", "-c", command], cwd=README.parent, capture_output=True, text=True, check=True
    ).stdout
    fields = ",\n".join(
        f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in json.loads(answer).items()
    )
    return f"```sh\n{command}\n```\n\n```json\n{{{fields[1:]}\n}}\n```"


if __name__ == "__main__":
    README.write_text(EXAMPLE.sub(run, README.read_text(encoding="utf-8")), encoding="utf-8")
