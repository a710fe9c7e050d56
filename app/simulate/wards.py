"""The simulated wards and operating rooms: what they use, for which procedure, and what they take back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from agents import topics
from app.domain.records import ClinicalUsage, Location, LocationKind
from app.simulate.catalog import PROCEDURES, Family
from app.simulate.erp import Erp
from app.simulate.messages import Published, message
from app.simulate.plan import HOUR_MS, MINUTE_MS
from app.simulate.shelves import Batch, Shelf
from app.simulate.stage import Stage
from app.simulate.world import World

REVERSED_SHARE = 0.025  # of usages
REVERSED_EARLY_SHARE = 0.005  # of usages: taken back before they are published
LOT_UNKNOWN_SHARE = 0.2  # of usages of anything but implants: nobody scanned the lot
BOX_SHARE = 0.04
HALF_PAIR_SHARE = 0.05  # of gloves counted singly: an odd number, no whole base unit
BILLED_SHARE = 0.2  # of consigned usages: a bill-only order follows
EXPIRY_SCANNED_SHARE = 0.3
ASKED_SHARE = 0.15  # of finds that a shelf is empty: the ward orders by telephone, as no trigger seems to help
TRIES = 5
QUANTITIES = (1, 1, 1, 1, 2, 2, 3, 4)

_SOURCE = {
    LocationKind.WARD: "ehr",
    LocationKind.OPERATING_ROOM: "or-scheduling",
    LocationKind.PHARMACY: "pharmacy",
    LocationKind.WAREHOUSE: "warehouse",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """``quantity`` in ``uom``, which is ``base`` base units, rounded up where it is not whole."""

    quantity: int
    uom: str
    base: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is used: the correlation id, and the procedure where there is one."""

    correlation_id: str
    procedure_ref: str | None = None


