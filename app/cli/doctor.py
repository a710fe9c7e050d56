"""``wardstock doctor``: what could keep this installation from working, and what to do about each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.declared import declared
from app.cli.output import ExitCode, JsonOption, emit, settings_of, table_of
from app.errors import Fault

if TYPE_CHECKING:
    from app.config import Settings
    from app.contracts.evolution import Checked
    from app.kafka_admin import Cluster

_LIBRARIES = ("wardstock", "confluent-kafka", "fastavro", "rocksdict", "faust-streaming", "orjson", "pydantic-settings")
_FREE_BYTES = 1 << 30
_FREE_SHARE = 0.15
_PROTOCOLS = "group.coordinator.rebalance.protocols"


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and what to do where it is not right."""

    name: str
    verdict: Verdict
    found: str
    way_out: str | None = None


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock doctor --json")(doctor)


def doctor(ctx: typer.Context, json: JsonOption = False) -> None:
    """Check settings, Kafka, topics, registry, schemas, disk and versions; say what to do. Exit code 1 on a failure."""
    checks = list(examine(settings_of(ctx)))
    rows = [(check.verdict, check.name, check.found, check.way_out) for check in checks]
    emit(checks, json=json, table=lambda: table_of(("", "check", "found", "what to do"), rows))
    if any(check.verdict is Verdict.FAIL for check in checks):
        raise typer.Exit(ExitCode.FOUND)


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, one after the other; what depends on something that failed is left out. Blocks on the network."""
    yield _check_variables()
    yield from _checks_of_kafka(settings)
    yield from _checks_of_registry(settings)
    yield _check_writable(settings.state_dir)
    yield _check_space(settings.state_dir)
    yield _check_versions()


def _check_variables() -> Check:
    from app.config import unknown_variables

    unknown = unknown_variables()
    if not unknown:
        return Check("settings", Verdict.OK, "every WARDSTOCK_ variable is a setting")
    way_out = "correct the name (`wardstock config show` prints all), or unset it"
    return Check("settings", Verdict.WARN, f"no such setting: {', '.join(unknown)}", way_out)


def _checks_of_kafka(settings: Settings) -> Iterator[Check]:
    from confluent_kafka import KafkaException

    from app.kafka_admin import Cluster

    try:
        cluster = Cluster(settings)
        yield _check_broker(cluster)
        yield from _checks_of_limits(cluster.broker_config(), settings)
        yield _check_topics(cluster, settings)
    except Fault as fault:
        yield Check("kafka", Verdict.FAIL, fault.message, fault.way_out)
    except KafkaException as refused:
        yield Check("kafka", Verdict.FAIL, refused.args[0].str(), "may this user describe the cluster and its topics?")


def _check_broker(cluster: Cluster) -> Check:
    about = cluster.describe()
    return Check(
        "kafka", Verdict.OK, f"{len(about.nodes)} broker(s) of cluster {about.cluster_id} at {cluster.address}"
    )


def _checks_of_limits(broker: dict[str, str], settings: Settings) -> Iterator[Check]:
    """Kafka tells no version of its own; what it offers is what matters."""
    protocols = broker.get(_PROTOCOLS, "classic").split(",")
    generation = "4.0 or newer" if _PROTOCOLS in broker else "older than 4.0"
    yield _verdict(
        settings.group_protocol in protocols,
        Check("kafka version", Verdict.OK, f"{generation}; group protocols: {', '.join(protocols)}"),
        "set WARDSTOCK_GROUP_PROTOCOL=classic, or use a broker that offers the other",
    )
    least = int(broker.get("group.min.session.timeout.ms", 0))
    yield _verdict(
        settings.group_protocol != "classic" or settings.session_timeout_ms >= least,
        Check("session timeout", Verdict.OK, f"{settings.session_timeout_ms} ms; the broker asks for at least {least}"),
        f"set WARDSTOCK_SESSION_TIMEOUT_MS to {least} or more",
    )
    most = int(broker.get("transaction.max.timeout.ms", settings.transaction_timeout_ms))
    yield _verdict(
        settings.transaction_timeout_ms <= most,
        Check("transaction timeout", Verdict.OK, f"{settings.transaction_timeout_ms} ms; the broker allows {most}"),
        f"set WARDSTOCK_TRANSACTION_TIMEOUT_MS to {most} or less",
    )


def _check_topics(cluster: Cluster, settings: Settings) -> Check:
    specs = declared(settings)
    found = cluster.compare(specs)
    if not found:
        return Check("topics", Verdict.OK, f"all {len(specs)} are there and as declared")
    missing = [difference.topic for difference in found if difference.what == "topic"]
    if missing:
        told = f"{len(missing)} of {len(specs)} are missing: {_some(missing)}"
        return Check("topics", Verdict.FAIL, told, "make them: `wardstock topics create`")
    way_out = "`wardstock topics create --dry-run` tells all; settings can be altered, partitions are fixed for life"
    return Check("topics", Verdict.FAIL, _some([str(difference) for difference in found]), way_out)


def _checks_of_registry(settings: Settings) -> Iterator[Check]:
    from agents import topics
    from app.contracts.evolution import check_all
    from app.contracts.registry import HttpRegistry
    from app.runtime.errors import RegistryUnavailable

    try:
        with HttpRegistry.of(settings) as registry:
            found = check_all(registry, topics.ALL)
    except Fault as fault:
        yield Check("registry", Verdict.FAIL, fault.message, fault.way_out)
    except RegistryUnavailable as error:
        yield Check("registry", Verdict.FAIL, str(error), "check WARDSTOCK_REGISTRY_URL and WARDSTOCK_REGISTRY_AUTH")
    else:
        yield Check("registry", Verdict.OK, "answers")
        yield _check_schemas(found)


def _check_schemas(found: tuple[Checked, ...]) -> Check:
    objections = [str(why) for one in found for why in one.objections]
    if objections:
        way_out = "older records could not be read: change the schema, see `wardstock schemas check`"
        return Check("schemas", Verdict.FAIL, _some(objections), way_out)
    unregistered = [one.subject for one in found if one.standing != "REGISTERED"]
    if unregistered:
        told = f"{len(unregistered)} of {len(found)} are not registered: {_some(unregistered)}"
        return Check("schemas", Verdict.FAIL, told, "register them: `wardstock schemas register`")
    return Check("schemas", Verdict.OK, f"all {len(found)} are registered and compatible")


def _check_writable(state_dir: Path) -> Check:
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state_dir):
            return Check("state directory", Verdict.OK, f"{state_dir.resolve()} can be written")
    except OSError as error:
        way_out = "set WARDSTOCK_STATE_DIR to a directory that this user may write"
        return Check("state directory", Verdict.FAIL, f"{state_dir}: {error.strerror}", way_out)


def _check_space(state_dir: Path) -> Check:
    place = next((path for path in (state_dir, *state_dir.resolve().parents) if path.exists()), Path("/"))
    disk = shutil.disk_usage(place)
    told = f"{disk.free / (1 << 30):.1f} GiB free of {disk.total / (1 << 30):.1f} GiB"
    way_out = "free some: tables are rebuilt from Kafka where the disk fills up, and workers stop until then"
    if disk.free < _FREE_BYTES:
        return Check("disk", Verdict.FAIL, told, way_out)
    verdict = Verdict.OK if disk.free >= disk.total * _FREE_SHARE else Verdict.WARN
    return Check("disk", verdict, told, None if verdict is Verdict.OK else way_out)


def _check_versions() -> Check:
    import platform
    from importlib.metadata import version

    from confluent_kafka import libversion

    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    told = ", ".join([f"Python {platform.python_version()}", *libraries, f"librdkafka {libversion()[0]}"])
    return Check("versions", Verdict.OK, told)


def _verdict(holds: bool, check: Check, way_out: str) -> Check:
    return check if holds else Check(check.name, Verdict.FAIL, check.found, way_out)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
