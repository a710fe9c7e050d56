"""Polled messages, put into the order in which they were lived.

Within a partition, the topics of a pipeline are merged by record timestamp, as Kafka Streams merges a task's buffers:
a message is taken only when none that is still to come from another topic can be older, or that topic is at its end,
or waiting for it has taken too long. The order within one topic's partition is never changed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from app.runtime.clock import Clock
from app.runtime.log import Message, Polled, TopicPartition

# One row: effective timestamp (never falling within a topic's partition), message, where it is from.
Row = tuple[int, Message, TopicPartition]
_stamp = itemgetter(0)
row_message = itemgetter(1)
row_source = itemgetter(2)

IDLE_WAIT_S = 0.5


class _Buffer:
    __slots__ = ("end", "rows", "stamp")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.stamp = 0
        self.end: int | None = None  # set while the partition has been read to its end


class _Partition:
    """The buffers of one partition number, one per topic, and what is merged and ready to be worked."""

    __slots__ = ("buffers", "held_since", "ready")

    def __init__(self) -> None:
        self.buffers: dict[TopicPartition, _Buffer] = {}
        self.ready: list[Row] = []
        self.held_since: float | None = None

    def merge(self, now: float) -> None:
        """Move to ``ready`` what no message still to come can precede."""
        filled = [buffer for buffer in self.buffers.values() if buffer.rows]
        if not filled:
            self.held_since = None
            return
        limit = self._limit(now)
        self.ready.extend(_merged(filled, limit))
        if not any(buffer.rows for buffer in filled):
            self.held_since = None

    def oldest(self) -> int | None:
        stamps = [buffer.rows[0][0] for buffer in list(self.buffers.values()) if buffer.rows]
        if self.ready:
            stamps.append(self.ready[0][0])
        return min(stamps, default=None)

    def _limit(self, now: float) -> int | None:
        """The youngest timestamp that may be taken; None: all."""
        open_ended = [buffer for buffer in self.buffers.values() if buffer.end is None]
        waiting = [buffer for buffer in open_ended if not buffer.rows]
        if waiting:
            self.held_since = self.held_since if self.held_since is not None else now
            if now - self.held_since < IDLE_WAIT_S:
                return -1
            open_ended = [buffer for buffer in open_ended if buffer.rows]
        if len(self.buffers) == 1 or not open_ended:
            return None
        return min(buffer.stamp for buffer in open_ended)


def _merged(buffers: list[_Buffer], limit: int | None) -> list[Row]:
    if limit is None and len(buffers) == 1:
        rows, buffers[0].rows = buffers[0].rows, []
        return rows
    taken: list[Row] = []
    for buffer in buffers:
        cut = len(buffer.rows) if limit is None else _count_up_to(buffer.rows, limit)
        taken += buffer.rows[:cut]
        del buffer.rows[:cut]
    taken.sort(key=_stamp)  # stable: the order within a topic's partition stays
    return taken


def _count_up_to(rows: list[Row], limit: int) -> int:
    return bisect_right(rows, limit, key=_stamp)


class Intake:
    """Buffers of all assigned partitions. ``capacity``: rows of one topic's partition beyond which it is to pause."""

    def __init__(self, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._partitions: dict[int, _Partition] = {}
        self._buffers: dict[tuple[str | None, int | None], tuple[_Buffer, TopicPartition]] = {}

    def open(self, partitions: Iterable[TopicPartition]) -> None:
        for tp in partitions:
            buffer = _Buffer()
            self._partitions.setdefault(tp.partition, _Partition()).buffers[tp] = buffer
            self._buffers[tp] = (buffer, tp)

    def close(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions and all that is buffered of their numbers."""
        for tp in partitions:
            self._buffers.pop(tp, None)
            home = self._partitions.get(tp.partition)
            if home is None:
                continue
            home.buffers.pop(tp, None)
            home.ready = [row for row in home.ready if row[2] != tp]
            if not home.buffers:
                del self._partitions[tp.partition]

    def clear(self) -> None:
        """Drop all rows, keep the partitions: they will be read again."""
        self.open([tp for _, tp in self._buffers.values()])
        for home in self._partitions.values():
            home.ready.clear()
            home.held_since = None

    def add(self, polled: Polled) -> None:
        buffers = self._buffers
        for message in polled.messages:
            found = buffers.get((message.topic(), message.partition()))
            if found is None:
                continue  # revoked while it was on its way
            buffer, tp = found
            stamp = message.timestamp()[1]
            if stamp < buffer.stamp:
                stamp = buffer.stamp
            else:
                buffer.stamp = stamp
            buffer.rows.append((stamp, message, tp))
            buffer.end = None
        for tp, end in polled.ends.items():
            if tp in buffers:
                buffers[tp][0].end = end

    def take(self, limit: int) -> dict[int, Sequence[Row]]:
        """Up to about ``limit`` rows by partition number, each in the order to be worked."""
        now = self._clock.monotonic()
        taken: dict[int, Sequence[Row]] = {}
        for home in self._partitions.values():
            home.merge(now)
        busy = [(number, home) for number, home in self._partitions.items() if home.ready]
        for number, home in busy:
            share = max(1, limit // len(busy))
            taken[number], home.ready = home.ready[:share], home.ready[share:]
        return taken

    def oldest(self) -> dict[int, int | None]:
        """Timestamp of the oldest row held, by partition number; None where nothing is."""
        return {number: home.oldest() for number, home in list(self._partitions.items())}

    def ends(self) -> Mapping[TopicPartition, int]:
        """Partitions of which everything readable was taken, with the offset after it (markers included)."""
        return {
            tp: buffer.end
            for home in self._partitions.values()
            if not home.ready
            for tp, buffer in home.buffers.items()
            if buffer.end is not None and not buffer.rows
        }

    def overfull(self) -> set[TopicPartition]:
        return {
            tp
            for home in self._partitions.values()
            for tp, buffer in home.buffers.items()
            if len(buffer.rows) + len(home.ready) > self._capacity
        }
