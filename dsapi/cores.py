"""Processor cores: how many this process may use. Called by the settings and by long work."""

import os


def count_cores() -> int:
    """Count the cores of this process: fewer than the machine's in a container or under taskset."""
    return len(os.sched_getaffinity(0))
