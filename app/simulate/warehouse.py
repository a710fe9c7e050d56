"""The simulated stock keepers: opening counts, issues, returns, transfers, adjustments, counts and their reversals."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from agents import topics
from app.domain.records import CountedLot, MovementKind, StockMovement
from app.simulate.messages import Published, message
from app.simulate.plan import HOUR_MS, MINUTE_MS
from app.simulate.shelves import Batch, Held, Shelf
from app.simulate.stage import Stage

SYSTEM = "warehouse"
COUNT_VARIANCE_SHARE = 0.2  # of counted lots
FULL_COUNT_SHARE = 0.8
IN_BEFORE_OUT_SHARE = 0.06  # of transfers
SHORT_ARRIVAL_SHARE = 0.04  # of transfers: not all that left arrives
REMEMBERED = 200
TRIES = 5


@dataclass(frozen=True, slots=True)
class Taken:
    """What left a shelf, and by which movement."""

    shelf: Shelf
    batch: Batch | None
    movement: StockMovement


class StockKeepers:
    """Everything that moves stock but clinical usage and deliveries."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._issued: deque[Taken] = deque(maxlen=REMEMBERED)
        self._reversible: deque[Taken] = deque(maxlen=REMEMBERED)

    # --- what may happen ---

    def plan_issue(self, now: int) -> None:
        self._stage.agenda.plan(now, self._issue)

    def plan_return(self, now: int) -> None:
        self._stage.agenda.plan(now, self._return)

    def plan_adjustment(self, now: int) -> None:
        self._stage.agenda.plan(now, self._adjust)

    def plan_count(self, now: int) -> None:
        self._stage.agenda.plan(now, self._count_somewhere)

    def plan_reversal(self, now: int) -> None:
        self._stage.agenda.plan(now, self._reverse)

    def plan_transfer(self, now: int) -> None:
        """From a shelf with stock to one with the same item elsewhere."""
        source = self._owned()
        others = self._stage.shelves.elsewhere(source)
        if others and source.on_hand > 1:
            self.transfer(source, self._stage.rng.choice(others), self._stage.rng.randint(1, source.on_hand // 2), now)

    # --- opening ---

    def plan_opening(self, shelf: Shelf, now: int, quantity: int) -> None:
        """A full count of one to three lots that add up to the quantity."""
        lots = min(quantity, self._stage.rng.randint(1, 3))
        parts = [quantity // lots + (1 if n < quantity % lots else 0) for n in range(lots)]
        held = [Held(self._stage.new_batch(now), part) for part in parts]
        self._stage.agenda.plan(now, lambda t: self._count(shelf, held, t, t, whole=True))

    # --- movements ---

    def transfer(self, source: Shelf, target: Shelf, quantity: int, now: int) -> None:
        """Out now, in within hours; now and then in before out, or less in than out."""
        stage, rng = self._stage, self._stage.rng
        transfer_id = stage.new_id("T")
        batch = source.take(quantity)
        arrives = stage.soon(now, 20 * MINUTE_MS, 9 * HOUR_MS)
        leaves = arrives + 5 * MINUTE_MS if rng.random() < IN_BEFORE_OUT_SHARE else now
        arriving = quantity - 1 if quantity > 1 and rng.random() < SHORT_ARRIVAL_SHARE else quantity
        stage.agenda.plan(leaves, lambda t: self._leave(source, target, batch, quantity, transfer_id, t))
        stage.agenda.plan(arrives, lambda t: self._arrive(source, target, batch, arriving, transfer_id, t))

    def _leave(
        self, source: Shelf, target: Shelf, batch: Batch | None, quantity: int, transfer_id: str, now: int
    ) -> Published:
        return self._publish(
            replace(
                self._movement(MovementKind.TRANSFER_OUT, source, quantity, batch, now),
                transfer_id=transfer_id,
                correlation_id=transfer_id,
                other_facility=target.stocked.location.facility,
                other_location=target.stocked.location.location,
            )
        )

    def _arrive(
        self, source: Shelf, target: Shelf, batch: Batch | None, quantity: int, transfer_id: str, now: int
    ) -> Published:
        arrived = batch or self._stage.new_batch(now)
        target.put(arrived, quantity)
        return self._publish(
            replace(
                self._movement(MovementKind.TRANSFER_IN, target, quantity, arrived, now),
                transfer_id=transfer_id,
                correlation_id=transfer_id,
                other_facility=source.stocked.location.facility,
                other_location=source.stocked.location.location,
            )
        )

    def _issue(self, now: int) -> Published | None:
        """To a department that keeps no stock; its cost center bears it."""
        shelf = self._owned()
        if not shelf.held:
            return None
        quantity = self._stage.rng.randint(1, min(6, shelf.on_hand))
        batch = shelf.take(quantity)
        movement = replace(
            self._movement(MovementKind.ISSUE, shelf, quantity, batch, now),
            cost_center=shelf.stocked.location.cost_center,
        )
        self._issued.append(Taken(shelf, batch, movement))
        self._reversible.append(Taken(shelf, batch, movement))
        return self._publish(movement)

    def _return(self, now: int) -> Published | None:
        """Part of an earlier issue comes back unused."""
        if not self._issued:
            return None
        issued = self._issued.popleft()
        quantity = self._stage.rng.randint(1, issued.movement.quantity)
        batch = issued.batch or self._stage.new_batch(now)
        issued.shelf.put(batch, quantity)
        movement = self._movement(MovementKind.RETURN, issued.shelf, quantity, batch, now)
        return self._publish(replace(movement, cost_center=issued.movement.cost_center, reason="UNUSED"))

    def _adjust(self, now: int) -> Published | None:
        """Damaged or expired goods go, found goods come."""
        shelf = self._owned()
        if not shelf.held:
            return None
        held = self._stage.rng.choice(shelf.held)
        change = self._stage.rng.choice((-2, -1, -1, 1))
        if change > 0:
            shelf.put(held.batch, change)
        else:
            change = max(change, -held.quantity)
            held.quantity += change
            shelf.recount(shelf.held)
        movement = self._movement(MovementKind.ADJUSTMENT, shelf, change, held.batch, now)
        adjusted = replace(movement, reason="FOUND" if change > 0 else "DAMAGED")
        self._reversible.append(Taken(shelf, held.batch, adjusted))
        return self._publish(adjusted)

    def _reverse(self, now: int) -> Published | None:
        """An issue or adjustment is taken back, once."""
        if not self._reversible:
            return None
        taken = self._reversible.popleft()
        if taken.batch:
            taken.shelf.put(taken.batch, abs(taken.movement.quantity))
        movement = self._movement(MovementKind.REVERSAL, taken.shelf, 0, None, now)
        return self._publish(replace(movement, occurred_at=now, reverses=taken.movement.event_id))

    # --- counts ---

    def _count_somewhere(self, now: int) -> Published:
        shelf = self._stage.shelves.pick(self._stage.rng)
        whole = self._stage.rng.random() < FULL_COUNT_SHARE
        seen = [Held(held.batch, self._as_counted(held.quantity)) for held in shelf.held]
        return self._count(shelf, seen if whole else seen[:1], self._stage.occurred(now), now, whole)

    def _as_counted(self, quantity: int) -> int:
        if self._stage.rng.random() > COUNT_VARIANCE_SHARE:
            return quantity
        return max(0, quantity + self._stage.rng.choice((-3, -1, 1, 2)))

    def _count(self, shelf: Shelf, seen: list[Held], occurred: int, now: int, whole: bool) -> Published:
        """Lots by what was seen; a ``whole`` count says that there are no others."""
        if whole or not seen:
            shelf.recount(Held(held.batch, held.quantity) for held in seen)
        owner = shelf.stocked.owner
        movement = replace(
            self._movement(MovementKind.COUNT, shelf, 0, None, now),
            occurred_at=occurred,
            counted=tuple(CountedLot(h.batch.lot, h.quantity, owner, h.batch.expiry_date) for h in seen),
            full_count=whole or not seen,
        )
        return self._publish(movement)

    # --- the record ---

    def _owned(self) -> Shelf:
        """A shelf of owned stock, with some on it if that is soon found."""
        for _ in range(TRIES):
            shelf = self._stage.shelves.pick(self._stage.rng)
            if shelf.held and shelf.stocked.owner is None:
                break
        return shelf

    def _movement(
        self, kind: MovementKind, shelf: Shelf, quantity: int, batch: Batch | None, now: int
    ) -> StockMovement:
        stocked = shelf.stocked
        return StockMovement(
            event_id=self._stage.new_id("M"),
            occurred_at=self._stage.occurred(now),
            recorded_at=now,
            source_system=SYSTEM,
            correlation_id=self._stage.new_id("C"),
            kind=kind,
            facility=stocked.location.facility,
            location=stocked.location.location,
            item=stocked.item.item,
            quantity=quantity,
            uom=stocked.item.base_uom,
            lot=batch.lot if batch else None,
            expiry_date=batch.expiry_date if batch else None,
            owner=stocked.owner if batch else None,
        )

    def _publish(self, movement: StockMovement) -> Published:
        return message(topics.movements, movement, movement.recorded_at)
