"""The bare optimized loop: decode, crop, both models, ranking, and no HTTP.

A process that answers lines ``ENGINE THREADS SECONDS PARALLEL`` on its standard input with a line
``PICTURES_PER_S MEDIAN_MS CPU_MS``. It is the ruler of a run: measured again before each server,
as the machine's speed changes. With PARALLEL the two models of a picture run at the same time.
"""

import argparse
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dsapi.engines import EngineName
from dsapi.prediction.crops import cut_crop
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.model import OpenModel
from dsapi.prediction.picture import read_picture
from dsapi.prediction.points import Point
from dsapi.prediction.predictor import PredictionRequest, predict
from dsapi.prediction.ranking import rank_labels
from dsapi.process.service import load_models
from dsapi.settings import Settings, load_settings


class BareLoop:
    """Both models for each thread.

    Each has loaded them for itself: of models for several threads OpenVINO shares the weights, and
    then hands each run over to a thread of its own, which a loop at its best does without.
    """

    def __init__(self, settings: Settings, picture: bytes, *, threads: int) -> None:
        self._limits = settings.limits
        self._sessions = [
            {name: model.open() for name, model in load_models(settings).items()}
            for _ in range(threads)
        ]
        models = settings.models
        self._request = PredictionRequest(picture, points=((700, 500),), models=tuple(models))
        self._pool = ThreadPoolExecutor(threads * len(models))

    def run(self, *, threads: int, seconds: float, parallel: bool) -> tuple[float, float, float]:
        """Predict without pause.

        Returns:
            Pictures a second, the median milliseconds, and the processor milliseconds of one.
        """
        taken_s: list[float] = []
        once = self._once_parallel if parallel else self._once
        began_s = time.perf_counter()
        began_cpu_s = time.process_time()

        def work(sessions: dict[str, OpenModel]) -> None:
            while (start_s := time.perf_counter()) < began_s + seconds:
                once(sessions)
                taken_s.append(time.perf_counter() - start_s)

        workers = [threading.Thread(target=work, args=(s,)) for s in self._sessions[:threads]]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        per_s = len(taken_s) / (time.perf_counter() - began_s)
        cpu_ms = (time.process_time() - began_cpu_s) / len(taken_s) * 1000
        return per_s, statistics.median(taken_s) * 1000, cpu_ms

    def _once(self, sessions: dict[str, OpenModel]) -> None:
        predict(self._request, models=sessions, limits=self._limits, deadline=Deadline.within(60.0))

    def _once_parallel(self, sessions: dict[str, OpenModel]) -> None:
        """Decode once, then crop for and run each model in a thread of its own."""
        picture = read_picture(self._request.image, self._limits)
        point = Point(700, 500)

        def ask(open_model: OpenModel) -> None:
            model = open_model.model
            crop = cut_crop(
                model.spec.crop, point, picture, size=model.size, resize=model.spec.resize
            )
            probabilities = open_model.run(crop[np.newaxis])
            rank_labels(probabilities[0], model.labels, top=5, min_probability=0.0)

        list(self._pool.map(ask, sessions.values()))


def main() -> None:
    """Load, say so, and measure what is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", default="tensorflow,openvino")
    asked = parser.parse_args()
    engines: list[EngineName] = asked.engines.split(",")
    loops = {
        engine: BareLoop(
            load_settings(engine=engine, prediction_workers=1),
            asked.picture.read_bytes(),
            threads=asked.threads,
        )
        for engine in engines
    }
    print("ready", flush=True)
    for line in sys.stdin:
        engine, threads, seconds, parallel = line.split()
        per_s, median_ms, cpu_ms = loops[engine].run(  # type: ignore[index]
            threads=int(threads), seconds=float(seconds), parallel=parallel == "parallel"
        )
        print(f"{per_s:.3f} {median_ms:.3f} {cpu_ms:.3f}", flush=True)


if __name__ == "__main__":
    main()
