"""``dsapi key``: a new API key."""

import secrets
from typing import Annotated

import typer

from dsapi.errors import StartupError
from dsapi.settings.values import check_key_name
from dsapi.web.access import hash_key

_KEY_BYTES = 32


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(key)


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
) -> None:
    """Make an API key: the key for the caller, and its hash for api_keys in dsapi.conf.

    The key is shown this once and stored nowhere.
    """
    try:
        check_key_name(name)
    except ValueError as error:
        raise StartupError(str(error)) from error
    made = secrets.token_urlsafe(_KEY_BYTES)
    typer.echo(f"key, for the caller:      {made}")
    typer.echo(f'hash, for dsapi.conf:     "{name}={hash_key(made)}"')
