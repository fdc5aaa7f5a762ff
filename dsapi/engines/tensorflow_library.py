"""The TensorFlow library: imported when the first graph is loaded, quietly, and without Keras.

Called by `dsapi.engines.tensorflow`.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryFile
from typing import Any

_LOGGER = logging.getLogger(__name__)


@cache
def import_tensorflow() -> Any:
    """Import TensorFlow quietly (once)."""
    # Its errors come as exceptions; what it writes besides is about GPUs that are not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _native_stderr_to_log(), _without_keras():
        import tensorflow

    return tensorflow


@contextmanager
def _without_keras() -> Iterator[None]:
    """Make the import of Keras fail for a while.

    TensorFlow loads all of it at its end, optionally. Frozen graphs do not need it, and without it
    the import takes half as long and 100 MB less. Whoever wants Keras imports it afterwards.
    """
    blocked = "keras" not in sys.modules
    if blocked:
        sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if blocked:
            del sys.modules["keras"]


@contextmanager
def _native_stderr_to_log() -> Iterator[None]:
    """Log what C++ code writes to standard error, for debugging only.

    TensorFlow 2.21 writes half a dozen lines while it is imported, before it looks at any setting.
    In another thread than the main one, as in a reload, they are let through: others log meanwhile,
    and what they write would go the same way.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stderr = os.dup(2)
    with TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written.read().decode(errors="replace").splitlines():
                _LOGGER.debug("%s", line)
