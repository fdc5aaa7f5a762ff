"""What keeps a process that runs for months from growing: arenas, and Python's garbage."""

import subprocess
import sys
from pathlib import Path

import pytest

# Many threads that allocate at the same time; how many arenas malloc has then (malloc_info(3)).
_ARENAS = """
import ctypes, sys, tempfile, threading
from dsapi.memory import limit_arenas

if sys.argv[1] != "0":
    print(limit_arenas(int(sys.argv[1])))
together = threading.Barrier(24)

def allocate():
    together.wait()
    for _ in range(50):
        pieces = [bytes(50_000) for _ in range(20)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(24)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
with tempfile.NamedTemporaryFile() as told:
    stream = libc.fopen(told.name.encode(), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(told.read().count(b"<heap nr="))
"""
_SERVE = """
import gc, os, signal, sys, threading
from pathlib import Path
from dsapi.server import serve
from dsapi.settings import load_settings

def tell(url):
    print(gc.get_freeze_count())
    # Once it runs: a signal while it starts is a start that failed.
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()

serve(load_settings(Path(sys.argv[1])), on_ready=tell)
"""


def run(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_threads_share_the_arenas_that_are_allowed() -> None:
    if run("import platform; print(platform.libc_ver()[0])") != ["glibc"]:
        pytest.skip("arenas are glibc's")
    assert int(run(_ARENAS, "0")[0]) > 3
    taken, count = run(_ARENAS, "3")
    assert (taken, int(count)) == ("True", 3)


def test_what_is_there_when_a_server_starts_is_no_work_for_the_collector(
    tiny_config: Path,
) -> None:
    frozen = int(run(_SERVE, str(tiny_config))[-1])
    assert frozen > 50_000
