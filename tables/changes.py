"""What recent events did to each position: late counts are placed by it, reversals restore from it.

Key ``<facility>|<location>|<item>|<topic>/<event_id>``, one row per applied event. Rows are deleted when they are older
than the horizon of 30 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from app.domain.positions import Change
from app.domain.records import PostingType
from app.runtime.state.table import Table


def dump(change: Change) -> bytes:
    """The row as one JSON object; money as a decimal string."""
    return orjson.dumps(
        {
            "topic": change.topic,
            "event_id": change.event_id,
            "kind": change.kind,
            "mark": change.mark,
            "decided_at": change.decided_at,
            "deltas": [(lot, owner, delta) for (lot, owner), delta in change.deltas],
            "amount": str(change.amount),
            "posting": change.posting,
            "cost_center": change.cost_center,
            "transfer_id": change.transfer_id,
            "sent_to": change.sent_to,
            "reversed_by": change.reversed_by,
        }
    )


def load(raw: bytes) -> Change:
    """The inverse of ``dump``. Raises ``orjson.JSONDecodeError`` or ``KeyError`` for bytes that it did not make."""
    row: dict[str, Any] = orjson.loads(raw)
    return Change(
        row["topic"],
        row["event_id"],
        row["kind"],
        (row["mark"][0], row["mark"][1]),
        row["decided_at"],
        tuple(((lot, owner), delta) for lot, owner, delta in row["deltas"]),
        Decimal(row["amount"]),
        None if row["posting"] is None else PostingType(row["posting"]),
        row["cost_center"],
        row["transfer_id"],
        None if row["sent_to"] is None else (row["sent_to"][0], row["sent_to"][1]),
        row["reversed_by"],
    )


changes: Table[Change] = Table("changes", dump=dump, load=load)


def row_key(position_key: str, name: str) -> str:
    """``name`` is that of the change, unique within the position."""
    return f"{position_key}|{name}"


@dataclass(frozen=True, slots=True)
class HistoryOf:
    """The changes of the position under ``position_key``; usable while its event is worked. Reads the table."""

    position_key: str

    def find(self, topic: str, event_id: str) -> Change | None:
        return changes.get(row_key(self.position_key, f"{topic}/{event_id}"))

    def all(self) -> Iterator[Change]:
        return (change for _, change in changes.scan(row_key(self.position_key, "")))
