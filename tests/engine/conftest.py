"""Rigs for the engine's tests: the test driver, and the same engine on the session's Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from app.embedded import Addresses
from tests.engine.rigs import KafkaRig, MemoryRig, Rig, sizes
from tests.engine.tally import JsonCodec, tally
from tests.engine.topics import Broker


class MakeRig(Protocol):
    """Builds a rig; further keyword arguments are fields of ``EngineSettings``. Closed with the test."""

    def __call__(self, timer_every_s: float | None = None, **settings: int) -> Rig: ...


class MakeKafkaRig(Protocol):
    """Builds a rig on Kafka; keyword arguments are those of ``KafkaRig``. Closed with the test."""

    def __call__(self, **arguments: Any) -> KafkaRig: ...


@pytest.fixture(scope="session")
def broker(cluster: Addresses) -> Broker:
    return Broker(cluster.bootstrap_servers)


@pytest.fixture
def kafka_rig(request: pytest.FixtureRequest, tmp_path: Path, unique: str) -> Iterator[MakeKafkaRig]:
    with ExitStack() as opened:
        broker: Broker = request.getfixturevalue("broker")
        topics = sizes(tally(unique))
        broker.create(topics)
        opened.callback(broker.delete, topics)

        def make(timer_every_s: float | None = None, **arguments: Any) -> KafkaRig:
            codec = arguments.pop("codec", JsonCodec())
            rig = KafkaRig(broker, tally(unique, timer_every_s), codec, tmp_path / "state", **arguments)
            opened.callback(rig.close)
            return rig

        yield make


@pytest.fixture
def memory_rig(unique: str) -> Iterator[MakeRig]:
    with ExitStack() as opened:

        def make(timer_every_s: float | None = None, **settings: int) -> MemoryRig:
            rig = MemoryRig(tally(unique, timer_every_s), JsonCodec(), **settings)
            opened.callback(rig.close)
            return rig

        yield make


@pytest.fixture(params=["memory", "kafka"])
def make_rig(request: pytest.FixtureRequest) -> MakeRig:
    """The contract: whatever uses this must hold in memory and on Kafka."""
    make: MakeRig = request.getfixturevalue(f"{request.param}_rig")
    return make


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()
