"""What a user without the rights of root is told: root may read, write and end everything."""

import codecs
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from dsapi.errors import StartupError

Asked = TypeVar("Asked")
_NOBODY = 65534


def ask_as_another_user(question: Callable[[Asked], object], about: Asked) -> str:
    """Ask in a process of its own; the answer, or why there is none."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_ask, question, about).result()


def _ask(question: Callable[[Asked], object], about: Asked) -> str:
    # Found when first used, in a folder that only root may enter where Python is installed there.
    codecs.lookup("ascii")
    if os.geteuid() == 0:
        os.setuid(_NOBODY)
    try:
        return str(question(about))
    except StartupError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
