"""Graphs are downloaded from a real server that cuts, repeats, refuses and lies."""

import fcntl
import hashlib
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dsapi.errors import StartupError
from dsapi.operation.downloads import Patience, download_graph, fetch_graphs
from dsapi.operation.progress import show_progress
from dsapi.prediction.spec import ModelSpec
from dsapi.process.service import load_models
from dsapi.settings import load_settings
from tests.graphs import freeze_brightest_channel, write_labels
from tests.waiting import eventually

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# The files have as many bytes as they may.
HASTE = Patience(attempts=3, timeout_s=5.0, pause_s=0.01, max_bytes=len(CONTENT))


@dataclass
class Behavior:
    """What the server does, and what it was asked.

    Attributes:
        content: what it serves.
        cuts: after how many bytes of the body each connection in turn is cut.
        ranges: whether it understands them.
        status: answered to everything, unless 200; 302: from here to here.
        length: what it says of a body's length; None: the truth.
        part: what it says of a part that it sends.
        asked: the Range header of each request.
    """

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    length: str | None = None
    part: str = "bytes {start}-{end}/{total}"
    asked: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behavior: Behavior

    def do_GET(self) -> None:
        behavior = self.behavior
        wanted = self.headers["Range"]
        behavior.asked.append(wanted)
        if behavior.status == 302:
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        if behavior.status != 200:
            self.send_error(behavior.status)
            return
        start = 0
        if wanted and behavior.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if start >= len(behavior.content):
                self.send_error(416)
                return
            self.send_response(206)
            end, total = len(behavior.content) - 1, len(behavior.content)
            told = behavior.part.format(start=start, end=end, total=total)
            self.send_header("Content-Range", told)
        else:
            self.send_response(200)
        body = behavior.content[start:]
        self.send_header("Content-Length", behavior.length or str(len(body)))
        self.end_headers()
        self.wfile.write(body[: behavior.cuts.pop(0)] if behavior.cuts else body)

    def log_message(self, *arguments: Any) -> None:
        """Stay quiet."""


Serve = Callable[[Behavior], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with a behavior on a free port; give the graph's URL."""
    started = []

    def start(behavior: Behavior) -> str:
        handler = type("BehavingHandler", (Handler,), {"behavior": behavior})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/graph.pb"

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def download(url: str, path: Path, sha256: str = DIGEST) -> list[tuple[int, int | None]]:
    steps: list[tuple[int, int | None]] = []
    download_graph(
        url, path, sha256=sha256, patience=HASTE, on_bytes=lambda *step: steps.append(step)
    )
    return steps


def test_a_graph_arrives_whole_with_its_progress(serve: Serve, tmp_path: Path) -> None:
    behavior = Behavior()
    path = tmp_path / "new" / "graph.pb"
    steps = download(serve(behavior), path)
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert steps == sorted(steps)
    assert [each.name for each in path.parent.iterdir()] == ["graph.pb"]


def list_pauses(caplog: pytest.LogCaptureFixture) -> list[str]:
    """List the seconds between two tries, as the log tells them."""
    return re.findall(r"once more in (\S+) s", caplog.text)


def test_a_cut_download_goes_on_where_it_was_cut(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behavior = Behavior(cuts=[100_000, 0, 200_000])
    path = tmp_path / "graph.pb"
    with caplog.at_level("INFO"):
        download(serve(behavior), path)
    assert path.read_bytes() == CONTENT
    assert behavior.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=300000-"]
    # Patience is for those in a row that bring nothing.
    assert list_pauses(caplog) == ["0.01", "0.02", "0.01"]


def test_a_part_of_a_file_of_unknown_length_is_taken(serve: Serve, tmp_path: Path) -> None:
    behavior = Behavior(cuts=[100_000], part="bytes {start}-{end}/*")
    steps = download(serve(behavior), tmp_path / "graph.pb")
    assert (tmp_path / "graph.pb").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), None)


@pytest.mark.parametrize("part", ["bytes 0-{end}/{total}", "nonsense"])
def test_another_part_than_was_asked_for_is_not_put_behind_what_is_there(
    serve: Serve, tmp_path: Path, part: str
) -> None:
    url = serve(Behavior(cuts=[100_000], part=part))
    with pytest.raises(StartupError, match="sent another range than from byte 100000 on"):
        download(url, tmp_path / "graph.pb")
    assert (tmp_path / "graph.pb.part").read_bytes() == CONTENT[:100_000]


def test_a_start_that_was_cut_for_good_is_gone_on_with_by_the_next(
    serve: Serve, tmp_path: Path
) -> None:
    behavior = Behavior(cuts=[50_000, 0, 0, 0])
    url, path = serve(behavior), tmp_path / "graph.pb"
    with pytest.raises(StartupError, match="cut after 50000 bytes"):
        download(url, path)
    assert not path.exists()
    behavior.cuts.clear()
    behavior.asked.clear()
    download(url, path)
    assert behavior.asked == ["bytes=50000-"]
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_all_of_it_again(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    download(serve(Behavior(cuts=[70_000], ranges=False)), path)
    assert path.read_bytes() == CONTENT


def test_a_length_that_is_no_number_only_hides_how_much_is_left(
    serve: Serve, tmp_path: Path
) -> None:
    steps = download(serve(Behavior(length="much")), tmp_path / "graph.pb")
    assert (tmp_path / "graph.pb").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), None)


