"""What the parts of a service get of the settings."""

from pathlib import Path

import pytest

from dsapi.engines.batching import BatchingGraph
from dsapi.errors import StartupError
from dsapi.process.service import build_service, load_models
from dsapi.settings import load_settings


@pytest.mark.parametrize("batching", ["on", "off"])
def test_models_are_loaded_as_the_engine_is_configured(tiny_config: Path, batching: str) -> None:
    models = load_models(load_settings(tiny_config, batching=batching))
    batched = {isinstance(model.graph, BatchingGraph) for model in models.values()}
    assert batched == {batching == "on"}


def test_without_a_model_there_is_nothing_to_serve(tmp_path: Path) -> None:
    config = tmp_path / "dsapi.conf"
    config.write_text("[global]\nport = 0\n", encoding="utf-8")
    with pytest.raises(StartupError, match=r"no model is configured; add a section \[models"):
        load_models(load_settings(config))


def test_the_queue_is_as_long_as_configured(tiny_config: Path) -> None:
    service = build_service(load_settings(tiny_config, queue_size=3, prediction_workers=2))
    assert (service.workers.queue_size, service.workers.count) == (3, 2)


def test_of_several_wrong_models_each_is_named(tiny_config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "dsapi.conf"  # where neither has its graph and labels
    elsewhere.write_text(tiny_config.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(StartupError) as refused:
        load_models(load_settings(elsewhere))
    told = str(refused.value).splitlines()
    assert [line.split("]")[0] for line in told] == ["[models.themes", "[models.colors"]


@pytest.mark.parametrize(("stop_s", "requests_s"), [(10.0, 9.0), (1.0, 0.5)])
def test_of_a_stop_there_is_time_left_to_hang_up(
    tiny_config: Path, stop_s: float, requests_s: float
) -> None:
    settings = load_settings(tiny_config, shutdown_timeout=stop_s)
    assert build_service(settings).http_server.shutdown_timeout == requests_s
