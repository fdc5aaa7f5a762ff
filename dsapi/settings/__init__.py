"""Settings: defined once, here; read from the config file, the environment and the command line.

Later sources win: ``dsapi.conf`` (CherryPy's format), then environment variables (``DSAPI_PORT``;
folders separated by ``:``, other lists by ``,``), then flags. Everything is validated before
anything starts.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dsapi.cores import count_cores
from dsapi.engines import Batching, EngineName, EngineOptions, Precision, Sharing
from dsapi.errors import StartupError
from dsapi.prediction.picture import Limits
from dsapi.prediction.spec import ModelSpec
from dsapi.settings.config_file import find_config, find_state_dir, read_config
from dsapi.settings.problems import check_variables, explain_problems
from dsapi.settings.values import (
    check_keys,
    check_model_names,
    check_networks,
    check_origins,
    check_rate_limit,
    check_rate_limit_storage,
    split_folders,
    split_words,
)

_ENV_PREFIX = "DSAPI_"
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_words)]
Keys = Annotated[Words, AfterValidator(check_keys)]
Networks = Annotated[Words, AfterValidator(check_networks)]
_MODEL_PATHS = ("graph", "labels", "golden")


class Settings(BaseSettings):
    """Every setting of the service: type, default, permitted range and meaning."""

    model_config = SettingsConfigDict(
        env_prefix=_ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0: every one"
    )
    port: int = Field(9000, ge=0, le=65535, description="Port to listen on; 0: any free one")
    image_roots: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(split_folders)] = Field(
        (), description="Folders whose pictures callers may name by path; none: that form is off"
    )
    max_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, description="Largest request body or picture file, in bytes"
    )
    max_pixels: int = Field(
        Limits.max_pixels, ge=1, description="Largest picture, width × height by its header"
    )
    working_side: int = Field(
        Limits.working_side,
        ge=0,
        description="Longest side in pixels that pictures are worked on at; 0: any",
    )
    request_timeout: float = Field(
        10.0, gt=0, le=3600, description="Seconds in which a request is answered, or refused"
    )
    socket_timeout: float = Field(
        10.0, gt=0, le=3600, description="Seconds that a connection may be silent"
    )
    shutdown_timeout: float = Field(
        30.0, ge=0, le=3600, description="Seconds that requests in flight may take at a stop"
    )
    http_threads: int = Field(
        32,
        ge=1,
        le=1024,
        description="Threads that read requests and write answers, beside one for each request "
        "that waits or is predicted",
    )
    max_connections: int = Field(
        4096, ge=16, description="Connections that may be idle; one more closes the longest idle"
    )
    processes: int = Field(
        1, ge=1, le=256, description="Processes that share the port, each with models of its own"
    )
    prediction_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads that predict, in each process; 0: as many as cores, or where "
        "openvino shares weights one more",
    )
    worker_stall_timeout: float = Field(
        60.0, gt=0, le=3600, description="Seconds on one picture after which a worker is replaced"
    )
    queue_size: int = Field(
        64, ge=1, le=4096, description="Requests that may wait for a worker; more get a 503"
    )
    engine: EngineName = Field(
        "tensorflow", description="What runs the graphs: tensorflow, or openvino (an extra)"
    )
    precision: Precision = Field(
        "f32",
        description="Arithmetic in which graphs run: f32; with openvino also bf16 and f16, which "
        "change results",
    )
    share_weights: Sharing = Field(
        "auto", description="Whether workers of openvino share weights: on, off, auto (from 3 on)"
    )
    batching: Batching = Field(
        "auto", description="Whether waiting pictures run as one batch: on, off, auto (on a GPU)"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe messages to log: DEBUG, INFO, WARNING, ERROR"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Form of the log lines: text, or json (one object a line)"
    )
    log_max_bytes: int = Field(
        0, ge=0, description="Size at which a daemon's log file is rotated; 0: logrotate does it"
    )
    log_backups: int = Field(
        5, ge=1, le=1000, description="Rotated log files that are kept, if log_max_bytes is set"
    )
    log_dir: Path = Field(
        Path("log"), description="Folder of the daemon's log files (made if missing)"
    )
    pid_file: Path = Field(Path("run/dsapi.pid"), description="The daemon's PID file")
    models: Annotated[Mapping[str, ModelSpec], NoDecode, AfterValidator(check_model_names)] = Field(
        {}, description="The models by name; in the file, one section [models.NAME] each"
    )

    api_keys: Keys = Field(
        (),
        description='Keys that callers must send, each as "NAME=HASH"; `dsapi key NAME` makes one. '
        "None, and no admin_keys: no key is needed",
    )
    admin_keys: Keys = Field(
        (),
        description="Keys, written as api_keys are, of callers who may also reload models and "
        "settings",
    )
    admin_loopback: bool = Field(
        True, description="Whether callers on the machine itself may reload without a key"
    )
    allowed_networks: Networks = Field(
        (), description='Networks that may ask, such as "10.0.0.0/8"; none: all'
    )
    trusted_proxies: Networks = Field(
        (), description="Networks of proxies whose X-Forwarded-For tells the caller's address"
    )
    rate_limit: Annotated[str, AfterValidator(check_rate_limit)] = Field(
        "", description='Requests per key or address, such as "20/second; 1000/hour"; empty: any'
    )
    rate_limit_storage: Annotated[str, AfterValidator(check_rate_limit_storage)] = Field(
        "memory://",
        description="Where requests are counted for rate_limit: memory:// (each process for "
        "itself), or redis://HOST:PORT",
    )
    cors_origins: Annotated[Words, AfterValidator(check_origins)] = Field(
        (), description='Origins whose pages may read answers, such as "https://example.org"'
    )

    # The file and the flags that these settings came from.
    _source: tuple[Path, Mapping[str, Any]] = PrivateAttr((Path(), {}))

    def reread(self) -> "Settings":
        """Read the same file, environment and flags again.

        Raises:
            StartupError: as `load_settings`.
        """
        config, flags = self._source
        return load_settings(config, **flags)

    @property
    def worker_count(self) -> int:
        """Threads that work on a picture each, in each process."""
        return self.engine_options.sessions

    @property
    def engine_options(self) -> EngineOptions:
        """How the engine is to run the graphs."""
        cores = -(-count_cores() // self.processes)
        workers = self.prediction_workers or cores
        options = EngineOptions(self.precision, self.batching, self.share_weights, sessions=workers)
        if self.prediction_workers or self.engine != "openvino" or not options.shares_weights:
            return options
        # OpenVINO computes in threads of its own then, unless there is one core only: at each
        # hand-over one would be idle without one more worker (docs/engines.md).
        return replace(options, sessions=cores + (cores > 1))

    @property
    def limits(self) -> Limits:
        """What a picture may cost."""
        return Limits(max_pixels=self.max_pixels, working_side=self.working_side)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, file."""
        init = dict(init_settings())
        config_file: dict[str, Any] = init.pop("_config", {})
        wrong: set[str] = init.pop("_without", set())
        return tuple(
            InitSettingsSource(settings_cls, {k: v for k, v in source.items() if k not in wrong})
            for source in (init, env_settings(), config_file)
        )