def test_another_hash_is_refused_and_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    with pytest.raises(StartupError, match=f"{DIGEST}.*correct url or sha256"):
        download(serve(Behavior()), path, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_the_rest_of_an_older_file_is_thrown_away_and_all_of_it_asked_for(
    serve: Serve, tmp_path: Path
) -> None:
    behavior = Behavior()
    path = tmp_path / "graph.pb"
    path.with_name("graph.pb.part").write_bytes(b"of another version")
    download(serve(behavior), path)
    assert path.read_bytes() == CONTENT
    assert behavior.asked == ["bytes=18-", None]


def test_a_file_that_was_complete_but_not_renamed_is_only_verified(
    serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "graph.pb"
    path.with_name("graph.pb.part").write_bytes(CONTENT)
    download(serve(Behavior()), path)
    assert path.read_bytes() == CONTENT


def test_redirects_in_a_circle_are_told_in_one_line(serve: Serve, tmp_path: Path) -> None:
    url = serve(Behavior(status=302))
    with pytest.raises(StartupError, match=r"answers 302 .* infinite loop.*; check url$"):
        download(url, tmp_path / "graph.pb")


def test_a_missing_file_on_the_server_is_said_at_once(serve: Serve, tmp_path: Path) -> None:
    behavior = Behavior(status=404)
    with pytest.raises(StartupError, match=r"answers 404 .*; check url"):
        download(serve(behavior), tmp_path / "graph.pb")
    assert len(behavior.asked) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_in_trouble_is_asked_again_and_then_given_up(
    serve: Serve, tmp_path: Path, status: int
) -> None:
    behavior = Behavior(status=status)
    with pytest.raises(StartupError, match=f"answers {status}; try again later"):
        download(serve(behavior), tmp_path / "graph.pb")
    assert len(behavior.asked) == HASTE.attempts


def test_nobody_listening_is_said_with_the_url(tmp_path: Path) -> None:
    told = r"cannot connect to http://127\.0\.0\.1:9/graph\.pb \(.*refused\); check url"
    with pytest.raises(StartupError, match=told):
        download("http://127.0.0.1:9/graph.pb", tmp_path / "graph.pb")


def test_what_has_arrived_is_kept_while_nobody_listens(tmp_path: Path) -> None:
    part = tmp_path / "graph.pb.part"
    part.write_bytes(b"begun")
    told = r"was cut after 5 bytes \(.*refused\); start again to go on from there"
    with pytest.raises(StartupError, match=told):
        download("http://127.0.0.1:9/graph.pb", tmp_path / "graph.pb")
    assert part.read_bytes() == b"begun"


def test_a_host_that_is_unknown_is_said_with_the_url(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot connect to http://nowhere\.invalid/g\.pb"):
        download("http://nowhere.invalid/g.pb", tmp_path / "graph.pb")


def test_a_server_that_never_goes_on_is_told_to_be_one(serve: Serve, tmp_path: Path) -> None:
    url = serve(Behavior(cuts=[70_000] * HASTE.attempts, ranges=False))
    with pytest.raises(StartupError, match=r"cut after 70000 bytes .*the server does not resume"):
        download(url, tmp_path / "graph.pb")


@pytest.mark.parametrize("begun", ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun"])
def test_a_server_that_falls_silent_is_given_up(tmp_path: Path, begun: str) -> None:
    def hold(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller = listener.accept()[0]
                with caller:
                    caller.settimeout(20)
                    caller.sendall(begun.encode())
                    while caller.recv(4096):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        holding = threading.Thread(target=hold, args=(listener,))
        holding.start()
        try:
            with pytest.raises(StartupError, match=r"was cut after \d bytes \(.*timed out\)"):
                download_graph(
                    f"http://127.0.0.1:{listener.getsockname()[1]}/graph.pb",
                    tmp_path / "graph.pb",
                    sha256=DIGEST,
                    patience=Patience(attempts=1, timeout_s=0.2),
                    on_bytes=lambda *_: None,
                )
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            holding.join()


def test_two_that_start_at_once_download_once(serve: Serve, tmp_path: Path) -> None:
    behavior = Behavior()
    url, path = serve(behavior), tmp_path / "graph.pb"
    threads = [threading.Thread(target=download, args=(url, path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT
    assert behavior.asked == [None]


def test_who_waited_for_a_part_that_was_thrown_away_begins_another(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, part = tmp_path / "graph.pb", tmp_path / "graph.pb.part"
    caplog.set_level("INFO")

    def is_waited_for() -> bool:
        return f"another process is downloading {part}; waiting for it" in caplog.messages

    waiting = threading.Thread(target=download, args=(serve(Behavior()), path))
    with part.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting.start()
        assert eventually(is_waited_for)
        part.unlink()
    waiting.join()
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_answer_has_another_hash(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="has SHA-256 e3b0c44"):
        download(serve(Behavior(content=b"")), tmp_path / "graph.pb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [None, "no number"])
def test_a_file_longer_than_any_graph_is_given_up(
    serve: Serve, tmp_path: Path, length: str | None
) -> None:
    url, patience = serve(Behavior(length=length)), Patience(max_bytes=len(CONTENT) // 2)
    arrived: list[int] = []
    with pytest.raises(StartupError, match="has over 524288 bytes, which no graph has"):
        download_graph(
            url,
            tmp_path / "graph.pb",
            sha256=DIGEST,
            patience=patience,
            on_bytes=lambda there, _: arrived.append(there),
        )
    assert list(tmp_path.iterdir()) == []
    # What the server says is more than enough does not even begin to arrive.
    assert bool(arrived) == (length is not None)


@pytest.mark.parametrize("status", [404, 500])
def test_nothing_is_left_of_a_download_that_brought_nothing(
    serve: Serve, tmp_path: Path, status: int
) -> None:
    with pytest.raises(StartupError):
        download(serve(Behavior(status=status)), tmp_path / "graph.pb")
    assert not list(tmp_path.iterdir())


def test_a_command_says_how_a_download_goes_where_there_is_no_terminal(
    serve: Serve, tmp_path: Path
) -> None:
    config = write_section(tmp_path, url=serve(Behavior(content=CONTENT, cuts=[100_000])))
    run = subprocess.run(
        [sys.executable, "-m", "dsapi", "check", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2  # it is no graph
    assert f"downloading colors: {len(CONTENT)} of {len(CONTENT)} bytes" in run.stderr
    assert "cut after 100000 bytes" in run.stderr
    assert "once more in 1 s" in run.stderr


def test_the_log_is_not_filled_with_progress(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), show_progress("colors") as on_bytes:
        for there in range(1, 1001):
            on_bytes(there, None)
        on_bytes(1000, 1000)
    first, *_, last = told = [record.getMessage() for record in caplog.records]
    assert first == "downloading colors: 1 of unknown bytes"
    assert last == "downloading colors: 1000 of 1000 bytes"
    assert len(told) < 10


def test_a_full_disk_is_no_cut_connection(serve: Serve, tmp_path: Path) -> None:
    config = write_section(tmp_path, url=serve(Behavior()))
    run = subprocess.run(
        [sys.executable, "-m", "dsapi", "check", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert run.returncode == 2
    graph = tmp_path / "models/colors.pb"
    assert f"[models.colors] cannot write {graph}: File too large" in run.stderr
    assert "cut after" not in run.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://host:99999/g.pb",
        "http:///g.pb",
        "https://host/gräph.pb",
        "http://joe:secret@host/g.pb",
    ],
)
def test_a_url_that_is_none_is_no_configuration(tmp_path: Path, url: str) -> None:
    config = write_section(tmp_path, url=url)
    with pytest.raises(StartupError, match=r"url.*must be http\(s\)://HOST"):
        load_settings(config)


def test_a_url_without_a_hash_is_no_configuration() -> None:
    with pytest.raises(ValueError, match="url needs sha256"):
        ModelSpec(graph="a.pb", labels="a.txt", crop="9px", url="http://127.0.0.1/a.pb")


def test_a_graph_that_is_there_is_not_downloaded(tmp_path: Path) -> None:
    graph = tmp_path / "graph.pb"
    graph.write_bytes(b"here")
    spec = ModelSpec(
        graph=graph,
        labels="labels.txt",
        crop="9px",
        url="http://127.0.0.1:9/graph.pb",
        sha256="0" * 64,
    )
    fetch_graphs({"colors": spec}, patience=HASTE)
    assert graph.read_bytes() == b"here"


def write_section(folder: Path, *, url: str, sha256: str = DIGEST) -> Path:
    """Write a configuration with a model to download."""
    write_labels(folder / "labels.txt")
    config = folder / "dsapi.conf"
    config.write_text(
        '[models.colors]\ngraph = "models/colors.pb"\nlabels = "labels.txt"\ncrop = "9px"\n'
        f'url = "{url}"\nsha256 = "{sha256}"\n',
        encoding="utf-8",
    )
    return config


def test_the_first_start_downloads_and_loads_a_model(serve: Serve, tmp_path: Path) -> None:
    content = freeze_brightest_channel(tmp_path / "source.pb", side=9).read_bytes()
    url = serve(Behavior(content=content, cuts=[1000]))
    config = write_section(tmp_path, url=url, sha256=hashlib.sha256(content).hexdigest())
    models = load_models(load_settings(config))
    assert models["colors"].labels == ("red", "green", "blue")
    assert (tmp_path / "models/colors.pb").read_bytes() == content


def test_a_refused_download_names_the_section(serve: Serve, tmp_path: Path) -> None:
    spec = ModelSpec(
        graph=tmp_path / "graph.pb",
        labels="labels.txt",
        crop="9px",
        url=serve(Behavior()),
        sha256="0" * 64,
    )
    with pytest.raises(StartupError, match=r"\[models\.colors\]"):
        fetch_graphs({"colors": spec}, patience=HASTE)
