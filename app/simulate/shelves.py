"""What the simulated wards believe to be on their shelves: the ground on which they decide what to use."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from random import Random

from app.domain.records import Location
from app.simulate.world import Stocked


@dataclass(frozen=True, slots=True)
class Batch:
    """A manufacturer's lot."""

    lot: str
    expiry_date: date | None


@dataclass(slots=True)
class Held:
    batch: Batch
    quantity: int  # base units


@dataclass(slots=True)
class Shelf:
    """One position as its location sees it. ``expected`` while supply is on the way."""

    stocked: Stocked
    held: list[Held] = field(default_factory=list)
    expected: bool = False

    @property
    def on_hand(self) -> int:
        return sum(held.quantity for held in self.held)

    def put(self, batch: Batch, quantity: int) -> None:
        """Add base units of a lot, earliest expiry first."""
        for held in self.held:
            if held.batch.lot == batch.lot:
                held.quantity += quantity
                return
        self.held.append(Held(batch, quantity))
        self.held.sort(key=lambda held: held.batch.expiry_date or date.max)

    def take(self, quantity: int) -> Batch | None:
        """Take base units, from the first lot that covers them; None where they come from several, or from nowhere."""
        for held in self.held:
            if held.quantity >= quantity:
                held.quantity -= quantity
                self._drop_empty()
                return held.batch
        self._take_from_all(quantity)
        return None

    def _take_from_all(self, quantity: int) -> None:
        for held in self.held:
            taken = min(held.quantity, quantity)
            held.quantity -= taken
            quantity -= taken
        self._drop_empty()

    def recount(self, counted: Iterable[Held]) -> None:
        """Believe a full count."""
        self.held = [held for held in counted if held.quantity]

    def _drop_empty(self) -> None:
        self.held = [held for held in self.held if held.quantity]


class Shelves:
    """The shelves in use. Some are far busier than others (Zipf), as in a hospital.

    Those ``aside`` are found by key but never picked.
    """

    def __init__(self, rng: Random, stocked: Iterable[Stocked], aside: Iterable[Shelf] = ()) -> None:
        self._all = [Shelf(each) for each in stocked]
        rng.shuffle(self._all)
        self._weights = list(accumulate(1 / (rank + 20) ** 0.7 for rank in range(len(self._all))))
        self._by_key = {shelf.stocked.key: shelf for shelf in (*self._all, *aside)}
        self._by_item: dict[str, list[Shelf]] = {}
        self._by_room: dict[tuple[str, str, str], list[Shelf]] = {}
        for shelf in self._all:
            self._by_item.setdefault(shelf.stocked.item.item, []).append(shelf)
            self._by_room.setdefault(_room(shelf.stocked.location, shelf.stocked.product), []).append(shelf)

    def __iter__(self) -> Iterator[Shelf]:
        return iter(self._all)

    def get(self, key: str) -> Shelf | None:
        return self._by_key.get(key)

    def pick(self, rng: Random) -> Shelf:
        """One at random, busy ones more often."""
        return self._all[bisect(self._weights, rng.random() * self._weights[-1], hi=len(self._all) - 1)]

    def variants(self, location: Location, product: str) -> list[Shelf]:
        """The shelves of a location that hold a variant of the product."""
        return self._by_room.get(_room(location, product), [])

    def elsewhere(self, shelf: Shelf) -> list[Shelf]:
        """The same item on owned shelves of other locations."""
        same = self._by_item.get(shelf.stocked.item.item, [])
        return [other for other in same if other is not shelf and other.stocked.owner is None]


def _room(location: Location, product: str) -> tuple[str, str, str]:
    return location.facility, location.location, product
