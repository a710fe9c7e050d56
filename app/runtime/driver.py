"""History in, events out: the real engine on a log in memory, for tests of agents; yours, too.

    driver = Driver(pipeline, codec=codec)
    driver.publish(topics.usage, usage)
    driver.run()
    assert driver.records(topics.postings) == [...]

Deterministic: one thread, a clock that stands still until advanced, tables in a temporary RocksDB.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from app.metrics import Metrics
from app.runtime.clock import ManualClock
from app.runtime.codec import Codec
from app.runtime.dispatch import InlineDispatcher
from app.runtime.engine import Engine, EngineSettings
from app.runtime.failpoints import no_failpoint
from app.runtime.log import Headers, Outgoing, Recorded
from app.runtime.masters import MasterFeed
from app.runtime.memory_log import MemoryBroker, MemoryLog
from app.runtime.pipeline import Pipeline
from app.runtime.state.restore import Restorer
from app.runtime.state.store import StoreResources
from app.runtime.state.table import Table
from app.runtime.topics import Topic

V = TypeVar("V")
_ROUNDS = 10_000


class _InlineExecutor(Executor):
    """Runs what is submitted at once, in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 it is the future's to raise
            future.set_exception(error)
        return future


class Driver:
    """Runs ``pipelines`` on one broker in memory. ``partitions``: of every topic but the master ones.

    Use it as a context manager, or call ``close``; ``park_max_age_ms`` is how long an event may stay parked.
    """

    def __init__(
        self,
        *pipelines: Pipeline,
        codec: Codec,
        partitions: int = 1,
        park_max_age_ms: int = 900_000,
        max_failures: int = 100,
        batch_max_events: int = 10_000,
    ) -> None:
        self.clock = ManualClock()
        self._directory = tempfile.TemporaryDirectory(prefix="wardstock-driver-")
        self._codec = codec
        masters = {table.topic.name: table for pipeline in pipelines for table in pipeline.masters}
        for table in masters.values():
            table.clear()
        self.feed = MasterFeed(list(masters.values()), codec)
        self.broker = MemoryBroker(self.clock, partitions, dict.fromkeys(masters, 1))
        self._metrics = Metrics(CollectorRegistry())
        self._settings = {
            "partitions": partitions,
            "park_max_age_ms": park_max_age_ms,
            "max_failures": max_failures,
            "batch_max_events": batch_max_events,
        }
        self._pipelines = pipelines
        self.start()

    def start(self) -> None:
        """Start the workers; done by the constructor, and needed again only after ``stop``."""
        self._dispatchers = {pipeline.name: InlineDispatcher(pipeline.agents) for pipeline in self._pipelines}
        self.engines = {pipeline.name: self._engine(pipeline) for pipeline in self._pipelines}
        self.feed.listeners[:] = [engine.arrived for engine in self.engines.values()]
        for engine in self.engines.values():
            engine.start()

    def _engine(self, pipeline: Pipeline) -> Engine:
        return Engine(
            pipeline,
            MemoryLog(self.broker, f"driver-{pipeline.name}"),
            self._codec,
            self._dispatchers[pipeline.name],
            Restorer(_InlineExecutor(), self.clock, self._metrics, no_failpoint),
            StoreResources(8 << 20, 8 << 20),
            self.clock,
            self._metrics,
            EngineSettings(state_dir=Path(self._directory.name) / pipeline.name, **self._settings),
            no_failpoint,
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stop()
        self._directory.cleanup()

    def stop(self) -> None:
        """Stop the workers in order; log and state directory stay."""
        for engine in self.engines.values():
            engine.close()
        for dispatcher in self._dispatchers.values():
            dispatcher.close()

    def restart(self) -> None:
        """Stop the workers and start them anew on the same log and the same state directory."""
        self.stop()
        self.start()

    def publish(self, topic: Topic, record: Any, *, timestamp: int | None = None, key: str | None = None) -> None:
        """Append one record; under its own key unless ``key`` is given. ``timestamp`` in ms; now if left out."""
        value = self._codec.encoder(topic)(record)
        self.publish_raw(topic.name, value, key=(key or topic.key_of(record)).encode(), timestamp=timestamp)

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
        message = self.broker.append(Outgoing(topic, key, value, headers, partition, timestamp))
        if topic in self.feed.tables:
            self.feed.apply([message])

    def run(self) -> None:
        """Step all pipelines until none has anything left to do. Raises what an engine raises."""
        for _ in range(_ROUNDS):
            worked = [engine.step() for engine in self.engines.values()]
            if not any(worked) and self._idle():
                return
        raise RuntimeError(f"not drained after {_ROUNDS} rounds: do agents feed each other without end?")

    def _idle(self) -> bool:
        return not any(any(engine.lag().values()) for engine in self.engines.values())

    def advance(self, ms: int) -> None:
        """Let time pass; ``run`` then finds what is due."""
        self.clock.advance(ms)

    def messages(self, topic: Topic | str) -> list[Recorded]:
        return self.broker.read_all(topic if isinstance(topic, str) else topic.name)

    def records(self, topic: Topic) -> list[Any]:
        """All decoded records of a topic, in order per partition."""
        decode = self._codec.decoder(topic)
        return [decode(message.value() or b"").record for message in self.messages(topic)]

    def table(self, table: Table[V]) -> dict[str, V]:
        """The committed content of a table, over all partitions."""
        return dict(row for engine in self.engines.values() for row in _rows(engine, table))


def _rows(engine: Engine, table: Table[V]) -> Iterator[tuple[str, V]]:
    for home in engine.homes.values():
        if table.name in home.views:
            yield from home.views[table.name].scan("")


@contextmanager
def driven(*pipelines: Pipeline, codec: Codec, history: Sequence[tuple[Topic, Any]]) -> Iterator[Driver]:
    """A driver that has already worked ``history``: (topic, record) in the order published."""
    with Driver(*pipelines, codec=codec) as driver:
        for topic, record in history:
            driver.publish(topic, record)
        driver.run()
        yield driver
