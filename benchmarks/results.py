"""Results: what a run has measured, and what follows from it."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load import Measured
from benchmarks.processes import Memory


@dataclass(frozen=True)
class Bare:
    """The bare loop, around the measurement of one server.

    Attributes:
        per_s: pictures a second on all cores.
        median_ms: milliseconds of one picture on one thread.
    """

    per_s: float
    median_ms: float


@dataclass(frozen=True)
class Result:
    """What one start of a server gave.

    Attributes:
        name: of the server.
        engine: that it runs graphs with.
        start_s: seconds from its start to its first prediction.
        alone: with one caller at a time.
        together: with eight.
        memory: after the load.
        bare: the bare loop before and after, averaged.
    """

    name: str
    engine: str
    start_s: float
    alone: Measured
    together: Measured
    memory: Memory
    bare: Bare

    @property
    def share(self) -> float:
        """Its throughput, as a share of the bare loop's."""
        return self.together.per_s / self.bare.per_s

    @property
    def overhead_ms(self) -> float:
        """What it adds to the bare loop's milliseconds for a lone caller."""
        return self.alone.p50_ms - self.bare.median_ms


@dataclass(frozen=True)
class Run:
    """All that one run has measured.

    Attributes:
        results: servers, in rounds.
        variants: this server with other settings.
        loops: pictures a second and median milliseconds of the bare loop, by
            ``engine threads mode``.
        picture_bytes: size of the picture.
        cores: of the machine.
        took_s: how long the run took.
    """

    results: list[Result]
    variants: list[Result]
    loops: dict[str, tuple[float, float]]
    picture_bytes: int
    cores: int
    took_s: float

    def names(self) -> list[str]:
        """Name the servers, in order."""
        return list(dict.fromkeys(result.name for result in self.results))

    def median(self, name: str, figure: Callable[[Result], float]) -> float:
        """Take the median of a figure over a server's rounds."""
        return statistics.median(figure(r) for r in self.results if r.name == name)
