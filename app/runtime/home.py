"""What a worker keeps of one partition of a pipeline: its store, its tables' views, its ids, its parked events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from app.runtime.agents import Agent
from app.runtime.dedup import COLUMN_PREFIX, Dedup, unpack_segment
from app.runtime.log import Message, TopicPartition
from app.runtime.parking import PARKED, Parking
from app.runtime.pipeline import Pipeline
from app.runtime.state.store import Store, StoreBatch, StoreResources
from app.runtime.state.table import TableView, Undo

Rows = list[tuple[bytes, bytes | None]]
Changes = dict[TopicPartition, list[tuple[bytes | None, bytes | None]]]


class Home:
    """Opens the partition's store; ``ready`` once its changelogs are restored and ``open_views`` was called.

    Raises ``StoreLocked``.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        partition: int,
        directory: Path,
        resources: StoreResources,
        horizon_ms: int,
        journal: list[Undo],
    ) -> None:
        self.pipeline = pipeline
        self.partition = partition
        self.ready = False
        self._journal = journal
        self.store = Store(directory, [table.name for table in pipeline.tables], resources)
        self._horizon_ms = horizon_ms
        self._changelogs = {TopicPartition(name, partition): name for name in pipeline.changelogs}
        self._table_of = {pipeline.changelog(table.name): table.name for table in pipeline.tables}

    def changelog_offsets(self) -> dict[TopicPartition, int | None]:
        """Where each changelog is to be read from; None: from the beginning."""
        return {tp: self.store.offset(name) for tp, name in self._changelogs.items()}

    def absorb(self, messages: Iterable[Message]) -> None:
        """Write a chunk of changelog records to the store, with the offsets it reaches. Replay-safe."""
        batch = self.store.batch()
        for name, records in _by_topic(messages).items():
            table = self._table_of.get(name)
            if table is None:
                self._absorb_segments(batch, records)
            else:
                batch.put_all(table, [(record.key() or b"", record.value()) for record in records])
            batch.reach(name, (records[-1].offset() or 0) + 1)
        batch.write()

    def _absorb_segments(self, batch: StoreBatch, records: Iterable[Message]) -> None:
        for record in records:
            segment = record.value()
            if segment is not None:
                bucket, rows = unpack_segment(segment)
                self.store.add_column(f"{COLUMN_PREFIX}{bucket}")
                batch.put_all(f"{COLUMN_PREFIX}{bucket}", rows)

    def open_views(self, now_ms: int) -> None:
        """The store is up to date: tables, ids and parked events can be read."""
        self.dedup = Dedup(self.store, self._horizon_ms)
        self.dedup.rotate(now_ms)
        self.views: dict[str, TableView[Any]] = {
            table.name: table.view(self.store.column(table.name), self._journal) for table in self.pipeline.tables
        }
        self.parking = Parking(self.views[PARKED])
        self.ready = True

    def bind(self, agent: Agent) -> None:
        for table in agent.owns:
            table.bind(self.views[table.name])

    def changes(self, now_ms: int) -> Changes:
        """What this transaction changed, as changelog records: each changed key once, and one segment of ids."""
        changed: Changes = {}
        for name, view in self.views.items():
            if view.overlay:
                changed[TopicPartition(self.pipeline.changelog(name), self.partition)] = list(view.dumped())
        if self.dedup.fresh:
            segment = TopicPartition(self.pipeline.dedup_changelog, self.partition)
            changed[segment] = [(None, packed) for packed in self.dedup.segments(now_ms)]
        return changed

    def settle(self, changes: Changes, reached: Mapping[TopicPartition, int], now_ms: int) -> None:
        """The transaction of ``now_ms`` is committed: write it to RocksDB in one batch. Blocks for the disk."""
        batch = self.store.batch()
        for tp, records in changes.items():
            table = self._table_of.get(tp.topic)
            if table is None:
                self.dedup.write(batch, now_ms)
            else:
                batch.put_all(table, cast(Rows, records))
            batch.reach(tp.topic, reached[tp])
        batch.write()
        self.parking.settle()
        self.dedup.settle()
        for view in self.views.values():
            view.settle()

    def drop(self) -> None:
        """Forget all that was not committed."""
        for view in self.views.values():
            view.drop()
        self.dedup.drop()
        self.parking.drop()

    def close(self) -> None:
        """Releases the store's lock."""
        self.ready = False
        for table in self.pipeline.tables:
            table.bind(None)
        self.store.close()


def _by_topic(messages: Iterable[Message]) -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(message.topic() or "", []).append(message)
    return found
