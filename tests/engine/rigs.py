"""The same engine on two logs, behind one face: in memory (the test driver), and on a real Kafka in the test's thread.

A contract test is written once against ``Rig`` and runs on both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, Protocol, TypeVar, cast

from prometheus_client import CollectorRegistry

from app.metrics import Metrics
from app.runtime.clock import SystemClock
from app.runtime.codec import Codec
from app.runtime.dispatch import InlineDispatcher
from app.runtime.driver import Driver
from app.runtime.engine import Engine, EngineSettings
from app.runtime.failpoints import Failpoint, no_failpoint
from app.runtime.kafka_log import KafkaLog, KafkaSettings
from app.runtime.kafka_master import MasterReader
from app.runtime.log import Headers, Log, Message
from app.runtime.masters import MasterFeed
from app.runtime.state.restore import Restorer
from app.runtime.state.store import StoreResources
from app.runtime.state.table import Table
from app.runtime.topics import Topic
from tests.engine.tally import JsonCodec, Tally
from tests.engine.topics import Broker

V = TypeVar("V")

WITHIN_S = 30.0
PARTITIONS = 2
_POLL_S = 0.03


def until(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Polls ``holds`` until it is true; fails, saying ``what`` was waited for, when it takes longer than allowed."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(_POLL_S)


class Rig(Protocol):
    """One worker of the tally pipeline, and what surrounds it."""

    tally: Tally

    @property
    def engine(self) -> Engine: ...

    def publish_raw(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> None:
        """Append one message, and wait until it is there."""
        ...

    def run(self) -> None:
        """Work until nothing is left to do."""
        ...

    def advance(self, ms: int) -> None:
        """Let time pass for the engine."""
        ...

    def now_ms(self) -> int:
        """The time that the engine sees, ms since the epoch."""
        ...

    def messages(self, topic: str) -> Sequence[Message]:
        """All committed messages of a topic, partition by partition."""
        ...

    def stop(self) -> None:
        """Stop the worker in order; ``start`` brings it back on the same state directory."""
        ...

    def start(self) -> None: ...

    def close(self) -> None: ...


def sizes(tally: Tally, partitions: int = PARTITIONS) -> dict[str, int]:
    """The tally pipeline's topics, with their number of partitions."""
    return dict.fromkeys(tally.topic_names, partitions) | {tally.accounts.topic.name: 1}


def publish(
    rig: Rig, topic: Topic, record: Any, *, timestamp: int | None = None, headers: Headers | None = None
) -> None:
    value = JsonCodec().encoder(topic)(record)
    rig.publish_raw(topic.name, value, key=topic.key_of(record).encode(), timestamp=timestamp, headers=headers)


def records(rig: Rig, topic: Topic) -> list[Any]:
    """All committed records of a topic, in order per partition."""
    decode = JsonCodec().decoder(topic)
    return [decode(message.value() or b"").record for message in rig.messages(topic.name)]


def table(rig: Rig, of: Table[V]) -> dict[str, V]:
    """The rows that the worker's stores hold."""
    return {
        key.decode(): of.load(raw)
        for home in rig.engine.homes.values()
        for key, raw in home.store.column(of.name).scan(b"")
    }


def fold(rig: Rig, of: Table[V]) -> dict[str, V]:
    """The table as its changelog tells it."""
    last: dict[str, bytes | None] = {}
    for message in rig.messages(rig.tally.pipeline.changelog(of.name)):
        last[(message.key() or b"").decode()] = message.value()
    return {key: of.load(raw) for key, raw in last.items() if raw is not None}


class MemoryRig:
    """The test driver with the rig's face."""

    def __init__(self, tally: Tally, codec: Codec, **settings: int) -> None:
        self.tally = tally
        self._driver = Driver(tally.pipeline, codec=codec, **{"partitions": PARTITIONS, **settings})
        self.publish_raw = self._driver.publish_raw
        self.run = self._driver.run
        self.advance = self._driver.advance
        self.now_ms = self._driver.clock.now_ms
        self.messages = self._driver.messages
        self.stop = self._driver.stop
        self.start = self._driver.start
        self.close = self._driver.close

    @property
    def engine(self) -> Engine:
        return self._driver.engines[self.tally.pipeline.name]


