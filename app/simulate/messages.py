"""What the simulated system publishes, and the order in which it is still to come."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.runtime.topics import Topic


class Nature(StrEnum):
    """What a message is made to be; the summary counts by it."""

    EVENT = "EVENT"  # a valid event, published for the first time
    REPEAT = "REPEAT"  # an event published before, with the same body
    CONFLICT = "CONFLICT"  # the id of an event published before, with another body
    UNRESOLVED = "UNRESOLVED"  # valid, but refers to what is not there: an unknown item, a missing original
    INVALID = "INVALID"  # decodable, but a field's value is not allowed
    UNDECODABLE = "UNDECODABLE"  # bytes that no consumer can read
    MASTER = "MASTER"  # master data


class Breakage(StrEnum):
    """How an undecodable message is broken."""

    BAD_MAGIC = "BAD_MAGIC"  # the first byte is not the wire format's
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"  # a schema id that the registry never gave
    GARBAGE = "GARBAGE"  # a known schema id before bytes that do not fit it
    TRUNCATED = "TRUNCATED"  # cut in the middle
    NO_FRAME = "NO_FRAME"  # shorter than the wire format's header
    TOMBSTONE = "TOMBSTONE"  # no value at all


@dataclass(frozen=True, slots=True)
class Published:
    """One message. ``timestamp`` in ms is the Kafka record's; ``key`` None publishes without a key.

    ``breakage`` tells how to break the encoded bytes, None to send them whole. ``misplaced``: the key is not the one
    that the record belongs under.
    """

    topic: Topic
    key: str | None
    record: Any
    timestamp: int
    nature: Nature = Nature.EVENT
    breakage: Breakage | None = None
    misplaced: bool = False


def message(topic: Topic, record: Any, timestamp: int, nature: Nature = Nature.EVENT) -> Published:
    """The record under its own key."""
    return Published(topic, topic.key_of(record), record, timestamp, nature)


Make = Callable[[int], Published | None]
"""Makes a message at the time it is published (simulated ms); None where nothing is left to say by then."""


class Agenda:
    """What has been decided but not yet published: each entry one message at most, taken by due time, then by age."""

    __slots__ = ("_added", "_entries")

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Make]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._entries)

    def plan(self, due: int, make: Make) -> None:
        """Have ``make`` called at ``due`` (simulated ms) or as soon after as there is room."""
        self._added += 1
        heapq.heappush(self._entries, (due, self._added, make))

    def is_due(self, now: int) -> bool:
        return bool(self._entries) and self._entries[0][0] <= now

    def take(self) -> Make:
        """The next entry. Raises IndexError when there is none."""
        return heapq.heappop(self._entries)[2]
