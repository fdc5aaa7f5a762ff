"""Graphs and settings that change under a running service: all or nothing, no request lost."""

import http.client
import json
import logging
import os
import re
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dsapi.engines import EngineName
from dsapi.errors import ReloadFailed, StartupError
from dsapi.operation.reload import NEEDS_RESTART, Reloader, reread
from dsapi.prediction.model import Model
from dsapi.process.pidfile import running_pid
from dsapi.settings import Settings, load_settings
from dsapi.workers.pool import PredictionWorkers
from tests.conftest import RunningServer, StartServer
from tests.graphs import freeze_brightest_channel, freeze_constant
from tests.installation import Installation
from tests.pictures import GREEN, encode, plain
from tests.waiting import eventually

PICTURE = encode(plain(GREEN))


class Site:
    """A server with graphs and a configuration of its own."""

    def __init__(
        self,
        tiny_config: Path,
        folder: Path,
        start: StartServer,
        *,
        engine: EngineName = "tensorflow",
    ) -> None:
        shutil.copytree(tiny_config.parent, folder, dirs_exist_ok=True)
        self.folder = folder
        self.config = folder / "dsapi.conf"
        self.server: RunningServer = start(load_settings(self.config, engine=engine))

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), encoding="utf-8")

    def reload(self) -> tuple[int, dict[str, object]]:
        answer = self.server.ask("POST", "/v1/models/reload", b"")
        return answer.status, answer.json

    def theme(self) -> str:
        answer = self.server.post_picture(PICTURE)
        assert answer.status == 200, answer.body
        label: str = answer.json["predictions"]["themes"][0]["label"]
        return label

    def version(self) -> str:
        version: str = self.server.post_picture(PICTURE).json["models"]["themes"]
        return version


@pytest.fixture
def site(tiny_config: Path, tmp_path: Path, start_server: StartServer) -> Site:
    return Site(tiny_config, tmp_path / "site", start_server)


def test_a_new_graph_takes_over_and_the_report_names_both_versions(site: Site) -> None:
    before = site.version()
    freeze_constant(site.folder / "models/themes.pb", [0.9, 0.05, 0.05], side=32)
    assert site.version() == before
    status, report = site.reload()
    assert status == 200
    assert report["models"]["themes"] == {"before": before, "after": site.version()}  # type: ignore[index]
    assert site.theme() == "red"
    assert report["needs_restart"] == report["settings"] == []
    assert report["took_ms"] > sum(model.load_ms for model in site.server.workers.models.values())  # type: ignore[operator]
    assert report["took_ms"] == round(report["took_ms"], 1)  # type: ignore[call-overload]


def test_settings_take_over_too_and_those_that_cannot_are_named(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    level = logging.getLogger().level
    site.change("[global]", "[global]\nmax_bytes = 1024\nqueue_size = 5\nlog_level = 'ERROR'")
    site.change("[global]", "[global]\nmax_pixels = 50")
    site.change('["pictures"]', '["pictures", "file"]')
    (site.folder / "file").touch()
    try:
        report = site.reload()[1]
        assert logging.getLogger().level == logging.ERROR
        refused = site.server.post_picture(PICTURE).json
        again = site.reload()[1]
    finally:
        logging.getLogger().setLevel(level)
    assert report["settings"] == ["image_roots", "log_level", "max_bytes", "max_pixels"]
    assert f"image_roots: {site.folder / 'file'} is no folder" in caplog.text
    assert again["settings"] == []
    assert report["needs_restart"] == again["needs_restart"] == ["queue_size"]
    assert site.server.post_picture(b"x" * 2000).status == 413
    assert "max_pixels is 50" in refused["detail"]


def test_a_request_has_the_time_that_is_in_force_since_the_reload(site: Site) -> None:
    site.change("request_timeout = 20.0", "request_timeout = 0.5")
    assert site.reload()[1]["settings"] == ["request_timeout"]
    half = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=30)
    half.putrequest("POST", "/v1/predictions")
    half.putheader("Content-Length", "9")
    half.endheaders(b"x")
    answer = half.getresponse()
    assert answer.status == 504
    assert b"not answered within request_timeout = 0.5 s" in answer.read()
    half.close()
    assert site.server.workers.queue_size == 64


