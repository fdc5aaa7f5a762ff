"""Memory over months: what keeps a long-running process from growing.

Called by `dsapi.process.server` when a process starts to serve, by `dsapi.workers.pool` after a
reload, and by `dsapi.prediction.picture` before a large picture.
"""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

# M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def limit_arenas(count: int) -> bool:
    """Let glibc's malloc spread over at most `count` arenas.

    By default it makes up to eight for each core and gives each thread one. What is freed in one
    arena cannot be used by another, so a server with a hundred threads that reloads its graphs
    keeps the peak of each. `give_back` returns what is free in any of them.

    Returns:
        True if glibc accepted the setting; elsewhere False, without effect.
    """
    return _call_glibc("mallopt", _ARENA_MAX, count)


def map_large_blocks(size: int) -> bool:
    """Let glibc's malloc return blocks of `size` bytes and more to the system as they are freed.

    By itself it does so only until the first are freed: up to 32 MiB each then come from its heap,
    which keeps up to 64 MiB of what a large picture took, and the next one needs that much more.
    Smaller blocks stay in the heap, as mapping one costs a page fault for every 4 KiB.

    Returns:
        True if glibc accepted the setting; elsewhere False, without effect.
    """
    # Setting either stops glibc from adapting both.
    return _call_glibc("mallopt", _MMAP_THRESHOLD, size) and _call_glibc(
        "mallopt", _TRIM_THRESHOLD, size
    )


def give_back() -> bool:
    """Give the memory that malloc holds free back to the system (malloc_trim(3)).

    By itself it gives back only what is at the end of its heap, and loading a graph leaves hundreds
    of megabytes of holes below that. Takes tens of milliseconds, in which an allocation may wait.

    Returns:
        Whether any was given back; without glibc always False.
    """
    return _call_glibc("malloc_trim", 0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector off while a block loads what stays.

    It would look through all of it again and again, and find nothing: up to a tenth of a start with
    TensorFlow.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """Free reference cycles, and keep the garbage collector from what is left.

    What is in memory once the models are loaded stays; walking through TensorFlow's hundreds of
    thousands of objects would stop every thread meanwhile.
    """
    gc.collect()
    gc.freeze()
    give_back()


def _call_glibc(name: str, *arguments: int) -> bool:
    """Call a function that only glibc has; tell whether it is there and says yes."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return False
    return bool(function(*arguments))
