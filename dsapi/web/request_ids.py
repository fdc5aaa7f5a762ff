"""Request ids: the caller's own if it is sane, else a new one."""

import re

import uuid_utils

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def choose_request_id(asked: str) -> str:
    """Take the id that a caller sent, or make one (UUID 7: they sort by time)."""
    return asked if _SANE.fullmatch(asked) else str(uuid_utils.uuid7())
