"""What the engine asks of a log: Kafka in production, memory in the test driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Headers = list[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Message(Protocol):
    """A consumed message, in confluent-kafka's shape. Every call is cheap and does no I/O."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...


class Recorded:
    """A message that is kept in memory, or that stands for another one."""

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp", "_topic", "_value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._timestamp = timestamp
        self._key = key
        self._value = value
        self._headers = headers

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self._timestamp

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return list(self._headers) if self._headers else None


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought: messages in offset order per partition, and partitions read to their end.

    ``ends`` maps a partition to the offset after everything that can be read now (markers included); the end was
    reached after all of its messages in this very poll.
    """

    messages: Sequence[Message]
    ends: Mapping[TopicPartition, int]


@dataclass(slots=True)
class Outgoing:
    """One record to produce. ``partition`` None: by the key's murmur2. ``timestamp`` None: now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    partition: int | None = None
    timestamp: int | None = None


class Listener(Protocol):
    """Told of assignment changes, on the polling thread, inside ``poll``."""

    def assigned(self, start: Mapping[TopicPartition, int]) -> None:
        """New partitions, paused, positioned at ``start``; restore them, then resume."""
        ...

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Given up in order: no transaction is open."""
        ...

    def lost(self, partitions: Iterable[TopicPartition]) -> None:
        """Already another worker's: drop everything, commit nothing."""
        ...


class Replay(Protocol):
    """Reads changelog partitions up to the high watermark they had when asked."""

    def remaining(self) -> int:
        """Records (at most) still to read."""
        ...

    def chunks(self) -> Iterator[Sequence[Message]]:
        """Blocks. Ends when all targets are reached. Raises ``LogUnavailable``."""
        ...


class Log(Protocol):
    """One pipeline's connection: consumer and transactional producer, used by one thread only."""

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None: ...

    def poll(self, max_messages: int, wait_s: float) -> Polled:
        """Blocks up to ``wait_s``; serves assignment changes."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None: ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None: ...

    def seek(self, positions: Mapping[TopicPartition, int]) -> None: ...

    def commit(
        self,
        outputs: Iterable[Outgoing],
        changes: Mapping[TopicPartition, Sequence[tuple[bytes | None, bytes | None]]],
        offsets: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """One transaction: produce, send offsets, commit. Blocks.

        Returns, for each changelog partition in ``changes``, the offset after its last record.
        Raises ``Aborted`` (nothing happened: rewind and try again) or ``OutcomeUnknown`` (rebuild, then take over).
        """
        ...

    def rebuild(self) -> Mapping[TopicPartition, int]:
        """New producer, which ends any transaction of the old one; returns the committed offsets of the assignment."""
        ...

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Stable committed offsets, or the start of the log where there is none. Blocks."""
        ...

    def replay(self, start: Mapping[TopicPartition, int | None], cancelled: Callable[[], bool]) -> Replay:
        """A reader from ``start`` (None: from the beginning). May be used on another thread.

        Raises ``OffsetOutOfRange`` when a start is no longer, or not yet, in the log.
        """
        ...

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Last known end of each assigned partition, without asking the broker."""
        ...

    def close(self) -> None: ...
