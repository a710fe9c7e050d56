"""What was read from Kafka, as the rules look at it: inputs, ledgers, outputs, dead letters, tables, master data.

Compact forms of the records: only the fields that a rule needs. Times are milliseconds since the epoch, UTC;
quantities of inputs are in ``uom``, all others in base units; money is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")

EventKey = tuple[str, str]  # topic and event_id: what makes two messages the same event
LotKey = tuple[str, str | None]  # lot and owner


class Place(NamedTuple):
    """Where a message lies. Prints as ``topic/partition/offset``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it lies on the log. ``timestamp`` is the record's; ``value`` None is a tombstone."""

    place: Place
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


# --- inputs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    lot: str
    owner: str | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Step:
    """An input of one position: a usage, a movement, or an inbound step. ``uom`` None: already base units."""

    kind: str  # USAGE, USAGE_REVERSAL, a kind of movement, or a kind of inbound step
    key: str
    item: str
    occurred_at: int
    quantity: int
    uom: str | None
    lot: str | None
    owner: str | None
    reverses: str | None
    counted: tuple[Counted, ...]
    full_count: bool
    transfer_id: str | None
    other: str | None  # key of the transfer's other end
    on_order_cleared: int
    amount: Decimal | None
    currency: str | None
    trigger_id: str | None
    po_number: str | None
    po_line: int | None
    causation_id: str | None


@dataclass(frozen=True, slots=True)
class OrderLine:
    line: int
    item: str
    position: str
    quantity: int
    uom: str
    unit_price: Decimal
    trigger_id: str | None


@dataclass(frozen=True, slots=True)
class Order:
    key: str
    supplier: str
    currency: str
    revision: int
    status: str
    order_type: str
    lines: tuple[OrderLine, ...]
    kind: str = "ORDER"


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    line: int
    item: str
    position: str
    quantity: int
    uom: str
    po_line: int | None
    lot: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    key: str
    supplier: str
    delivery_note: str
    lines: tuple[ReceiptLine, ...]
    kind: str = "RECEIPT"


Input = Step | Order | Receipt


@dataclass(frozen=True, slots=True)
class Sent:
    """A readable message of an input topic. ``body`` is a digest of all but ``recorded_at``; ``flaw`` says which
    value is not allowed, None where all are."""

    place: Place
    event_id: str
    body: bytes
    timestamp: int
    record: Input
    flaw: str | None


# --- ledgers and outputs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LotChange:
    lot: LotKey
    change: int
    balance: int
    expiry: date | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the inventory ledger."""

    event_id: str
    causation_id: str
    source: Place
    key: str
    number: int
    kind: str
    effect: str
    occurred_at: int
    decided_at: int
    master_version: str
    lots: tuple[LotChange, ...]
    requested_change: int
    on_order_change: int
    in_transit_change: int
    value_change: Decimal
    on_hand: int
    requested: int
    on_order: int
    in_transit: int
    value: Decimal
    currency: str
    caused: tuple[str, ...]
    reverses: str | None


@dataclass(frozen=True, slots=True)
class LineChange:
    line: int
    ordered_change: int
    received_change: int
    open_quantity: int


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """An entry of the order ledger."""

    event_id: str
    causation_id: str
    source: Place
    key: str
    number: int
    kind: str
    effect: str
    decided_at: int
    master_version: str
    lines: tuple[LineChange, ...]
    status: str
    caused: tuple[str, ...]


AnyEntry = Entry | OrderEntry


@dataclass(frozen=True, slots=True)
class Posting:
    event_id: str
    causation_id: str
    posting_type: str
    key: str
    quantity: int
    amount: Decimal
    currency: str
    lot: str | None
    reverses: str | None
    decided_at: int


@dataclass(frozen=True, slots=True)
class Notice:
    event_id: str
    causation_id: str
    notice_type: str
    key: str
    supplier: str
    lot: str
    quantity: int
    balance: int
    decided_at: int


@dataclass(frozen=True, slots=True)
class Trigger:
    event_id: str
    causation_id: str
    trigger_id: str
    status: str
    key: str
    quantity: int
    inventory_position: int
    reorder_point: int
    order_up_to: int
    decided_at: int


@dataclass(frozen=True, slots=True)
class Raised:
    """A business exception."""

    event_id: str
    causation_id: str
    kind: str
    applied: bool
    source: Place
    decided_at: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter; ``original`` is the message that it says it keeps, at the place it names."""

    place: Place
    reason: str
    original: Message


