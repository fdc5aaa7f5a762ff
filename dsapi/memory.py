"""Memory over months: what keeps a long-running process from growing.

Called by `dsapi.server` when a process starts to serve, and by `dsapi.workers` after a reload.
"""

import ctypes
import gc

# M_ARENA_MAX in glibc's malloc.h.
_ARENA_MAX = -8


def limit_arenas(count: int) -> bool:
    """Let glibc's malloc spread over at most `count` arenas.

    By itself it makes up to eight for each core, each thread gets one, and what one has freed no
    other can use: a server with a hundred threads that reloads its graphs keeps each arena's most.
    How much that is depends on the load; `give_back` returns what is free in any of them.

    Returns:
        Whether there is a glibc that took it; elsewhere nothing happens.
    """
    return _call_glibc("mallopt", _ARENA_MAX, count)


def give_back() -> bool:
    """Give the memory that malloc holds free back to the system (malloc_trim(3)).

    By itself it gives back only what is at the end of its heap, and loading a graph leaves hundreds
    of megabytes of holes below that. Takes tens of milliseconds, in which an allocation may wait.

    Returns:
        Whether there was some; without glibc nothing happens.
    """
    return _call_glibc("malloc_trim", 0)


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
