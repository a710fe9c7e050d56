"""The state of an inventory position: what is where, whose, on the way, and worth how much.

All of it is immutable; an event makes a new Position. Nobody may change a mapping found in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Protocol, TypeAlias

from app.domain.money import ZERO
from app.domain.records import PostingType

DAY_MS: Final = 24 * 60 * 60 * 1000
HORIZON_MS: Final = 30 * DAY_MS
SWEEP_MS: Final = 7 * DAY_MS
UNKNOWN_LOT: Final = "UNKNOWN"
_EPOCH: Final = date(1970, 1, 1).toordinal()

Mark: TypeAlias = tuple[int, str]
"""(occurred_at, event_id): the order of counts and changes within a lot, whatever order they arrive in."""

LotKey: TypeAlias = tuple[str, str | None]
"""(lot, owner); the owner is the supplier of consigned stock, None for our own."""


def day_of(time: int) -> date:
    """The UTC date of a time in ms since the epoch."""
    return date.fromordinal(_EPOCH + time // DAY_MS)


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot of one owner at one position.

    ``balance`` is the last count plus the changes that occurred after it; it may be negative. ``received_at`` is the
    earliest receipt. ``counted`` is the last count of this lot alone (see Position.full_count). ``touched_at`` is the
    latest time at which anything of the lot occurred.
    """

    lot: str
    owner: str | None
    balance: int
    touched_at: int
    expiry_date: date | None = None
    received_at: int | None = None
    counted: Mark | None = None


@dataclass(frozen=True, slots=True)
class Transit:
    """What is on its way here under one transfer; negative where it arrived before the sender said so."""

    transfer_id: str
    owner: str | None
    quantity: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """One item at one location. Quantities in base units; value is the exact total of the owned lots.

    ``number`` is that of the last ledger entry. ``on_hand`` is the sum of the owned balances. An episode is open while
    ``requested`` > 0; ``episode`` counts them. ``full_count`` is the last count that also covered unlisted lots.
    ``last_cost`` is the unit cost from when there was stock last; None while there is, and before there ever was.
    No change decided before ``remembered_from`` is remembered any more.
    """

    currency: str
    number: int = 0
    lots: Mapping[LotKey, Lot] = field(default_factory=dict)
    on_hand: int = 0
    value: Decimal = ZERO
    last_cost: Decimal | None = None
    requested: int = 0
    episode: int = 0
    on_order: int = 0
    transits: tuple[Transit, ...] = ()
    full_count: Mark | None = None
    remembered_from: int = 0

    @property
    def in_transit(self) -> int:
        """Owned stock on its way here; consigned stock counts in no owned figure."""
        return sum(transit.quantity for transit in self.transits if transit.owner is None)


@dataclass(frozen=True, slots=True)
class Change:
    """What one applied event did, kept for the horizon: late counts are placed by it, reversals restore from it.

    ``mark`` is its place in the lots' order (a reversal stands where its original stands). ``deltas`` are the changes
    it stands for, also where a count had already seen them. ``amount`` is what it took out of the value, or what it
    posted as BILL_ONLY; negative where it brought something in. ``sent_to`` is where a transfer out went;
    ``transfer_id`` without it marks a transfer in.
    """

    topic: str
    event_id: str
    kind: str
    mark: Mark
    decided_at: int
    deltas: tuple[tuple[LotKey, int], ...]
    amount: Decimal = ZERO
    posting: PostingType | None = None
    cost_center: str | None = None
    transfer_id: str | None = None
    sent_to: tuple[str, str] | None = None
    reversed_by: str | None = None

    @property
    def name(self) -> str:
        """Unique within the position: ids are unique per topic only."""
        return f"{self.topic}/{self.event_id}"


class History(Protocol):
    """The changes remembered of one position."""

    def find(self, topic: str, event_id: str) -> Change | None: ...

    def all(self) -> Iterator[Change]:
        """Every change, in no particular order."""
        ...
