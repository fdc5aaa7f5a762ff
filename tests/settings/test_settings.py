"""Settings: sources, their order, and what an operator is told when one is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dsapi
from dsapi.errors import StartupError
from dsapi.settings import load_settings, read_settings
from dsapi.settings.config_file import default_config, find_state_dir

MODEL = """
[models.themes]
graph = "graphs/themes.pb"
labels = "/srv/labels.txt"
crop = "80%"
"""


def write_config(folder: Path, text: str) -> Path:
    config = folder / "dsapi.conf"
    config.write_text(text, encoding="utf-8")
    return config


def test_the_shipped_configuration_is_valid_and_names_both_models() -> None:
    settings = load_settings()
    assert list(settings.models) == ["themes", "colors"]
    assert (settings.host, settings.port) == ("127.0.0.1", 9000)
    assert str(settings.models["themes"].crop) == "80%"
    assert str(settings.models["colors"].crop) == "9px"


def test_the_shipped_configuration_states_the_defaults(tmp_path: Path) -> None:
    """What the file says is what the code would do without it, so neither misleads."""
    shipped = load_settings(default_config())
    empty = load_settings(write_config(tmp_path, ""))
    told = default_config().read_text(encoding="utf-8").split("[models.")[0]
    named = {line.split("=")[0].strip() for line in told.splitlines() if "=" in line}
    for name in sorted(named - {"log_dir", "pid_file"}):
        assert getattr(shipped, name) == getattr(empty, name), name
    assert (empty.log_dir, empty.pid_file) == (tmp_path / "log", tmp_path / "run/dsapi.pid")


def test_openvino_gets_one_worker_more_than_cores_where_it_computes_in_threads_of_its_own() -> None:
    cores = len(os.sched_getaffinity(0))
    assert load_settings(engine="tensorflow", share_weights="on").worker_count == cores
    sharing = load_settings(engine="openvino", share_weights="on")
    assert sharing.worker_count == (cores + 1 if cores > 1 else 1)
    assert load_settings(engine="openvino", share_weights="off").worker_count == cores
    alone = load_settings(engine="openvino", share_weights="on", processes=cores)
    assert alone.worker_count == 1
    five = load_settings(engine="openvino", prediction_workers=5)
    # Whoever loads a model with these settings, it has a stream for each.
    assert (five.worker_count, five.engine_options.sessions) == (5, 5)


@pytest.mark.parametrize(
    ("cores", "workers", "sharing"), [(1, 1, False), (2, 2, False), (3, 4, True), (8, 9, True)]
)
def test_by_itself_openvino_shares_weights_from_three_cores_on(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, sharing: bool
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    settings = load_settings(engine="openvino")
    assert (settings.worker_count, settings.engine_options.shares_weights) == (workers, sharing)
    asked = load_settings(engine="openvino", prediction_workers=cores)
    assert (asked.worker_count, asked.engine_options.shares_weights) == (cores, sharing)


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, "[global]\nport = 1\nqueue_size = 1\nhttp_threads = 1\n")
    monkeypatch.setenv("DSAPI_PORT", "2")
    monkeypatch.setenv("DSAPI_QUEUE_SIZE", "2")
    settings = load_settings(config, port=3, host=None)
    assert (settings.port, settings.queue_size, settings.http_threads) == (3, 2, 1)


def test_the_environment_names_the_file_and_lists_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, "[global]\nport = 1234\n")
    monkeypatch.setenv("DSAPI_CONFIG", str(config))
    monkeypatch.setenv("DSAPI_IMAGE_ROOTS", "/srv/a:pictures")
    settings = load_settings()
    assert settings.port == 1234
    assert settings.image_roots == (Path("/srv/a"), tmp_path / "pictures")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DSAPI_PROT", "9", "variable DSAPI_PROT is no setting; did you mean DSAPI_PORT?"),
        ("DSAPI_API_KEY", "a", "did you mean DSAPI_API_KEYS?"),
        ("DSAPI_MODELS", "foo", "the environment: DSAPI_MODELS = 'foo'"),
        ("DSAPI_PORT", "abc", "the environment: DSAPI_PORT = 'abc'"),
        ("DSAPI_HOST", "", "the environment: DSAPI_HOST = ''"),
        ("DSAPI_MODELS__THEMES__CROP", "9", "the environment: DSAPI_MODELS__THEMES__CROP = '9'"),
        # Of any case, as sections are written; and one that begins a model of its own by a slip.
        ("DSAPI_MODELS__themes__CROP", "9", "the environment: DSAPI_MODELS__themes__CROP = '9'"),
        ("DSAPI_MODELS__THEME__GRAPH", "a.pb", "environment: DSAPI_MODELS__THEME__CROP is missing"),
        ("DSAPI_RATE_LIMIT_STORAGE", "foo://", "write memory:// or redis://HOST:PORT"),
        ("DSAPI_CORS_ORIGINS", "https://a.org:https://b.org", "is no origin"),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupError) as caught:
        load_settings(write_config(tmp_path, MODEL))
    assert told in str(caught.value)
    assert "dsapi.conf" not in str(caught.value)


def test_counting_in_redis_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)  # as where it is not installed
    text = '[global]\nrate_limit_storage = "redis://127.0.0.1:6379"\n'
    with pytest.raises(StartupError) as caught:
        load_settings(write_config(tmp_path, text))
    assert str(caught.value).endswith(": needs the extra redis: pip install -e '.[redis]'")


def test_variables_of_others_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSAPI_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("DSAPI_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("DSAPI_CORS_ORIGINS", "https://a.org:8443,http://[::1]:80")
    settings = load_settings(write_config(tmp_path, MODEL))
    assert settings.cors_origins == ("https://a.org:8443", "http://[::1]:80")


def test_what_is_wrong_on_the_command_line_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="the command's flags: port = 70000"):
        load_settings(write_config(tmp_path, MODEL), port=70000)


def test_a_model_is_changed_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, MODEL)
    monkeypatch.setenv("DSAPI_MODELS__THEMES__GRAPH", "other.pb")
    assert load_settings(config).models["themes"].graph == tmp_path / "other.pb"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = MODEL + 'golden = "graphs/golden.json"\n'
    spec = load_settings(write_config(tmp_path, text)).models["themes"]
    assert spec.graph == tmp_path / "graphs/themes.pb"
    assert spec.labels == Path("/srv/labels.txt")
    assert spec.golden == tmp_path / "graphs/golden.json"


def test_image_roots_are_the_folders_that_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    config = write_config(tmp_path, '[global]\nimage_roots = ["link", "./photos/../photos"]\n')
    assert load_settings(config).image_roots == ((tmp_path / "photos").resolve(),) * 2


def test_nothing_between_two_colons_is_no_image_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the empty text it would be the folder of the configuration.
    monkeypatch.setenv("DSAPI_IMAGE_ROOTS", ":/srv/a::")
    assert load_settings(write_config(tmp_path, "")).image_roots == (Path("/srv/a"),)
    monkeypatch.setenv("DSAPI_IMAGE_ROOTS", "")
    assert load_settings(write_config(tmp_path, "")).image_roots == ()


def test_nothing_is_written_into_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Path(dsapi.__file__).parent / "share/dsapi.conf"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert find_state_dir(shipped) == tmp_path / "dsapi"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert find_state_dir(shipped) == Path.home() / ".local/state/dsapi"
    assert find_state_dir(tmp_path / "dsapi.conf") == tmp_path


def test_an_empty_value_is_empty_text(tmp_path: Path) -> None:
    assert load_settings(write_config(tmp_path, "[global]\nrate_limit =\n")).rate_limit == ""


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    # Neither could be taken back by its name.
    one, other = (f"app={digit * 64}" for digit in "01")
    with pytest.raises(StartupError, match="two keys have the same name"):
        load_settings(write_config(tmp_path, f"[global]\napi_keys = {[one, other]}\n"))


@pytest.mark.parametrize("origin", ["https://example.org/", "https://example.org/page", "null"])
def test_an_origin_that_no_browser_sends_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(StartupError, match="is no origin"):
        load_settings(write_config(tmp_path, f"[global]\ncors_origins = [{origin!r}]\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[global]\nprot = 9000\n", "prot is no setting; did you mean port?"),
        ("[global]\nport = 70000\n", "port = 70000: Input should be less than or equal to 65535"),
        ("[global]\nport = 'many'\n", "port = 'many'"),
        ("[global]\nimage_roots = ['a', 3]\n", "dsapi.conf: image_roots = 3: Input is not a valid"),
        ("[model.themes]\n", "unknown section [model.themes]"),
        ("[global]\nmodels = 'themes'\n", "models is no setting of [global]; each model has a sec"),
        ("[global]\nport 9000\n", "is malformed"),
        ("[global]\nhost = localhost\n", "host = localhost: is no Python literal; text is quoted"),
        ("[global]\nhost = 127.0.0.1\n", 'text is quoted, such as host = "…"'),
        (
            "[global]\nadmin_loopback = false\n",
            "no Python literal; write admin_loopback = False",
        ),
        (MODEL + "default = TRUE\n", "is no Python literal; write default = True"),
        (MODEL.replace('"80%"', "80%"), "[models.themes] crop = 80%: is no Python literal"),
        (MODEL.replace('"80%"', "80"), "[models.themes] crop = 80: a crop is text: a share such"),
        (MODEL.replace("80%", "80"), "[models.themes] crop = '80'"),
        (MODEL.replace("80%", "101%"), "over 0% and at most 100%"),
        (MODEL.replace("80%", "1.5px"), "whole number of pixels"),
        (MODEL.replace('labels = "/srv/labels.txt"', ""), "[models.themes] labels is missing"),
        (MODEL.replace("themes]", "total]"), "'total' cannot name a model"),
        (MODEL.replace("themes]", "a,b]"), "'a,b' cannot name a model"),
        (MODEL + 'labls = "x"\n', "[models.themes] labls is no setting; did you mean labels?"),
        (MODEL + "threshold = 0.5\n", "[models.themes] threshold is no setting; the settings are"),
        ("[global]\nthresh = 1\n", "thresh is no setting; the settings are admin_keys, "),
        (MODEL + "scale = 1/255\n", "write the number: scale = 0.00392156863"),
        (MODEL + "scale = 1/0\n", 'text is quoted, such as scale = "…"'),
        (MODEL + "scale = [0.1, 0.2, 0.3]\n", "put per-channel normalization into the graph"),
        (MODEL + 'dtype = "uint8"\nscale = 0.004\n', "[models.themes] scale = 0.004: leaves"),
        (MODEL + 'sha256 = "abc"\n', "[models.themes] sha256 = 'abc'"),
        (MODEL + 'url = "http://h/g.pb"\n', "dsapi.conf: [models.themes] url needs sha256: a"),
    ],
)
def test_a_wrong_file_is_refused_with_what_and_where(tmp_path: Path, text: str, told: str) -> None:
    config = write_config(tmp_path, text)
    with pytest.raises(StartupError) as caught:
        load_settings(config)
    assert told in str(caught.value)
    assert str(config) in str(caught.value)


def test_an_unquoted_name_of_a_module_is_no_literal_and_imports_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[global]\nengine = tensorflow\nhost = print('called')\n")
    script = f"""