class Wards:
    """Usages, alone or in procedures, and their reversals."""

    def __init__(self, stage: Stage, erp: Erp, world: World) -> None:
        self._stage = stage
        self._erp = erp
        self._rooms = [place for place in world.locations if place.kind is LocationKind.OPERATING_ROOM]

    def plan_usage(self, now: int) -> None:
        self._stage.agenda.plan(now, self.use_something)

    def plan_procedure(self, now: int) -> None:
        """One operation: its usages come within the hour, under one procedure reference."""
        rng = self._stage.rng
        room = rng.choice(self._rooms)
        procedure = rng.choice(PROCEDURES)
        reference = self._stage.new_id("PROC")
        cause = Cause(reference, reference)
        for product, quantity in procedure.consumes:
            self._stage.agenda.plan(
                self._stage.soon(now, 0, HOUR_MS), partial(self._use_product, room, product, quantity, cause)
            )

    def _use_product(self, room: Location, product: str, quantity: int, cause: Cause, now: int) -> Published | None:
        """One variant of it, preferably one that is there; nothing where the room keeps none."""
        variants = self._stage.shelves.variants(room, product)
        if not variants:
            return None
        shelf = self._stage.rng.choice([shelf for shelf in variants if shelf.held] or variants)
        return self.use(shelf, self._units(shelf, quantity), cause, now)

    def use_something(self, now: int) -> Published:
        """A usage at some shelf that has stock; after some tries, at one that has none (wards find things)."""
        for _ in range(TRIES):
            shelf = self._stage.shelves.pick(self._stage.rng)
            if shelf.held:
                break
            if self._stage.rng.random() < ASKED_SHARE:
                self._erp.refill(shelf, now)
        return self.use(shelf, self._amount(shelf), Cause(self._stage.new_id("C")), now)

    def use(self, shelf: Shelf, amount: Amount, cause: Cause, now: int) -> Published:
        """The usage, or in its stead the reversal that overtakes it."""
        batch = shelf.take(amount.base)
        self._consigned_follows(shelf, amount, now)
        usage = self._usage(shelf, amount, cause, now, batch)
        draw = self._stage.rng.random()
        if draw < REVERSED_EARLY_SHARE and self._stage.room > 0:
            return self._reverse_early(usage, now)
        if draw < REVERSED_EARLY_SHARE + REVERSED_SHARE and self._stage.room > 0:
            self._plan_reversal(shelf, usage, batch, amount.base, now)
        return message(topics.usage, usage, now)

    def _consigned_follows(self, shelf: Shelf, amount: Amount, now: int) -> None:
        if shelf.stocked.owner is None:
            return
        if self._stage.room > 0 and self._stage.rng.random() < BILLED_SHARE:
            self._erp.bill_only(shelf, amount.base, now)
        if shelf.on_hand * 2 <= shelf.stocked.capacity:
            self._erp.refill(shelf, now)

    def _usage(self, shelf: Shelf, amount: Amount, cause: Cause, now: int, batch: Batch | None) -> ClinicalUsage:
        stage, stocked = self._stage, shelf.stocked
        implant = stocked.family is Family.IMPLANT
        known = batch if implant or stage.rng.random() >= LOT_UNKNOWN_SHARE else None
        scanned = known is not None and stage.rng.random() < EXPIRY_SCANNED_SHARE
        return ClinicalUsage(
            event_id=stage.new_id("U"),
            occurred_at=stage.occurred(now),
            recorded_at=now,
            source_system=_SOURCE[stocked.location.kind],
            correlation_id=cause.correlation_id,
            facility=stocked.location.facility,
            location=stocked.location.location,
            item=stocked.item.item,
            quantity=amount.quantity,
            uom=amount.uom,
            cost_center=stocked.location.cost_center,
            lot=known.lot if known else None,
            serial=f"SN{stage.rng.getrandbits(40):010X}" if implant else None,
            expiry_date=known.expiry_date if known and scanned else None,
            procedure_ref=cause.procedure_ref,
        )

    # --- how much ---

    def _amount(self, shelf: Shelf) -> Amount:
        rng, stocked = self._stage.rng, shelf.stocked
        if stocked.family is Family.IMPLANT:
            return Amount(1, stocked.item.base_uom, 1)
        if rng.random() < BOX_SHARE:
            return self._box(shelf)
        return self._units(shelf, rng.choice(QUANTITIES))

    def _box(self, shelf: Shelf) -> Amount:
        """A whole box where the shelf has one."""
        box = next((c for c in shelf.stocked.item.conversions if c.uom == "BX"), None)
        if box is None or box.numerator > shelf.on_hand:
            return self._units(shelf, 1)
        return Amount(1, box.uom, box.numerator)

    def _units(self, shelf: Shelf, base: int) -> Amount:
        """In base units; what comes in pairs is now and then counted by the piece."""
        stocked, rng = shelf.stocked, self._stage.rng
        if stocked.item.base_uom != "PR" or rng.random() < 0.7:
            return Amount(base, stocked.item.base_uom, base)
        odd = rng.random() < HALF_PAIR_SHARE
        return Amount(base * 2 - odd, "EA", base)

    # --- taken back ---

    def _reverse_early(self, usage: ClinicalUsage, now: int) -> Published:
        """The reversal now, its original within minutes."""
        self._stage.agenda.plan(
            self._stage.soon(now, MINUTE_MS, 10 * MINUTE_MS),
            lambda t: message(topics.usage, replace(usage, recorded_at=t), t),
        )
        return message(topics.usage, self._reversal(usage, now), now)

    def _plan_reversal(self, shelf: Shelf, usage: ClinicalUsage, batch: Batch | None, base: int, now: int) -> None:
        def reverse(then: int) -> Published:
            if batch:
                shelf.put(batch, base)
            return message(topics.usage, self._reversal(usage, then), then)

        self._stage.agenda.plan(self._stage.soon(now, 10 * MINUTE_MS, 8 * HOUR_MS), reverse)

    def _reversal(self, usage: ClinicalUsage, now: int) -> ClinicalUsage:
        return replace(
            usage, event_id=self._stage.new_id("UR"), occurred_at=now, recorded_at=now, reverses=usage.event_id
        )
