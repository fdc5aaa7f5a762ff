"""The OpenVINO library: imported when the first graph is loaded, without its converter.

Called by `dsapi.engines.openvino`.
"""

import sys
from functools import cache
from typing import Any

import numpy as np

from dsapi.errors import StartupError

_CONVERTER = "openvino.tools.ovc"


@cache
def import_openvino() -> Any:
    """Import OpenVINO (once)."""
    # On import OpenVINO's converter tells Google Analytics so, in a thread that never ends and so
    # keeps the process from leaving. The converter is optional: a None makes its import fail.
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        import openvino
        import openvino.frontend
        import openvino.preprocess
    except ImportError as error:
        raise StartupError(
            "engine = 'openvino' needs OpenVINO; install it with: pip install -e '.[openvino]'"
        ) from error
    finally:
        del sys.modules[_CONVERTER]
    # The first use of an array prepares the binding's access to NumPy. When two threads come to
    # that at once, each waits for what the other holds, forever (OpenVINO 2026.4).
    openvino.Tensor(np.zeros(1, np.float32))
    return openvino


@cache
def make_core() -> Any:
    """Make OpenVINO's core (once; it is never given back).

    Its CPU plugin gives the thread that makes it an alternate stack for signals, and unmaps that
    stack when it goes, in whichever thread that happens (``SigAltStackSetup``, OpenVINO 2026.4).
    With a core for each graph, the first reload took the main thread's: the next SIGHUP or SIGTERM,
    which Python handles on such a stack (``SA_ONSTACK``), ended the process with SIGSEGV.
    """
    return import_openvino().Core()
