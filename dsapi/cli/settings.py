"""``dsapi settings``: what is in force, and the documentation of every setting."""

import os
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dsapi.cli.options import Config
from dsapi.prediction.spec import ModelSpec
from dsapi.settings import Settings, load_settings
from dsapi.settings.values import hide_passwords

_INTRODUCTION = """\
# Configuration

`dsapi.conf` is in CherryPy's format: sections of `name = value`, where a value is a Python literal
(text is quoted). `dsapi.conf` beside the checkout, or the one that is shipped inside the installed
package, is read unless `--config` or `DSAPI_CONFIG` names another. Later sources win: the file,
then environment variables, then flags of the command. An unknown name or a value out of its range
stops the start and is named; `dsapi check` finds it without starting. Relative paths, also
those in flags and the environment, are relative to the file, whatever the current folder; with that
of an installed package, `log_dir` and `pid_file` are in `~/.local/state/dsapi`.

`dsapi settings` shows what is in force. This page is what `dsapi settings --markdown` prints.

## [global]

Each is also an environment variable, `DSAPI_` and its name in capitals (`DSAPI_PORT=9001`); folders
are separated by `:`, other lists by `,`. A misspelt one stops the start as well.
"""
_MODELS = """
## [models.NAME]

One section a model; see [adding a model](models.md). In the environment:
`DSAPI_MODELS__THEMES__GRAPH=/srv/themes.pb`.
"""


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(settings)


def settings(
    config: Config = None,
    markdown: bool = typer.Option(
        False, "--markdown", help="Print the documentation of all settings."
    ),
) -> None:
    """Show every setting with the value that is in force, and those of every model."""
    if markdown:
        typer.echo(describe_settings(), nl=False)
        return
    loaded = load_settings(config)
    _print_values(loaded)
    for name, spec in loaded.models.items():
        typer.echo(f"\n[models.{name}]")
        _print_values(spec)


def _print_values(values: Settings | ModelSpec) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    table.add_column("setting", no_wrap=True)
    # Folded where there is no room, never cut: a hash or a path is of use as a whole.
    table.add_column("value", overflow="fold", ratio=1)
    table.add_column("meaning", overflow="fold", ratio=1)
    for name, field in _fields(type(values)):
        table.add_row(name, hide_passwords(_value(getattr(values, name))), field.description)
    Console(markup=False).print(table)


def describe_settings() -> str:
    """Write ``docs/configuration.md``, from the definitions that validate."""
    lines = [_INTRODUCTION, *_rows(Settings), _MODELS, *_rows(ModelSpec)]
    return "\n".join(lines) + "\n"


def _rows(kind: type[BaseModel]) -> list[str]:
    return [
        "| setting | default | meaning |",
        "|---|---|---|",
        *(describe_setting(name, field) for name, field in _fields(kind)),
    ]


def describe_setting(name: str, field: FieldInfo) -> str:
    """Write one row of the documentation."""
    default = "required" if field.is_required() else _value(field.default)
    return f"| `{name}` | {default} | {field.description} |"


def _fields(kind: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [(name, field) for name, field in kind.model_fields.items() if name != "models"]


def _value(value: Any) -> str:
    if value in (None, (), ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return (os.pathsep if isinstance(value[0], Path) else ",").join(map(str, value))
    return str(value)
