"""Problems with settings: where each stands, what came, and what is permitted.

Called by `dsapi.settings`.
"""

import difflib
import os
import re
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dsapi.errors import StartupError
from dsapi.settings.config_file import NoLiteral
from dsapi.settings.values import hide_passwords

# A variable that resembles a setting this much is meant as one: PROT is PORT, and API_KEY is
# API_KEYS. Others with the prefix are somebody else's, such as those of a container's links.
_RESEMBLANCE = 0.75
_SECRET = frozenset({"api_keys", "admin_keys"})
# For keys of the file, which are all ours; a looser match would mislead.
_LIKENESS = 0.6
# As Python writes them; in JSON, YAML and TOML they begin with a small letter.
_CONSTANTS = frozenset({"True", "False", "None"})
# How people write a scale, which is no literal.
_QUOTIENT = re.compile(r"\s*(-?[\d.]+)\s*/\s*([\d.]+)\s*")


def check_variables(known: Collection[str], *, prefix: str) -> None:
    """See that no environment variable is a misspelt setting, which would be passed over.

    Raises:
        StartupError: one is.
    """
    for variable in os.environ:
        name = variable.removeprefix(prefix).lower()
        if not variable.startswith(prefix) or name in known:
            continue
        if nearest := difflib.get_close_matches(name, known, n=1, cutoff=_RESEMBLANCE):
            raise StartupError(
                f"the environment variable {variable} is no setting; "
                f"did you mean {prefix}{nearest[0].upper()}?"
            )


def explain_problems(
    error: ValidationError,
    *,
    config: Path,
    flags: Collection[str],
    prefix: str,
    known: Collection[str],
    known_of_models: Collection[str],
) -> list[str]:
    """Say for every problem where it is, what came and what is permitted.

    Args:
        error: all that is wrong.
        config: the file.
        flags: names of the settings that came as flags of the command.
        prefix: what names of environment variables begin with.
        known: names of all settings.
        known_of_models: names of all settings of a model.
    """
    lines = []
    for problem in error.errors():
        # Without places in a list: whoever reads it looks for the setting.
        path = [part for part in problem["loc"] if isinstance(part, str)]
        missing = path[-1] if problem["type"] == "missing" else ""
        source, where = str(config), _name_in_file(path)
        if path[0] in flags:
            source = "the command's flags"
        elif variable := _find_variable(prefix + "__".join(path), missing):
            source, where = "the environment", variable
        names = known_of_models if _is_of_model(path) else known
        lines.append(f"{source}: {_explain(problem, path, where=where, names=names)}")
    return [hide_passwords(line) for line in lines]


def _is_of_model(path: list[str]) -> bool:
    """Tell whether a path leads to a model's section, or into it."""
    return path[0] == "models" and len(path) > 1


def _name_in_file(path: list[str]) -> str:
    *parents, key = path
    return f"[{'.'.join(parents[:2])}] {key}" if _is_of_model(path) else key


def _explain(problem: ErrorDetails, path: list[str], *, where: str, names: Collection[str]) -> str:
    """Say what is wrong with one setting, and what is permitted."""
    key, given = path[-1], problem["input"]
    # A key that is not hashed is one of these problems.
    shown = "***" if path[0] in _SECRET else repr(given)
    if problem["type"] == "extra_forbidden":
        return f"{where} is no setting; {_suggest(key, names)}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    if isinstance(given, NoLiteral):
        advice = _explain_literal(key, given.text)
        return f"{where} = {shown}: is no Python literal; {advice}"
    message = problem["msg"].removeprefix("Value error, ")
    # Of a whole section the message names the settings; its values need no repetition.
    if _is_of_model(path) and len(path) == 2 and isinstance(given, dict):
        return f"[{'.'.join(path)}] {message}"
    return f"{where} = {shown}: {message}"


def _find_variable(name: str, missing: str) -> str | None:
    """Find the environment variable that a setting came from, which counts in any case.

    Of a model's setting that is `missing` its own, if one beside it is there: by a slip of the
    model's name perhaps. ``None``: it came from elsewhere.
    """
    variables = {variable.upper(): variable for variable in os.environ}
    name = name.upper()
    beside = name.removesuffix(missing.upper())
    if missing and any(variable.startswith(beside) for variable in variables):
        return name
    return variables.get(name)


def _suggest(key: str, names: Collection[str]) -> str:
    """Name the setting that was meant, or all, where none is like it."""
    if nearest := difflib.get_close_matches(key, names, n=1, cutoff=_LIKENESS):
        return f"did you mean {nearest[0]}?"
    return f"the settings are {', '.join(sorted(names))}"


def _explain_literal(key: str, text: str) -> str:
    if text.capitalize() in _CONSTANTS:
        return f"write {key} = {text.capitalize()}"
    match = _QUOTIENT.fullmatch(text)
    try:
        value = float(match[1]) / float(match[2]) if match else None
    except (ValueError, ZeroDivisionError):
        value = None
    if value is not None:
        return f"write the number: {key} = {value:.9g}"
    return f'text is quoted, such as {key} = "…"'
