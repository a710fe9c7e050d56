"""Reads topics from their first to their last committed record, as they were when the reading began."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.errors import Conflict, Unreachable
from app.reconcile.history import Message, Place

_ANSWER_S: Final = 15.0  # metadata and offsets of a healthy cluster come in milliseconds
_STALLED_S: Final = 60.0  # longer than any transaction may stay open
_CHUNK: Final = 10_000
_READER: Final = {
    "group.id": "wardstock-reconcile",  # named only: nothing is committed and no group is joined
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "fetch.message.max.bytes": 8 * 1024 * 1024,
    "queued.min.messages": 200_000,
}

Progress = Callable[[int, int], None]  # offsets done, offsets in all
Part = tuple[str, int]  # topic without the prefix, partition


class Extent(NamedTuple):
    """The offsets of one partition: the first that is there, and the one after the last."""

    low: int
    end: int


class Reader:
    """The topics of one cluster, each with ``prefix`` before its name, up to the ends they have at construction.

    Blocks on the network. Raises ``Unreachable`` where the cluster does not answer, ``Conflict`` where a topic of
    ``required`` is missing; a missing topic of ``optional`` is read as empty.
    """

    def __init__(
        self, client_config: Mapping[str, Any], required: Iterable[str], optional: Iterable[str], prefix: str = ""
    ) -> None:
        self._config = dict(client_config)
        self._prefix = prefix
        # An AdminClient that is not referenced any more never completes its futures.
        self._admin = AdminClient(self._config)
        self.extents = self._extents(required, optional)
        self.first_timestamp: dict[Part, int] = {}
        self._done = 0

    def read(self, topics: Iterable[str], take: Callable[[Message], None], on_progress: Progress | None = None) -> None:
        """Every committed message of ``topics`` to ``take``, in the order of each partition."""
        wanted = set(topics)
        ends = {part: extent.end for part, extent in self.extents.items() if part[0] in wanted and _filled(extent)}
        total = sum(extent.end - extent.low for extent in self.extents.values())
        for part, done, messages in self._chunks(ends):
            for message in messages:
                self.first_timestamp.setdefault(part, message.timestamp)
                take(message)
            self._done += done
            if on_progress:
                on_progress(self._done, total)

    def kept_since(self) -> dict[str, int]:
        """Of each topic that lost records to retention, a time since when all are there (ms); ask after reading."""
        cut: dict[str, int] = {}
        for part, extent in self.extents.items():
            if extent.low > 0:
                cut[part[0]] = max(cut.get(part[0], 0), self.first_timestamp.get(part, sys.maxsize))
        return cut

    def _extents(self, required: Iterable[str], optional: Iterable[str]) -> dict[Part, Extent]:
        with _reaching(self._config):
            there = self._admin.list_topics(timeout=_ANSWER_S).topics
        required = tuple(required)
        missing = [name for name in required if self._prefix + name not in there]
        if missing:
            raise Conflict(f"no such topic: {', '.join(missing)}", "`wardstock topics create` makes every topic")
        names = [name for name in (*required, *optional) if self._prefix + name in there]
        parts = [(name, partition) for name in names for partition in there[self._prefix + name].partitions]
        lows, ends = self._offsets(parts, OffsetSpec.earliest()), self._offsets(parts, OffsetSpec.latest())
        return {part: Extent(lows[part], ends[part]) for part in parts}

    def _offsets(self, parts: list[Part], spec: OffsetSpec) -> dict[Part, int]:
        # The high watermark: the last stable offset may trail a commit that was already acknowledged.
        asked = {self._partition(part): spec for part in parts}
        with _reaching(self._config):
            futures = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_S
            )
            return {self._part(asked): future.result().offset for asked, future in futures.items()}

    def _chunks(self, ends: dict[Part, int]) -> Iterator[tuple[Part, int, list[Message]]]:
        """Batches of one partition each, with the offsets they cover. A partition ends by its end-of-partition event
        alone: markers and compaction leave gaps, so no count and no last message says that all was read."""
        at = {part: self.extents[part].low for part in ends}
        with self._consumer(ends) as consumer:
            heard = time.monotonic()
            while at:
                polled = consumer.consume(_CHUNK, timeout=0.5)
                heard = _alive(polled, heard, at)
                for part, messages, reached in self._sorted(polled):
                    if part not in at:
                        continue
                    yield part, min(reached, ends[part]) - at[part], _up_to(messages, ends[part])
                    at[part] = min(reached, ends[part])
                    if reached >= ends[part]:
                        del at[part]
                        consumer.pause([self._partition(part)])

    @contextmanager
    def _consumer(self, ends: Iterable[Part]) -> Iterator[Consumer]:
        consumer = Consumer({**self._config, **_READER})
        try:
            consumer.assign([self._partition(part, self.extents[part].low) for part in ends])
            yield consumer
        finally:
            consumer.close()

    def _sorted(self, polled: Iterable[Any]) -> Iterator[tuple[Part, list[Message], int]]:
        """By partition: the messages, and the next offset to read."""
        found: dict[Part, list[Message]] = {}
        reached: dict[Part, int] = {}
        for raw in polled:
            error = raw.error()
            if error is None:
                message = self._message(raw)
                part = (message.place.topic, message.place.partition)
                found.setdefault(part, []).append(message)
                reached[part] = message.place.offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                part = (self._name(raw.topic()), raw.partition())
                found.setdefault(part, [])
                reached[part] = raw.offset()
            elif error.fatal() or not error.retriable():
                raise Unreachable(f"reading {raw.topic()} failed: {error.str()}")
        for part, messages in found.items():
            yield part, messages, reached[part]

    def _message(self, raw: Any) -> Message:
        place = Place(self._name(raw.topic()), raw.partition(), raw.offset())
        kind, timestamp = raw.timestamp()
        headers = tuple(raw.headers() or ())
        return Message(place, 0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp, raw.key(), raw.value(), headers)

    def _partition(self, part: Part, offset: int | None = None) -> TopicPartition:
        name = self._prefix + part[0]
        return TopicPartition(name, part[1]) if offset is None else TopicPartition(name, part[1], offset)

    def _part(self, partition: TopicPartition) -> Part:
        return self._name(partition.topic), partition.partition

    def _name(self, topic: str) -> str:
        return sys.intern(topic.removeprefix(self._prefix))


def _filled(extent: Extent) -> bool:
    return extent.end > extent.low


def _up_to(messages: list[Message], end: int) -> list[Message]:
    return [message for message in messages if message.place.offset < end]


def _alive(polled: list[Any], heard: float, open_parts: Iterable[Part]) -> float:
    now = time.monotonic()
    if polled:
        return now
    if now - heard > _STALLED_S:
        raise Unreachable(
            f"nothing came for {_STALLED_S:.0f} s from {', '.join(f'{topic}/{part}' for topic, part in open_parts)}",
            "`wardstock doctor` looks at the brokers; a transaction left open holds readers back until it times out",
        )
    return heard


@contextmanager
def _reaching(config: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise Unreachable(f"no answer from Kafka at {config.get('bootstrap.servers')}: {error}") from error