def test_every_setting_takes_over_or_is_told_to_need_a_restart() -> None:
    taken_over = {"max_bytes", "max_pixels", "working_side", "request_timeout", "image_roots"}
    taken_over |= {"api_keys", "admin_keys", "admin_loopback", "allowed_networks", "cors_origins"}
    taken_over |= {"trusted_proxies", "rate_limit", "rate_limit_storage", "log_level"}
    of_models = {"models", "engine", "precision", "share_weights", "batching"}
    assert not taken_over & set(NEEDS_RESTART)
    assert taken_over | of_models | set(NEEDS_RESTART) == set(Settings.model_fields)


def test_a_model_can_be_added_and_taken_away(site: Site) -> None:
    site.change("[models.colors]", "[models.paints]")
    report = site.reload()[1]
    assert report["models"]["colors"]["after"] is None  # type: ignore[index]
    assert report["models"]["paints"]["before"] is None  # type: ignore[index]
    assert report["settings"] == []  # models are told by themselves
    answer = site.server.post_picture(PICTURE)
    assert set(answer.json["predictions"]) == {"themes", "paints"}
    assert site.server.post_picture(PICTURE, "models=colors").status == 400


def write_nonsense(site: Site) -> None:
    (site.folder / "models/themes.pb").write_bytes(b"no graph at all")


def cut_short(site: Site) -> None:
    graph = site.folder / "models/themes.pb"
    graph.write_bytes(graph.read_bytes()[:-40])


def take_away(site: Site) -> None:
    (site.folder / "models/themes.pb").unlink()


def add_a_label(site: Site) -> None:
    with (site.folder / "labels/three.txt").open("a") as labels:
        labels.write("a fourth\n")


def give_no_probabilities(site: Site) -> None:
    site.change("[global]", "[global]\nmax_bytes = 1024")
    freeze_constant(site.folder / "models/themes.pb", [float("nan"), 0.5, 0.5], side=32)


def forget_the_golden_sample(site: Site) -> None:
    (site.folder / "golden.png").write_bytes(PICTURE)
    samples = [{"image": "golden.png", "label": "green", "min_probability": 0.5}]
    (site.folder / "golden.json").write_text(json.dumps(samples))
    site.change('crop = "80%"', 'crop = "80%"\ngolden = "golden.json"')
    freeze_constant(site.folder / "models/themes.pb", [0.9, 0.05, 0.05], side=32)


def misspell(site: Site) -> None:
    site.change("[global]", "[global]\nqueue_sise = 5")


def count_nowhere(site: Site) -> None:
    site.change("[global]", '[global]\nmax_bytes = 5000\nrate_limit_storage = "foo://"')
    site.change('crop = "80%"', 'crop = "10%"')


WRONG = {
    write_nonsense: "no frozen TensorFlow graph",
    cut_short: "frozen TensorFlow graph",
    take_away: "cannot read the graph",
    add_a_label: "3 scores",
    give_no_probabilities: "no probabilities",
    forget_the_golden_sample: "must get 'green' with 0.5 or more, got 'red' with 0.900",
    count_nowhere: "rate_limit_storage = 'foo://': unknown storage scheme",
    misspell: "did you mean queue_size?",
}


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_named_and_nothing_changes(site: Site, spoil: object) -> None:
    before = site.version()
    spoil(site)  # type: ignore[operator]
    status, problem = site.reload()
    assert (status, problem["code"]) == (409, "reload_failed")
    assert "nothing has changed" in str(problem["detail"])
    assert WRONG[spoil] in str(problem["detail"])  # type: ignore[index]
    assert (site.version(), site.theme()) == (before, "green")
    assert site.server.post_picture(b"x" * 2000).status == 415
    assert site.server.ask("GET", "/health/ready").status == 200


def test_a_golden_sample_that_is_known_lets_the_graph_in(site: Site) -> None:
    forget_the_golden_sample(site)
    freeze_brightest_channel(site.folder / "models/themes.pb", side=32)
    assert site.reload()[0] == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_a_reload_passed_on_by_a_proxy_is_forbidden(site: Site, header: str) -> None:
    answer = site.server.ask("POST", "/v1/models/reload", b"", {header: "127.0.0.1"})
    assert (answer.status, answer.json["code"]) == (403, "forbidden")


def test_no_request_fails_while_models_are_replaced_again_and_again(site: Site) -> None:
    statuses: set[int] = set()
    asked = threading.Event()
    stop = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=30)
        while not stop.is_set():
            connection.request("POST", "/v1/predictions", PICTURE, {"Content-Type": "image/png"})
            response = connection.getresponse()
            response.read()
            statuses.add(response.status)
            asked.set()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert asked.wait(30)
    reloads = [site.reload()[0] for _ in range(8)]
    stop.set()
    for thread in threads:
        thread.join()
    assert reloads == [200] * 8
    assert statuses == {200}