def load_settings(config: Path | None = None, **flags: Any) -> Settings:
    """Read and validate all settings.

    Args:
        config: the file to read; ``None``: ``$DSAPI_CONFIG``, else the one that is shipped.
        flags: settings from the command line; ``None`` values are left out.

    Raises:
        StartupError: the file cannot be read, or a key or value in any source is wrong. The
            message names all of them.
    """
    settings, problems = read_settings(config, **flags)
    if problems:
        raise StartupError("\n".join(problems))
    return settings


def read_settings(config: Path | None, **flags: Any) -> tuple[Settings, list[str]]:
    """Read all settings; wrong ones get their defaults, and what is wrong is returned.

    For commands that talk to a running service: they must work even if the file has been broken
    since it started.

    Raises:
        StartupError: the file cannot be read, an environment variable is misspelt, or a flag or
            pid_file is wrong: a default would stand for another service.
    """
    path = (config or find_config()).absolute()
    given = {name: value for name, value in flags.items() if value is not None}
    check_variables((*Settings.model_fields, "config"), prefix=_ENV_PREFIX)
    sources = {"_config": read_config(path), **given}
    problems: list[str] = []
    try:
        settings = Settings(**sources)
    except ValidationError as error:
        problems = explain_problems(
            error,
            config=path,
            flags=given,
            prefix=_ENV_PREFIX,
            known=Settings.model_fields,
            known_of_models=ModelSpec.model_fields,
        )
        wrong = {str(problem["loc"][0]) for problem in error.errors()}
        if wrong & {"pid_file", *given}:
            raise StartupError("\n".join(problems)) from error
        settings = Settings(**sources, _without=wrong)  # type: ignore[call-arg]
    anchored = _anchored(settings, path.parent, find_state_dir(path))
    anchored._source = (path, given)
    return anchored, problems


def _anchored(settings: Settings, folder: Path, state_dir: Path) -> Settings:
    """Make relative paths absolute."""
    models = {
        name: spec.model_copy(
            update={
                field: folder / path
                for field in _MODEL_PATHS
                if (path := getattr(spec, field)) is not None
            }
        )
        for name, spec in settings.models.items()
    }
    return settings.model_copy(
        update={
            "image_roots": tuple((folder / root).resolve() for root in settings.image_roots),
            "models": models,
            "log_dir": state_dir / settings.log_dir,
            "pid_file": state_dir / settings.pid_file,
        }
    )
