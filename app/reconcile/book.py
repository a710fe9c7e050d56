"""One position's books while its ledger is read from the first entry to the last."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from app.reconcile.history import Entry, LotKey

Mark = tuple[int, str]  # occurred_at and event id: the order within a lot, whatever order things arrive in
NEVER: Final[Mark] = (-1, "")


@lru_cache(maxsize=1024)
def _day(days: int) -> date:
    return datetime.fromtimestamp(days * 86_400, UTC).date()


def day_of(time: int) -> date:
    """The UTC date of a time in ms since the epoch."""
    return _day(time // 86_400_000)


@dataclass(slots=True)
class Timeline:
    """One lot's changes in the order in which they occurred, and its last count."""

    counted: Mark = NEVER
    changes: list[tuple[Mark, int]] = field(default_factory=list)

    def add(self, mark: Mark, change: int) -> None:
        insort(self.changes, (mark, change))

    def after(self, mark: Mark) -> int:
        """The sum of the changes that occurred after ``mark``."""
        later = bisect_right(self.changes, mark, key=_mark)
        return sum(change for _, change in self.changes[later:])


def _mark(change: tuple[Mark, int]) -> Mark:
    return change[0]


@dataclass(slots=True)
class Book:
    """The state after the entries read so far, as the ledger itself gives it.

    Each entry is checked against the state before it and then believed, so that one error is one difference.
    """

    key: str
    number: int = 0
    lots: dict[LotKey, int] = field(default_factory=dict)
    expiries: dict[LotKey, date | None] = field(default_factory=dict)
    on_hand: int = 0
    requested: int = 0
    on_order: int = 0
    in_transit: int = 0
    value: Decimal = Decimal(0)
    currency: str = ""
    episode: int = 0
    full_count: Mark = NEVER
    unknown_count: Mark = NEVER  # the last count that is not there any more; it may have been one of all lots
    transits: dict[str, tuple[int, Decimal]] = field(default_factory=dict)  # by transfer: quantity, value on its way
    timelines: defaultdict[LotKey, Timeline] = field(default_factory=lambda: defaultdict(Timeline))

    def believe(self, entry: Entry) -> None:
        """Take over what ``entry`` says is there after it."""
        self.number = entry.number
        for lot in entry.lots:
            self.lots[lot.lot] = lot.balance
            self.expiries[lot.lot] = lot.expiry
        self.on_hand, self.requested, self.on_order = entry.on_hand, entry.requested, entry.on_order
        self.in_transit, self.value, self.currency = entry.in_transit, entry.value, entry.currency

    def owned(self) -> int:
        return sum(balance for (_, owner), balance in self.lots.items() if owner is None)

    def usable(self, time: int) -> int:
        """Owned stock that has not expired on that day (ms, UTC); negative balances count."""
        today = day_of(time)
        return sum(
            balance
            for lot, balance in self.lots.items()
            if balance and lot[1] is None and not is_expired(self.expiries[lot], today)
        )

    def counted(self, lot: LotKey) -> Mark:
        """When ``lot`` was counted last, by itself or by a count of everything."""
        return max(self.timelines[lot].counted, self.full_count)


def is_expired(expiry: date | None, today: date) -> bool:
    """A lot may be used through its expiry date; without one, always."""
    return expiry is not None and expiry < today