# --- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PositionRow:
    number: int
    lots: dict[LotKey, int]
    requested: int
    on_order: int
    in_transit: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class OrderLineRow:
    ordered: int
    received: int
    open: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    number: int
    status: str
    lines: dict[int, OrderLineRow]


# --- master data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """``factors``: base units in one unit of measure, exactly."""

    factors: dict[str, Fraction]
    standard_cost: Decimal
    currency: str
    supplier: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """How a position is replenished: up to ``order_up_to`` once it is at or below ``reorder_point``.

    ``consignor`` is whose stock it keeps where that is consigned and the item-location names them.
    """

    consigned: bool
    consignor: str | None
    reorder_point: int | None
    order_up_to: int | None
    minimum_order: int
    order_multiple: int


class Compacted(Exception):
    """Compaction removed the master record that a decision saw: what follows from it cannot be checked."""


class MasterLog(Generic[R]):
    """The records of one compacted topic that are still there, by key and offset.

    ``seen`` counts them: where it equals the end offset nothing was compacted away, and what is not there never was.
    """

    def __init__(self) -> None:
        self._offsets: dict[str, list[int]] = defaultdict(list)
        self._records: dict[str, list[R | None]] = defaultdict(list)
        self._seen = 0
        self._end = 0

    def append(self, key: str, offset: int, record: R | None) -> None:
        """Offsets must arrive ascending, as one partition gives them."""
        self._offsets[key].append(offset)
        self._records[key].append(record)
        self._seen += 1
        self._end = offset + 1

    def at(self, key: str, version: int) -> R | None:
        """The record of ``key`` that a reader had which was to read ``version`` next; None where there was none.

        Raises ``Compacted`` where an older record must have existed and is gone.
        """
        offsets = self._offsets.get(key)
        if offsets is None:
            return None
        place = bisect_left(offsets, version)
        if place:
            return self._records[key][place - 1]
        if self._seen == self._end:
            return None
        raise Compacted(key)

    def latest(self, key: str) -> R | None:
        return self._records[key][-1] if key in self._records else None


def version_of(vector: str, topic: str) -> int:
    """The offset of ``topic`` in a master version such as ``items@12,locations@7``; 0 where it is not named."""
    name = topic.removeprefix("master.")
    for part in vector.split(","):
        found, _, offset = part.partition("@")
        if found == name:
            return int(offset)
    return 0


# --- all of it -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class History:
    """Everything that was read, in the order of each partition."""

    events: dict[EventKey, list[Sent]] = field(default_factory=dict)
    sent: dict[Place, Sent] = field(default_factory=dict)
    unreadable: dict[Place, str] = field(default_factory=dict)  # why
    originals: dict[Place, Message] = field(default_factory=dict)  # of all that have, or need, a dead letter
    messages: Counter[str] = field(default_factory=Counter)  # by topic
    entries: list[Entry] = field(default_factory=list)
    order_entries: list[OrderEntry] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    raised: list[Raised] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    parked: list[Place] = field(default_factory=list)
    positions: dict[str, PositionRow] = field(default_factory=dict)
    orders: dict[str, OrderRow] = field(default_factory=dict)
    items: MasterLog[Item] = field(default_factory=MasterLog)
    policies: MasterLog[Policy] = field(default_factory=MasterLog)
    unreadable_outputs: list[tuple[Place, str]] = field(default_factory=list)
    low: dict[tuple[str, int], int] = field(default_factory=dict)  # first offset that retention left
    kept_since: dict[str, int] = field(default_factory=dict)  # topics that retention cut: oldest timestamp left

    def ledgers(self) -> Iterator[AnyEntry]:
        """The entries of both ledgers."""
        yield from self.entries
        yield from self.order_entries
