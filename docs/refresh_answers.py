"""Run the README's examples against a server and put its answers below them.

Usage: dsapi serve --image-root static/samples, then: python docs/refresh_answers.py
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(r"```sh\n([^`]*curl[^`]*)\n```\n\n```json\n.*?\n```", re.S)
WIDTH = 92


def write_json(value: Any, depth: int = 0) -> str:
    """Write what fits into one line, and an item a line of what does not."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + 2 * depth <= WIDTH or not isinstance(value, dict | list):
        return flat
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {write_json(v, depth + 1)}" for k, v in value.items()]
    else:
        items = [write_json(item, depth + 1) for item in value]
    lines = ",\n".join(f"{'  ' * (depth + 1)}{item}" for item in items)
    return f"{flat[0]}\n{lines}\n{'  ' * depth}{flat[-1]}"


def run(match: re.Match[str]) -> str:
    """Run one example and write it anew."""
    command = match[1]
    answer = subprocess.run(
        ["bash", "-c", command], cwd=README.parent, capture_output=True, text=True, check=True
    ).stdout
    return f"```sh\n{command}\n```\n\n```json\n{write_json(json.loads(answer))}\n```"


if __name__ == "__main__":
    README.write_text(EXAMPLE.sub(run, README.read_text(encoding="utf-8")), encoding="utf-8")