def test_many_signals_at_a_time_are_one_more_reload(tiny_config: Path) -> None:
    settings = load_settings(tiny_config)
    begun, go_on = threading.Event(), threading.Event()
    loads: list[Settings] = []

    def load(asked: Settings) -> dict[str, Model]:
        loads.append(asked)
        begun.set()
        go_on.wait(30)
        return {}

    workers = PredictionWorkers(settings.limits, count=1)
    reloader = Reloader(settings, workers, load=load, prepare=lambda _: lambda: None)
    reloader.reload_in_background()
    assert not begun.wait(0.2), "the start is still loading"
    reloader.permit()
    assert begun.wait(30)
    for _ in range(20):
        reloader.reload_in_background()
    threads = [thread for thread in threading.enumerate() if thread.name == "reload"]
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(loads) == 2


def test_a_reload_that_does_not_end_holds_no_later_one_for_good(tiny_config: Path) -> None:
    settings = load_settings(tiny_config)
    begun, go_on = threading.Event(), threading.Event()

    def load(_: Settings) -> dict[str, Model]:
        begun.set()
        go_on.wait(30)
        return {}

    workers = PredictionWorkers(settings.limits, count=1)
    reloader = Reloader(
        settings, workers, load=load, prepare=lambda _: lambda: None, patience_s=0.05
    )
    reloader.permit()
    reloader.reload_in_background()
    assert begun.wait(30)
    with pytest.raises(ReloadFailed, match=r"another reload has not ended within 0\.05 s"):
        reloader.reload()
    assert reloader.failed == 1
    go_on.set()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StartupError("no such graph"), "nothing has changed: no such graph"),
        (RuntimeError("unforeseen"), "nothing has changed: see the log for the reason"),
    ],
)
def test_a_reload_that_fails_in_any_way_is_told_and_counted_and_the_next_succeeds(
    tiny_config: Path, error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(tiny_config)
    failures = [error, error]

    def load(_: Settings) -> dict[str, Model]:
        if failures:
            raise failures.pop()
        return {}

    workers = PredictionWorkers(settings.limits, count=1)
    reloader = Reloader(settings, workers, load=load, prepare=lambda _: lambda: None)
    reloader.permit()
    with pytest.raises(ReloadFailed, match=told):
        reloader.reload()
    assert (reloader.succeeded, reloader.failed) == (0, 1)
    reloader.reload_in_background()
    assert eventually(lambda: reloader.failed == 2)
    line = f"reload failed, nothing has changed: {error}"  # right after it is counted
    assert eventually(lambda: caplog.text.count(line) == 2)
    assert ("Traceback" in caplog.text) == isinstance(error, RuntimeError)
    reloader.reload_in_background()
    assert eventually(lambda: reloader.succeeded == 1)
    assert reloader.failed == 2


def test_of_reloads_that_are_asked_for_at_once_one_waits_for_the_other(tiny_config: Path) -> None:
    settings = load_settings(tiny_config)
    both = threading.Barrier(2)

    def load(_: Settings) -> dict[str, Model]:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        return {}

    workers = PredictionWorkers(settings.limits, count=1)
    reloader = Reloader(settings, workers, load=load, prepare=lambda _: lambda: None)
    reloader.permit()
    reloader.reload_in_background()
    reloader.reload()
    assert eventually(lambda: reloader.succeeded == 2)
    assert both.broken, "two loaded models at a time"


def test_a_signal_to_which_no_thread_can_be_given_is_a_failed_reload_and_the_next_is_heeded(
    tiny_config: Path,
) -> None:
    settings = load_settings(tiny_config)
    begun = threading.Event()

    def load(_: Settings) -> dict[str, Model]:
        begun.set()
        return {}

    workers = PredictionWorkers(settings.limits, count=1)
    reloader = Reloader(settings, workers, load=load, prepare=lambda _: lambda: None)
    reloader.permit()
    before = threading.stack_size(1 << 47)  # more than a process can address
    try:
        reloader.reload_in_background()
    finally:
        threading.stack_size(before)
    assert reloader.failed == 1
    reloader.reload_in_background()
    assert begun.wait(30)


def test_the_command_and_a_signal_reload_a_daemon(installation: Installation) -> None:
    assert installation.run("start").returncode == 0
    pid = running_pid(installation.pid_file)
    assert pid is not None
    installation.change("[global]", "[global]\nmax_bytes = 2048")
    installation.change("[models.colors]", "[models.paints]")
    reloaded = installation.run("reload")
    assert reloaded.returncode == 0, reloaded.stderr
    versions = "themes: V → V\npaints: none → V\ncolors: V → none\n"
    told = re.sub(r"\b[0-9a-f]{12}\b", "V", reloaded.stdout)
    assert sorted(told.splitlines()) == sorted(f"{versions}changed: max_bytes".splitlines())
    installation.change("max_bytes = 2048", "max_bytes = 4096")
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: installation.ask("POST", "/v1/predictions", b"x" * 3000)[0] != 413)
    assert installation.ask("POST", "/v1/predictions", b"x" * 3000)[0] == 415
    installation.change("three.txt", "four.txt")
    failed = installation.run("reload")
    assert failed.returncode == 1
    assert "nothing has changed: [models.themes] cannot read the labels" in failed.stderr
    assert installation.predict() == "green"
    assert installation.run("stop").returncode == 0
    assert installation.run("reload").returncode == 3


