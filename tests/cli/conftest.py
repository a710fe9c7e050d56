"""Commands run in this process, against the session's cluster, on topics and groups of the test's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

import app.cli.declared
from agents import topics
from app.cli import main
from app.config import Settings
from app.contracts import schemas
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import HttpRegistry
from app.contracts.schemas import schema_text
from app.embedded import Addresses
from app.kafka_admin import Cluster, spec_of
from app.runtime.partitioner import PARTITIONER
from app.runtime.topics import Topic


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Said]
Send = Callable[..., None]


@pytest.fixture
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No WARDSTOCK_ variable and no wardstock.toml from the machine that the tests run on."""
    for name in [name for name in os.environ if name.startswith("WARDSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], no_settings_around: None) -> Run:  # noqa: ARG001 wanted for its effect
    """``run("topics", "list")`` runs a command as the shell would, and tells what it said."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def settings(
    cluster: Addresses,
    unique: str,
    no_settings_around: None,  # noqa: ARG001 wanted for its effect
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Settings:
    """Settings that lead to the session's cluster, by the environment, so that commands find them, too."""
    values = {
        "bootstrap_servers": cluster.bootstrap_servers,
        "registry_url": cluster.registry_url,
        "app_id": unique,
        "state_dir": str(tmp_path / "state"),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"WARDSTOCK_{name.upper()}", value)
    return Settings.load()


@pytest.fixture
def kafka(settings: Settings) -> Cluster:
    return Cluster(settings)


@pytest.fixture
def send(settings: Settings) -> Send:
    """``send(topic, (key, value), …)`` publishes and waits until the broker has it all."""

    def send(topic: str, *records: tuple[bytes | None, bytes | None], **options: Any) -> None:
        producer = Producer({**settings.client_config(), "partitioner": PARTITIONER})
        for key, value in records:
            producer.produce(topic, value, key, **options)
        assert producer.flush(10) == 0

    return send


@dataclass(frozen=True, slots=True)
class OwnTopics:
    """Declared topics under names of the test's own, made on the cluster, their schemas registered."""

    usage: Topic
    exceptions: Topic
    dead_letters: Topic
    codec: AvroCodec


@pytest.fixture
def own_topics(
    kafka: Cluster, settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[OwnTopics]:
    declared = {name: getattr(topics, name) for name in ("usage", "exceptions", "dead_letters")}
    own = {name: replace(topic, name=f"{unique}.{topic.name}") for name, topic in declared.items()}
    for name, topic in own.items():
        (tmp_path / "schemas" / topic.name).mkdir(parents=True)
        file = f"{topic.record.__name__}.avsc"
        (tmp_path / "schemas" / topic.name / file).write_text(schema_text(declared[name]))
        monkeypatch.setattr(topics, name, topic)
    monkeypatch.setattr(topics, "ALL", tuple(own.values()))
    monkeypatch.setattr(schemas, "_directory", lambda: tmp_path / "schemas")
    monkeypatch.setattr(app.cli.declared, "pipelines", dict)
    kafka.create([spec_of(topic, settings) for topic in own.values()])
    with HttpRegistry.of(settings) as registry:
        register_all(registry, own.values())
        yield OwnTopics(**own, codec=AvroCodec(registry, own.values()))
