"""Apache Kafka: one KRaft node that is broker and controller, sized for a laptop."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from app.embedded import java
from app.embedded.state import LOOPBACK, Ports
from app.errors import Fault

PROGRAM = "kafka"
SETTINGS = "server.properties"
FORMAT_TIMEOUT_S = 60
_MEGABYTE = 1024 * 1024
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
_HEAP = ("-Xms128m", "-Xmx512m")


def properties(data: Path, ports: Ports) -> dict[str, str | int]:
    """server.properties: a broker as it comes, but for what one node and a laptop ask for."""
    return {
        **_listeners(ports),
        "node.id": 1,
        "process.roles": "broker,controller",
        "log.dirs": str(data),
        # One node: no second copy of anything.
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Few internal partitions: each one is loaded before the first group or transaction goes.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 4,
        # Somebody waits at the keyboard: no pause before the first rebalance, dead transactions seen within 2 s.
        "group.initial.rebalance.delay.ms": 0,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 2000,
        "auto.create.topics.enable": "false",
        # Test and demo events carry the times of what they tell, long past or ahead; records of topics that say
        # nothing about retention stay.
        "log.message.timestamp.before.max.ms": 2**63 - 1,
        "log.message.timestamp.after.max.ms": 2**63 - 1,
        "log.retention.ms": -1,
        # Small files and buffers: a heap of 512 MB, and disks that are not only ours.
        "log.segment.bytes": 64 * _MEGABYTE,
        "log.index.size.max.bytes": _MEGABYTE,
        "log.cleaner.dedupe.buffer.size": 16 * _MEGABYTE,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }


def _listeners(ports: Ports) -> dict[str, str | int]:
    broker, controller = f"PLAINTEXT://{LOOPBACK}:{ports.kafka}", f"CONTROLLER://{LOOPBACK}:{ports.controller}"
    return {
        "listeners": f"{broker},{controller}",
        "advertised.listeners": broker,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        # Static voters: the controller may come back on another port, which a voter set on disk would forbid.
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.controller}",
    }


def prepare(directory: Path, ports: Ports, jars: Sequence[Path]) -> list[str]:
    """Writes the settings, formats the storage where it is new, and returns the command that runs the broker.

    Blocks for about a second where storage is new. Raises :class:`Fault` where formatting fails.
    """
    data, settings = directory / "kafka", directory / SETTINGS
    lines = (f"{name}={value}\n" for name, value in properties(data, ports).items())
    settings.write_text("".join(lines), encoding="utf-8")
    if not (data / "meta.properties").exists():
        _format(directory, settings, jars)
    options = (*_HEAP, *_LOGGING, *java.classpath(jars))
    return java.command(PROGRAM, directory, options, ("kafka.Kafka", str(settings)))


def _format(directory: Path, settings: Path, jars: Sequence[Path]) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    target = ("kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(settings))
    options = ("-XX:TieredStopAtLevel=1", "-Xmx256m", *java.classpath(jars))
    done = subprocess.run(
        java.command("kafka-format", directory, options, target),
        env=java.ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FORMAT_TIMEOUT_S,
        start_new_session=True,  # a group of its own, by which it can be ended like the others
        check=False,
    )
    if done.returncode != 0:
        raise Fault(f"Kafka could not format {directory / 'kafka'}: {(done.stderr or done.stdout).strip()[-1000:]}")


def is_ready(bootstrap_servers: str, timeout_s: float) -> bool:
    """Whether the broker answers metadata requests and its transaction coordinator takes a producer.

    Blocks for at most ``timeout_s`` or so. Leaves nothing behind but the two internal topics.
    """
    client: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    try:
        AdminClient(client).list_topics(timeout=timeout_s)
        Producer({**client, "transactional.id": "wardstock-readiness"}).init_transactions(timeout_s)
    except KafkaException:
        return False
    return True
