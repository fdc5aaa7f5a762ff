"""Values that have a form of their own: split, checked, and refused with the form they must have.

Called by `dsapi.settings` for what the file, the environment and the flags say, and by commands
that are given the name of a key or a model.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

# Of a model or a key.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
_NAMED = "1 to 40 ASCII letters, digits and ._-"
_HASH = re.compile(r"[0-9a-f]{64}")
# What `timing_ms` tells beside the models' times.
_STEPS = frozenset({"queue", "decode", "total"})
# In a URL, behind a user's name or none.
_PASSWORD = re.compile(r"(://[^\s/@:]*:)[^\s/@]+@")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-fA-F:.]+\]|[^\s/:,]+)(:\d{1,5})?")


def split_folders(value: Any) -> Any:
    """Take ``a:b`` from the environment, a string or a list from the file."""
    return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value


def split_words(value: Any) -> Any:
    """Take ``a,b`` from the environment (colons are part of addresses), or a list."""
    if isinstance(value, str):
        return tuple(filter(None, (word.strip() for word in value.split(","))))
    return value


def check_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Check that keys are hashed and their names differ.

    Raises:
        ValueError: they are not; no key is repeated in the message.
    """
    for number, key in enumerate(keys, start=1):
        name, _, digest = key.partition("=")
        if not (_NAME.fullmatch(name) and _HASH.fullmatch(digest)):
            raise ValueError(f"key {number} is not NAME=HASH; make it with: dsapi key NAME")
    names = [key.partition("=")[0] for key in keys]
    if len(set(names)) < len(names):
        raise ValueError("two keys have the same name; give each its own, to take one back later")
    return keys


def check_key_name(name: str) -> str:
    """Check that a key can have this name in `api_keys` and `admin_keys`.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a key: {_NAMED} can")
    return name


def check_model_names(models: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that models can be asked for by name, and told apart from the steps of an answer.

    Raises:
        ValueError: one has another name.
    """
    for name in models:
        if not _NAME.fullmatch(name) or name in _STEPS:
            raise ValueError(
                f"{name!r} cannot name a model: {_NAMED} can, but not {', '.join(sorted(_STEPS))}"
            )
    return models


def check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    """Check that networks are addresses, alone or with the length of a prefix.

    Raises:
        ValueError: one is not.
    """
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(f"{error}; write 10.0.0.0/8, or one address") from error
    return networks


def check_rate_limit(rate_limit: str) -> str:
    """Check a rate in the notation of the package limits.

    Raises:
        ValueError: it is none.
    """
    if rate_limit:
        from limits import parse_many

        try:
            parse_many(rate_limit)
        except ValueError as error:
            raise ValueError("must be like 20/second or 20/second; 1000/hour") from error
    return rate_limit


def check_rate_limit_storage(storage: str) -> str:
    """Check the place where rates are counted, in the notation of the package limits.

    Raises:
        ValueError: there is none of this kind, or it needs another package.
    """
    if storage != "memory://":  # the import takes 0.2 s
        from limits.errors import ConfigurationError
        from limits.storage import storage_from_string

        try:
            storage_from_string(storage)
        except (ConfigurationError, ValueError) as error:
            if storage.startswith("redis") and find_spec("redis") is None:
                raise ValueError("needs the extra redis: pip install -e '.[redis]'") from error
            raise ValueError(f"{error}; write memory:// or redis://HOST:PORT") from error
    return storage


def hide_passwords(text: str) -> str:
    """Leave out the passwords of URLs: what is shown ends up in logs and reports."""
    return _PASSWORD.sub(r"\1***@", text)


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Check that origins are what browsers send: scheme, host and perhaps a port.

    Raises:
        ValueError: one is not.
    """
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin; write https://example.org, or * for all")
    return origins
