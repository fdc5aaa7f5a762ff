"""Subjects: the servers that are compared, each as a command, its environment and its request.

The peers run as their own documentation starts them for production, with as many processes as
cores, which every one of them needs to be at its best here.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import raw_request, upload_request
from dsapi.cores import count_cores

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
PORT = 9180
_X, _Y = 700, 500


@dataclass(frozen=True)
class Subject:
    """A server.

    Attributes:
        name: what the report calls it.
        engine: what runs its graphs; the bare loop with this engine is what it is held against.
        command: starts it.
        path: what predicts.
        upload: whether it takes an upload; else the picture is the body.
        environment: variables beside those of this process.
        folder: where it starts.
        port: where it listens.
    """

    name: str
    engine: str
    command: tuple[str, ...]
    path: str
    upload: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    port: int = PORT

    def request(self, picture: bytes) -> bytes:
        """Write the bytes of a request."""
        if self.upload:
            return upload_request(self.path, picture, port=self.port, fields={"x": _X, "y": _Y})
        return raw_request(self.path, picture, port=self.port)


def own(
    engine: str,
    *,
    name: str = "",
    workers: int = 0,
    processes: int = 1,
    share_weights: str = "auto",
    upload: bool = False,
    port: int = PORT,
) -> Subject:
    """Describe this server with some settings."""
    query = "" if upload else f"?x={_X}&y={_Y}"
    return Subject(
        name or f"dsapi, {_SHOWN[engine]}",
        engine=engine,
        command=(sys.executable, "-m", "dsapi", "serve"),
        path=f"/v1/predictions{query}",
        upload=upload,
        environment={
            "DSAPI_ENGINE": engine,
            "DSAPI_PORT": str(port),
            "DSAPI_PREDICTION_WORKERS": str(workers),
            "DSAPI_PROCESSES": str(processes),
            # What an older version, to be compared, has no word for.
            **({} if share_weights == "auto" else {"DSAPI_SHARE_WEIGHTS": share_weights}),
        },
        port=port,
    )


_SHOWN = {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}


def peers(environments: Path, *, port: int = PORT) -> list[Subject]:
    """Describe the peers that are installed in `environments`, all at one port."""
    cores = str(count_cores())
    commands = {
        "fastapi": (
            "FastAPI + uvicorn",
            ("uvicorn", "app:app", "--port", str(port), "--workers", cores),
        ),
        "flask": (
            "Flask + gunicorn",
            ("gunicorn", "app:app", "-b", f"127.0.0.1:{port}", "-w", cores),
        ),
        "litserve": ("LitServe", ("python", "app.py")),
        "bentoml": ("BentoML", ("bentoml", "serve", "app:Pictures", "-p", str(port))),
        "ray": ("Ray Serve", ("python", "app.py")),
    }
    found = []
    for folder, (name, (program, *arguments)) in commands.items():
        binaries = environments / folder / ".venv" / "bin"
        if not (binaries / "python").exists():
            binaries = environments / folder / "bin"
        if not (binaries / "python").exists():
            print(f"{name} is left out: {environments / folder} has no environment", flush=True)
            continue
        found.append(
            Subject(
                name,
                engine="tensorflow",
                command=(str(binaries / program), *arguments),
                path="/" if folder == "ray" else "/predict",
                upload=True,
                environment={
                    "PATH": f"{binaries}:{os.environ['PATH']}",
                    "PYTHONPATH": str(PEERS),
                    "DSAPI_BENCH_MODELS": str(ROOT),
                    "PORT": str(port),
                    # Nothing is reported to anybody.
                    "BENTOML_DO_NOT_TRACK": "True",
                    "RAY_USAGE_STATS_ENABLED": "0",
                },
                folder=PEERS / folder,
                port=port,
            )
        )
    return found
