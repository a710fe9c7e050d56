"""The places where a crash must do no harm; tests crash there on purpose."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    BEFORE_PRODUCE = "before_produce"  # the agents are done, the broker knows nothing of it yet
    AFTER_PRODUCE = "after_produce"  # outputs and changelogs are with the broker, nothing is committed
    AFTER_SEND_OFFSETS = "after_send_offsets"  # offsets are in the transaction, it is still open
    AFTER_COMMIT = "after_commit"  # committed in Kafka, not yet in RocksDB
    IN_RESTORE = "in_restore"  # a part of a changelog is in RocksDB


Failpoint = Callable[[Point], None]


def no_failpoint(_point: Point) -> None:
    """Production: nothing fails on purpose."""
