"""Plots the memory of a long soak run: ``python -m tests.soak.plot REPORT.json PLOT.png``.

The report is what `tests.soak.test_soak` writes where DSAPI_SOAK_REPORT says.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def plot_memory(report: Path, plot: Path) -> None:
    """Draw resident memory over the number of requests."""
    figures = json.loads(report.read_text(encoding="utf-8"))
    requests, memory_bytes = zip(*figures["memory_bytes"], strict=True)
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    memory_mib = [bytes / 2**20 for bytes in memory_bytes]
    axes.plot(requests, memory_mib, color="tab:orange")
    axes.set(
        xlabel="mixed requests", ylabel="resident memory, MiB", ylim=(0, 1.15 * max(memory_mib))
    )
    figure.savefig(plot, dpi=90)


if __name__ == "__main__":
    plot_memory(Path(sys.argv[1]), Path(sys.argv[2]))
