"""The records that decisions publish, and the topic each belongs to."""

from __future__ import annotations

from typing import Final, TypeAlias

from app.domain.records import (
    ConsignmentNotice,
    ConsumptionPosting,
    ExceptionRaised,
    Inbound,
    LedgerEntry,
    OrderLedgerEntry,
    ReplenishmentTrigger,
)

Output: TypeAlias = (
    LedgerEntry
    | OrderLedgerEntry
    | ConsumptionPosting
    | ConsignmentNotice
    | Inbound
    | ReplenishmentTrigger
    | ExceptionRaised
)

TOPICS: Final[dict[type[Output], str]] = {
    LedgerEntry: "inventory.ledger",
    OrderLedgerEntry: "procurement.ledger",
    ConsumptionPosting: "finance.consumption-postings",
    ConsignmentNotice: "supplier.consignment-notices",
    Inbound: "inventory.inbound",
    ReplenishmentTrigger: "inventory.replenishment-triggers",
    ExceptionRaised: "ops.exceptions",
}


def output_id(topic: str, event_id: str, place: int) -> str:
    """``<source topic>/<source event id>#<place>``: the same for every attempt at the same event."""
    return f"{topic}/{event_id}#{place}"


def address(output: Output) -> str:
    """``<topic>:<event_id>``, as the ledger names what an event caused."""
    return f"{TOPICS[type(output)]}:{output.event_id}"