import sys
from pathlib import Path
from dsapi.errors import StartupError
from dsapi.settings import load_settings
try:
    load_settings(Path({str(config)!r}))
except StartupError as error:
    print(error)
print("imported", "tensorflow" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "engine = tensorflow: is no Python literal; text is quoted" in done.stdout
    assert "host = print('called'): is no Python literal" in done.stdout
    assert done.stdout.endswith("imported False\n")
    assert "called\n" not in done.stdout.replace(str(config), "")


def test_who_speaks_to_a_running_service_reads_past_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(
        tmp_path,
        f"[global]\nport = 1234\nhost = localhost\npid_file = 'here.pid'\nprot = 1\n{MODEL}x = 1\n",
    )
    monkeypatch.setenv("DSAPI_QUEUE_SIZE", "0")
    settings, problems = read_settings(config)
    assert (settings.port, settings.host, settings.queue_size) == (1234, "127.0.0.1", 64)
    assert settings.pid_file == tmp_path / "here.pid"
    assert len(problems) == 4
    config.write_text("[global]\npid_file = here.pid\nport = 0\n", encoding="utf-8")
    with pytest.raises(StartupError, match=r"pid_file = here\.pid"):
        read_settings(config)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot read the configuration"):
        load_settings(tmp_path / "none.conf")


def test_all_wrong_values_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        load_settings(write_config(tmp_path, "[global]\nport = -1\nqueue_size = 0\n"))
    assert "port = -1" in str(caught.value)
    assert "queue_size = 0" in str(caught.value)