def test_after_kill_9_a_start_works_at_once_on_the_same_port(installation: Installation) -> None:
    assert installation.run("start").returncode == 0
    held = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=20)
    held.request("GET", "/health/live")
    held.getresponse().read()
    pid = running_pid(installation.pid_file)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while running_pid(installation.pid_file):
        time.sleep(0.01)
    started = installation.run("start")
    assert started.returncode == 0, started.stderr
    assert installation.predict() == "green"
    held.close()


@pytest.mark.parametrize("then", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_and_leaves(
    installation: Installation, then: signal.Signals
) -> None:
    installation.change("request_timeout = 20.0", "request_timeout = 20.0\nshutdown_timeout = 10")
    assert installation.run("start").returncode == 0
    slow = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=20)
    slow.putrequest("POST", "/v1/predictions")
    slow.putheader("Content-Length", str(len(PICTURE)))
    slow.endheaders(PICTURE[:10])
    time.sleep(0.3)
    pid = running_pid(installation.pid_file)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    os.kill(pid, then)  # which changes nothing
    with pytest.raises(ConnectionRefusedError):
        installation.ask("GET", "/health/live")
    slow.send(PICTURE[10:])
    response = slow.getresponse()
    assert (response.status, response.headers["Connection"]) == (200, "close")
    response.read()
    assert eventually(lambda: running_pid(installation.pid_file) is None)
    log = (installation.folder / "log/dsapi.log").read_text()
    assert re.findall(r" stops on (\w+)", log) == ["SIGTERM"]


def test_a_stop_hangs_up_on_who_does_not_finish_in_time(installation: Installation) -> None:
    installation.change("request_timeout = 20.0", "request_timeout = 60.0\nshutdown_timeout = 1")
    assert installation.run("start").returncode == 0
    stuck = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=20)
    stuck.putrequest("POST", "/v1/predictions")
    stuck.putheader("Content-Length", "1000")
    stuck.endheaders(b"x")
    time.sleep(0.3)
    assert installation.run("stop").returncode == 0
    assert running_pid(installation.pid_file) is None
    stuck.close()


def test_who_may_not_reload_is_told_what_is_lacking(
    tiny_config: Path, start_server: StartServer
) -> None:
    settings = load_settings(tiny_config).model_copy(update={"admin_loopback": False})
    answer = start_server(settings).ask("POST", "/v1/models/reload", b"")
    assert answer.status == 403
    assert (
        "needs one of admin_keys, and none are set (admin_loopback = False)" in answer.body.decode()
    )


def test_any_free_port_is_also_the_one_that_was_found(tiny_config: Path) -> None:
    running = load_settings(tiny_config).model_copy(update={"port": 12345})
    settings, changed, needs_restart = reread(running)
    assert (settings.port, changed, needs_restart) == (12345, (), ())


def test_other_settings_that_would_change_the_number_of_workers_do_so_at_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then models are loaded for the workers that there are, and the report says so."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    config = tmp_path / "dsapi.conf"

    def write(share_weights: str) -> None:
        config.write_text(f"[global]\nengine = 'openvino'\nshare_weights = '{share_weights}'\n")

    write("on")
    started = load_settings(config)
    assert started.worker_count == 3
    write("auto")
    kept, changed, needs_restart = reread(started)
    assert (kept.worker_count, kept.engine_options.shares_weights) == (3, True)
    assert (changed, needs_restart) == (("share_weights",), ("prediction_workers",))
    assert reread(kept)[1:] == ((), ("prediction_workers",))
    write("on")
    assert reread(kept)[1:] == (("share_weights",), ())
