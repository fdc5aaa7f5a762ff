"""What keeps a process that runs for months from growing: nothing that was replaced stays."""

import gc
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsapi.engines import EngineName
from dsapi.memory import uncollected
from dsapi.prediction.model import Model
from dsapi.workers.pool import PredictionWorkers
from tests.conftest import StartServer
from tests.engines.gated import GatedGraph, gated_model
from tests.graphs import freeze_constant, write_graph
from tests.operation.test_reload import Site
from tests.workers.test_worker_faults import LIMITS, eventually

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
from dsapi.process.server import serve
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


def resident_bytes() -> int:
    """Memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


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


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Leave reference cycles where they are."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["tensorflow", "openvino"])
def site(
    request: pytest.FixtureRequest, tiny_config: Path, tmp_path: Path, start_server: StartServer
) -> Site:
    """A server with one of the engines."""
    engine: EngineName = request.param
    if engine == "openvino":
        pytest.importorskip("openvino")
    return Site(tiny_config, tmp_path / "site", start_server, engine=engine)


def count_models() -> int:
    """Count the models and TensorFlow graphs of this process, garbage included."""
    return sum(
        type(thing) is Model or type(thing).__name__ == "Graph" for thing in gc.get_objects()
    )


@pytest.mark.usefixtures("_no_collector")
def test_models_that_were_replaced_go_without_the_garbage_collector(site: Site) -> None:
    assert site.theme() == "green"
    site.reload()
    gc.collect()  # the import of an engine leaves some
    assert eventually(lambda: site.reload()[0] == 200)
    before = count_models()
    for _ in range(3):
        assert site.reload()[0] == 200
        assert site.theme() == "green"
    assert eventually(lambda: count_models() <= before)


def spoil_the_second_graph(site: Site) -> None:
    freeze_constant(site.folder / "models/colors.pb", [0.5, 0.5], side=9)


def spoil_the_scores(site: Site) -> None:
    freeze_constant(site.folder / "models/colors.pb", [float("nan"), 0.5, 0.5], side=9)


def spoil_a_run(site: Site) -> None:
    """Put a graph there that turns out to give six scores only when it runs."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 9, 9, 3], name="image")
        means = tf.tile(tf.reduce_mean(pixels, axis=[1, 2]), [1, 2])
        tf.reshape(means, tf.stack([tf.shape(pixels)[0], tf.size(means[0])]), name="scores")
    write_graph(site.folder / "models/colors.pb", graph.as_graph_def())
    site.change('crop = "9px"', 'crop = "9px"\noutput_tensor = "scores"')


def name_no_tensor(site: Site) -> None:
    site.change('crop = "9px"', 'crop = "9px"\noutput_tensor = "none"')


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    "spoil",
    [spoil_the_second_graph, spoil_the_scores, spoil_a_run, name_no_tensor],
    ids=lambda spoil: spoil.__name__,
)
def test_models_that_were_refused_go_too(site: Site, spoil: Callable[[Site], None]) -> None:
    spoil(site)
    gc.collect()  # making a graph leaves some
    before = count_models()
    for _ in range(3):
        assert site.reload()[0] == 409
    assert eventually(lambda: count_models() <= before)


# Holds memory in pieces, and lets go of all but the last: malloc by itself gives nothing back then.
_HOLES = """
import re
from dsapi.memory import give_back

def resident_kib():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\\s+(\\d+)", status.read())[1])

pieces = [bytes(2000) for _ in range(50_000)]
del pieces[:-1]
before = resident_kib()
print(give_back(), before - resident_kib())
"""


# Frees two blocks; the first one's size is what malloc would keep from then on.
_LARGE_BLOCKS = """
import re, sys
from dsapi.memory import map_large_blocks

def resident_kib():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\\s+(\\d+)", status.read())[1])

print(sys.argv[1] == "0" or map_large_blocks(int(sys.argv[1])))
bytearray(b"x") * 31_000_000
before = resident_kib()
for _ in range(2):
    kept = [bytearray(b"x") * 20_000_000, bytearray(b"x") * 1_000_000]
    del kept[0]
print(resident_kib() - before)
"""


def test_large_blocks_are_given_back_as_they_are_freed() -> None:
    if run("import platform; print(platform.libc_ver()[0])") != ["glibc"]:
        pytest.skip("mallopt is glibc's")
    _, kept_kib = run(_LARGE_BLOCKS, "0")
    assert int(kept_kib) > 15_000
    taken, kept_kib = run(_LARGE_BLOCKS, "15000000")
    assert taken == "True"
    assert int(kept_kib) < 5_000


def test_memory_that_is_free_below_some_in_use_is_given_back() -> None:
    if run("import platform; print(platform.libc_ver()[0])") != ["glibc"]:
        pytest.skip("malloc_trim is glibc's")
    given, freed_kib = run(_HOLES)
    assert given == "True"
    assert int(freed_kib) > 80_000


def test_the_collector_is_off_while_models_load_and_on_afterwards_whatever_happened() -> None:
    during = []

    def load() -> None:
        with uncollected():
            during.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        load()
    assert during == [False]
    assert gc.isenabled()


class HeavyGraph(GatedGraph):
    """A graph with 100 MB of weights in pieces, as malloc sees them."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.weights = [bytes(2000) for _ in range(50_000)]


def test_the_memory_of_replaced_models_is_given_back() -> None:
    if run("import platform; print(platform.libc_ver()[0])") != ["glibc"]:
        pytest.skip("malloc_trim is glibc's")
    workers = PredictionWorkers(LIMITS, count=1)
    workers.start({"themes": gated_model(HeavyGraph())})
    # In use at the end of the heap, so that malloc gives nothing back by itself.
    above = [bytes(2000) for _ in range(10)]
    loaded_bytes = resident_bytes()
    workers.replace({"themes": gated_model(GatedGraph(lambda: None))}, LIMITS)
    assert eventually(lambda: resident_bytes() < loaded_bytes - 80 * 2**20)
    workers.stop()
    del above
