"""A log in memory with the same promises as Kafka's, for one process and tests: deterministic, nothing outlives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from app.runtime.clock import Clock
from app.runtime.errors import OffsetOutOfRange
from app.runtime.log import Listener, Message, Outgoing, Polled, Recorded, TopicPartition
from app.runtime.partitioner import partition_for


class MemoryBroker:
    """Topics as lists, made when first written to; ``partitions`` each, unless ``sizes`` says otherwise."""

    def __init__(self, clock: Clock, partitions: int = 1, sizes: Mapping[str, int] | None = None) -> None:
        self._clock = clock
        self._partitions = partitions
        self._sizes = dict(sizes or {})
        self._rows: dict[TopicPartition, list[Recorded]] = {}
        self.offsets: dict[tuple[str, TopicPartition], int] = {}

    def partitions(self, topic: str) -> int:
        return self._sizes.get(topic, self._partitions)

    def append(self, out: Outgoing) -> Recorded:
        partition = out.partition
        if partition is None:
            partition = 0 if out.key is None else partition_for(out.key, self.partitions(out.topic))
        rows = self._rows.setdefault(TopicPartition(out.topic, partition), [])
        stamp = self._clock.now_ms() if out.timestamp is None else out.timestamp
        message = Recorded(out.topic, partition, len(rows), stamp, out.key, out.value, out.headers)
        rows.append(message)
        return message

    def read(self, tp: TopicPartition, start: int = 0) -> list[Recorded]:
        return self._rows.get(tp, [])[start:]

    def read_all(self, topic: str) -> list[Recorded]:
        """All records of a topic, partition by partition."""
        return [row for number in range(self.partitions(topic)) for row in self.read(TopicPartition(topic, number))]

    def end(self, tp: TopicPartition) -> int:
        return len(self._rows.get(tp, []))


class _MemoryReplay:
    def __init__(self, broker: MemoryBroker, start: Mapping[TopicPartition, int | None]) -> None:
        self._chunks = [rows for tp, offset in start.items() if (rows := broker.read(tp, offset or 0))]

    def remaining(self) -> int:
        return sum(map(len, self._chunks))

    def chunks(self) -> Iterator[Sequence[Message]]:
        while self._chunks:
            yield self._chunks.pop(0)


class MemoryLog:
    """The only member of ``group``: it has every partition from its first poll on."""

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        self._broker = broker
        self._group = group
        self._listener: Listener | None = None
        self._waiting: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        self._listener = listener
        self._waiting = [
            TopicPartition(topic, number) for topic in topics for number in range(self._broker.partitions(topic))
        ]

    def poll(self, max_messages: int, wait_s: float) -> Polled:  # noqa: ARG002 memory never makes one wait
        self._assign()
        messages: list[Message] = []
        ends: dict[TopicPartition, int] = {}
        for tp, position in self._positions.items():
            if tp in self._paused:
                continue
            rows = self._broker.read(tp, position)[: max_messages - len(messages)]
            messages += rows
            self._positions[tp] = position + len(rows)
            if self._positions[tp] == self._broker.end(tp):
                ends[tp] = self._positions[tp]
        return Polled(messages, ends)

    def _assign(self) -> None:
        if self._listener is None or not self._waiting:
            return
        start = self.committed(self._waiting)
        self._waiting = []
        self._positions = dict(start)
        self._paused = set(start)
        self._listener.assigned(start)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused -= set(partitions)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions.update(positions)

    def commit(
        self,
        outputs: Iterable[Outgoing],
        changes: Mapping[TopicPartition, Sequence[tuple[bytes | None, bytes | None]]],
        offsets: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        for out in outputs:
            self._broker.append(out)
        for tp, records in changes.items():
            for key, value in records:
                self._broker.append(Outgoing(tp.topic, key, value, partition=tp.partition))
        for tp, offset in offsets.items():
            self._broker.offsets[self._group, tp] = offset
        return {tp: self._broker.end(tp) for tp in changes}

    def rebuild(self) -> Mapping[TopicPartition, int]:
        return self.committed(self._positions)

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._broker.offsets.get((self._group, tp), 0) for tp in partitions}

    def replay(
        self,
        start: Mapping[TopicPartition, int | None],
        cancelled: Callable[[], bool],  # noqa: ARG002 there is nothing to wait for
    ) -> _MemoryReplay:
        for tp, offset in start.items():
            if offset is not None and offset > self._broker.end(tp):
                raise OffsetOutOfRange(f"{tp.topic}/{tp.partition}: {offset} is beyond {self._broker.end(tp)}")
        return _MemoryReplay(self._broker, start)

    def end_offsets(self) -> dict[TopicPartition, int]:
        return {tp: self._broker.end(tp) for tp in self._positions}

    def close(self) -> None:
        self._positions.clear()
