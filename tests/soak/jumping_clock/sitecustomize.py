"""Imported by Python at its start when this folder is on its path: a wall clock that jumps.

The seconds by which it is wrong are read from the file that DSAPI_TEST_CLOCK names.
"""

import os
import time

_FILE = os.environ["DSAPI_TEST_CLOCK"]
_time, _time_ns = time.time, time.time_ns


def _wrong_by_s() -> int:
    with open(_FILE, encoding="ascii") as file:
        return int(file.read() or 0)


time.time = lambda: _time() + _wrong_by_s()
time.time_ns = lambda: _time_ns() + _wrong_by_s() * 1_000_000_000