class ShiftedClock:
    """The system's time, plus what a test has added."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._shift_ms = 0

    def now_ms(self) -> int:
        return self._system.now_ms() + self._shift_ms

    def monotonic(self) -> float:
        return self._system.monotonic() + self._shift_ms / 1000

    def advance(self, ms: int) -> None:
        self._shift_ms += ms


class KafkaRig:
    """A worker on a real Kafka, stepped by hand in the test's thread. Its topics are there already.

    ``wrap`` may put something between the engine and its log; ``kafka`` overrides fields of ``KafkaSettings``.
    """

    def __init__(
        self,
        broker: Broker,
        tally: Tally,
        codec: Codec,
        state_dir: Path,
        *,
        failpoint: Failpoint = no_failpoint,
        wrap: Callable[[Log], Log] = lambda log: log,
        kafka: dict[str, Any] | None = None,
        **settings: int,
    ) -> None:
        self.tally = tally
        self.broker = broker
        self.state_dir = state_dir
        self.metrics = Metrics(CollectorRegistry())
        self._codec = codec
        self._clock = ShiftedClock()
        self._settings: dict[str, Any] = {"partitions": PARTITIONS, "batch_wait_ms": 20, **settings}
        self._kafka = {"transactional_id": f"{tally.pipeline.name}-0", **(kafka or {})}
        self._failpoint = failpoint
        self._wrap = wrap
        self.start()

    def start(self) -> None:
        pipeline = self.tally.pipeline
        self._executor = ThreadPoolExecutor(2)
        self._dispatcher = InlineDispatcher(pipeline.agents)
        settings = KafkaSettings(client=self.broker.client, group=pipeline.name, **self._kafka)
        self.engine = Engine(
            pipeline,
            self._wrap(KafkaLog(settings, self._failpoint)),
            self._codec,
            self._dispatcher,
            Restorer(self._executor, self._clock, self.metrics, self._failpoint),
            StoreResources(8 << 20, 8 << 20),
            self._clock,
            self.metrics,
            EngineSettings(state_dir=self.state_dir, **self._settings),
            self._failpoint,
        )
        self._follow_masters()
        self._runs = True
        self.engine.start()

    def _follow_masters(self) -> None:
        """Messages cross over to the test's thread, where agents run."""
        self.tally.accounts.clear()
        self._feed = MasterFeed([self.tally.accounts], self._codec)
        self._feed.listeners.append(self.engine.arrived)
        self._arrived: SimpleQueue[Sequence[Any]] = SimpleQueue()
        self._complete = Event()
        self._failures: list[BaseException] = []
        self._reader = MasterReader(self.broker.client, [self.tally.accounts.topic.name])
        self._reader.start(self._arrived.put, self._complete.set, self._failures.append)

    def stop(self) -> None:
        if not self._runs:
            return
        self._runs = False
        self._reader.ask_to_stop()
        self.engine.close()
        self._dispatcher.close()
        self._executor.shutdown()

    def close(self) -> None:
        self.stop()

    def publish_raw(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> None:
        number = -1 if partition is None else partition
        producer = self.broker.producer
        producer.produce(topic, value, key, number, None, None, timestamp or 0, cast(Any, headers))
        assert producer.flush(WITHIN_S) == 0

    def step(self) -> bool:
        """Take in master data that came, then one round of the engine; the first waits until they are complete."""
        assert self._complete.wait(WITHIN_S)
        while not self._arrived.empty():
            self._feed.apply(self._arrived.get())
        return self.engine.step()

    def run(self) -> None:
        until(lambda: not self.step() and self._is_drained() and not self.step(), "all worked")

    def _is_drained(self) -> bool:
        master = (self.tally.accounts.topic.name, 0)
        ends = self.broker.ends([*self.engine.positions(), master])
        master_end = ends.pop(master)
        homes = list(self.engine.homes.values())
        return (
            bool(homes)
            and all(home.ready for home in homes)
            and self.engine.positions() == ends
            and self.tally.accounts.version == master_end
        )

    def advance(self, ms: int) -> None:
        self._clock.advance(ms)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def messages(self, topic: str) -> Sequence[Message]:
        return cast(Sequence[Message], self.broker.read_topic(topic))
