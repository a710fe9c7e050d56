"""What a topic is: the facts from which topics are created, checked, documented and consumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

DAY_MS = 24 * 60 * 60 * 1000
FOREVER = -1


class Cleanup(StrEnum):
    """Kafka's cleanup.policy: what happens to old records."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic: its key, size, lifetime, owner and readers.

    ``record`` is the type of its values (its Avro schema is ``schemas/avro/<name>/<record.__name__>.avsc``).
    ``key_of`` gives the key that a record belongs under; the partition follows from it (murmur2).
    ``id_of`` gives the id by which repeats are known; None where repeats are not dropped.
    ``unlike`` names the fields that may differ between two sendings of the same event.
    ``partitions`` is fixed for life; 0 means "as many as the pipeline has" (settings).
    ``retention_ms`` counts from the record's timestamp; FOREVER keeps all.
    """

    name: str
    record: type[Any]
    key: str
    key_of: Callable[[Any], str]
    owner: str
    readers: tuple[str, ...]
    partitions: int = 0
    cleanup: Cleanup = Cleanup.DELETE
    retention_ms: int = 14 * DAY_MS
    id_of: Callable[[Any], str] | None = None
    unlike: frozenset[str] = frozenset({"recorded_at"})
    internal: bool = False
