"""The configuration file in; its keys and their Python values out. Called by `dsapi.settings`."""

import ast
import configparser
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsapi.errors import StartupError


@dataclass(frozen=True)
class NoLiteral:
    """The text of a value that is no Python literal: no setting takes it, so it is reported."""

    text: str

    def __repr__(self) -> str:
        return self.text


def default_config() -> Path:
    """Find the ``dsapi.conf`` that comes with the checkout or the installed package."""
    package = Path(__file__).resolve().parents[1]
    beside = package.parent / "dsapi.conf"
    return beside if beside.is_file() else package / "share" / "dsapi.conf"


def find_config() -> Path:
    """Find the file that is read where none is named: ``$DSAPI_CONFIG``, else the shipped one."""
    return Path(os.environ.get("DSAPI_CONFIG") or default_config())


def read_config(path: Path) -> dict[str, Any]:
    """Read the file into one mapping: the keys of ``[global]``, and ``models``.

    Raises:
        StartupError: it cannot be read, is malformed, or has other sections than these.
    """
    # Its import asks for the current folder, which the command has to find missing by itself.
    from cherrypy.lib.reprconf import Parser

    try:
        parser = Parser()
        parser.read(str(path))
        sections = {
            # Raw: a '%' is a percent sign here, not an interpolation.
            section: {key: _evaluate(text) for key, text in parser.items(section, raw=True)}
            for section in parser.sections()
        }
    except OSError as error:
        raise StartupError(
            f"cannot read the configuration {path}: {error.strerror}; name another with --config"
        ) from error
    except (configparser.Error, UnicodeError) as error:
        told = " ".join(str(error).split())
        raise StartupError(f"the configuration {path} is malformed: {told}") from error
    values = sections.pop("global", {})
    if "models" in values:
        raise StartupError(
            f"{path}: models is no setting of [global]; each model has a section [models.NAME]"
        )
    values["models"] = {}
    for section, keys in sections.items():
        kind, _, name = section.partition(".")
        if kind != "models" or not name:
            raise StartupError(
                f"{path}: unknown section [{section}]; there are [global] and [models.NAME]"
            )
        values["models"][name] = keys
    return values


def find_state_dir(config: Path) -> Path:
    """Find the folder that a relative log_dir and pid_file are relative to.

    It is that of the configuration, but nothing is written into an installed package: with its
    configuration it is the user's state folder (XDG Base Directory Specification).
    """
    if config.parent != Path(__file__).resolve().parents[1] / "share":
        return config.parent
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "dsapi"


def _evaluate(text: str) -> Any:
    """Read a value as a Python literal; an empty one is empty text.

    CherryPy's own reading of it also imports what a bare name calls, and calls functions.
    """
    try:
        return ast.literal_eval(text) if text else text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return NoLiteral(text)
