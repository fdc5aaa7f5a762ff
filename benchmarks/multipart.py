"""What a multipart body costs over a raw one: a server, one client, both kinds in turn.

Both ask for the colors at a point of the same JPEG of 300 kB, and nothing else runs. The bar is
1 ms in the median.

    python -m benchmarks.multipart [--rounds 400]
"""

import argparse
import statistics
import time

from benchmarks.decode import encode_photo
from benchmarks.load import Client, raw_request, upload_request
from benchmarks.processes import serving_as_shipped

_BAR_MS = 1.0
_PATH = "/v1/predictions"


def main() -> None:
    """Print the medians and their difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    picture = encode_photo(1600, 1200, quality=71)
    with serving_as_shipped() as (_, port):
        raw = raw_request(f"{_PATH}?models=colors&x=120&y=340", picture, port=port)
        fields = {"x": 120, "y": 340}
        upload = upload_request(f"{_PATH}?models=colors", picture, port=port, fields=fields)
        raw_ms, upload_ms = measure(port, raw, upload, rounds=rounds)
    print(f"{len(picture) // 1000} kB: raw {raw_ms:.2f} ms, multipart {upload_ms:.2f} ms")
    verdict = "reached" if upload_ms - raw_ms <= _BAR_MS else "missed"
    print(f"difference {upload_ms - raw_ms:.2f} ms, bar {_BAR_MS:.2f} ms: {verdict}")


def measure(port: int, *requests: bytes, rounds: int) -> list[float]:
    """Ask in turn, over one connection; the median milliseconds of each."""
    client = Client(port)
    times: list[list[float]] = [[] for _ in requests]
    for each in range(rounds + rounds // 10):
        for request, taken in zip(requests, times, strict=True):
            started = time.perf_counter()
            status = client.ask(request)
            if status != 200:
                raise SystemExit(f"the server answered {status}")
            if each >= rounds // 10:
                taken.append((time.perf_counter() - started) * 1000)
    client.close()
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    main()
