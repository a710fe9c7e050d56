"""One event at work on one position: the steps that the rules are made of.

A Draft is the only thing in the domain that changes; it never outlives the decision that it is made for. Every step
writes down what it did, so that the ledger entry at the end is a record and not a second computation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TypeAlias

from app.domain import money
from app.domain.decisions import Source
from app.domain.exceptions import raised
from app.domain.lots import expected_owner, owner_of, spread
from app.domain.outputs import Output, address, output_id
from app.domain.positions import UNKNOWN_LOT, Change, Lot, LotKey, Mark, Position, Transit, day_of
from app.domain.records import (
    ClinicalUsage,
    ConsignmentNotice,
    ConsumptionPosting,
    CostCenter,
    Criticality,
    ExceptionKind,
    Inbound,
    InboundKind,
    Item,
    ItemLocation,
    LedgerEffect,
    LedgerEntry,
    Location,
    LotChange,
    NoticeType,
    PostingType,
    ReplenishmentTrigger,
    StockMovement,
    TriggerStatus,
)
from app.domain.replenishment import Ask, Withdraw, review, usable

InventoryEvent: TypeAlias = ClinicalUsage | StockMovement | Inbound


@dataclass(frozen=True, slots=True)
class Facts:
    """The master data that an event of a position is decided on."""

    item: Item
    location: Location
    kept: ItemLocation | None
    cost_center: CostCenter | None
    version: str


@dataclass(slots=True)
class Draft:
    """``late`` is what of the owned quantity a count had already seen (signed as the change it would have been), and
    ``unmoved`` the number of lots left as they were for that reason. ``amount`` to ``sent_to`` are what a reversal of
    the event will need (see Change). ``reversed`` is the change that the event takes back.
    """

    event: InventoryEvent
    source: Source
    facts: Facts
    before: Position
    mark: Mark
    today: date
    owner: str | None
    lots: dict[LotKey, Lot]
    on_hand: int
    value: Decimal
    last_cost: Decimal | None
    requested: int
    episode: int
    on_order: int
    transits: tuple[Transit, ...]
    full_count: Mark | None
    effect: LedgerEffect = LedgerEffect.APPLIED
    late: int = 0
    unmoved: int = 0
    amount: Decimal = money.ZERO
    posting: PostingType | None = None
    cost_center: str | None = None
    transfer_id: str | None = None
    sent_to: tuple[str, str] | None = None
    reversed: Change | None = None
    lot_changes: list[LotChange] = field(default_factory=list)
    deltas: list[tuple[LotKey, int]] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    found: list[tuple[ExceptionKind, str]] = field(default_factory=list)

    @classmethod
    def of(cls, event: InventoryEvent, source: Source, before: Position, facts: Facts) -> Draft:
        return cls(
            event,
            source,
            facts,
            before,
            (event.occurred_at, event.event_id),
            day_of(source.decided_at),
            expected_owner(facts.item, facts.kept),
            dict(before.lots),
            before.on_hand,
            before.value,
            before.last_cost,
            before.requested,
            before.episode,
            before.on_order,
            before.transits,
            before.full_count,
        )

    # --- lots ---

    def take(self, lot: str | None, quantity: int, owner: str | None = None) -> dict[LotKey, int]:
        """From which lots a quantity goes: the lot given, else first expired first out; ``owner`` where it is named."""
        if lot is None:
            return spread(self.lots, owner or self.owner, quantity, self.today)
        return {self.lot_key(lot, owner): quantity}

    def lot_key(self, lot: str | None, owner: str | None = None) -> LotKey:
        """The lot as it is known here; without a name it is the UNKNOWN lot."""
        name = UNKNOWN_LOT if lot is None else lot
        return name, owner or owner_of(self.lots, name, self.owner)

    def counted(self, lot: Lot) -> Mark | None:
        """The last count that covers the lot: its own, or the position's full count."""
        if lot.counted is None or self.full_count is None:
            return lot.counted or self.full_count
        return max(lot.counted, self.full_count)

    def move(self, key: LotKey, delta: int, expiry_date: date | None = None, *, received: bool = False) -> None:
        """Change a lot's balance, unless a count later than the event has already seen the change."""
        lot = self.lots.get(key) or Lot(key[0], key[1], 0, self.mark[0])
        counted = self.counted(lot)
        self.deltas.append((key, delta))
        if counted is None or self.mark > counted:
            self._write(lot, lot.balance + delta, expiry_date, lot.counted, received)
            return
        self._write(lot, lot.balance, expiry_date, lot.counted, received)
        self.unmoved += 1
        if key[1] is None:
            self.late += delta

    def recount(self, key: LotKey, balance: int, expiry_date: date | None = None) -> None:
        """Set a lot to what a count and the changes after it make, unless the lot was counted later."""
        lot = self.lots.get(key) or Lot(key[0], key[1], 0, self.mark[0])
        counted = self.counted(lot)
        if counted is not None and self.mark <= counted:
            self._write(lot, lot.balance, expiry_date, lot.counted, received=False)
            return
        self.deltas.append((key, balance - lot.balance))
        self._write(lot, balance, expiry_date, self.mark, received=False)

    def _write(self, lot: Lot, balance: int, expiry: date | None, counted: Mark | None, received: bool) -> None:
        time = self.mark[0]
        received_at = min(lot.received_at or time, time) if received else lot.received_at
        expiry = lot.expiry_date or expiry
        change = balance - lot.balance
        self.lots[lot.lot, lot.owner] = Lot(
            lot.lot, lot.owner, balance, max(lot.touched_at, time), expiry, received_at, counted
        )
        self.lot_changes.append(LotChange(lot.lot, lot.owner, change, balance, expiry))
        if lot.owner is None:
            self.on_hand += change

    # --- money ---

    def cost(self, quantity: int) -> Decimal:
        """What ``quantity`` owned units are worth now, rounded for posting.

        Moving average of the stock before the event, ``value * quantity / on hand``; without stock the last unit
        cost, and before there ever was any, the item's standard cost.
        """
        before = self.before
        if before.on_hand > 0 and before.value >= 0:
            return money.posted(money.share(before.value, quantity, before.on_hand))
        unit = self.facts.item.standard_cost if before.last_cost is None else before.last_cost
        return money.posted(money.times(unit, quantity))

    def post(
        self,
        posting_type: PostingType,
        cost_center: str,
        quantity: int,
        amount: Decimal,
        *,
        lot: str | None = None,
        supplier: str | None = None,
        reverses: str | None = None,
    ) -> None:
        """Tell finance; whatever is posted leaves the value, except what the supplier bills."""
        event, facts = self.event, self.facts
        self.outputs.append(
            ConsumptionPosting(
                self._next_id(),
                event.occurred_at,
                self.source.decided_at,
                event.correlation_id,
                event.event_id,
                facts.version,
                posting_type,
                event.facility,
                event.location,
                event.item,
                cost_center,
                quantity,
                facts.item.base_uom,
                amount,
                self.before.currency,
                lot,
                supplier,
                reverses,
            )
        )
        if posting_type is not PostingType.BILL_ONLY:
            self.value -= amount

    def offset(self, quantity: int, amount: Decimal) -> None:
        """Take back from the value's movement what a count had already booked as a variance.

        ``quantity`` and ``amount`` are the owned change as a whole, signed as seen from the stock.
        """
        if not self.late or not quantity:
            return
        part = money.posted(money.share(amount, self.late, quantity))
        self.post(PostingType.ADJUSTMENT, self.facts.location.cost_center, self.late, part, lot=self.only_lot())

    def only_lot(self) -> str | None:
        """The lot concerned, where it is one."""
        return self.deltas[0][0][0] if len(self.deltas) == 1 else None

    # --- what others are told ---

    def _next_id(self) -> str:
        return output_id(self.source.topic, self.event.event_id, len(self.outputs) + 1)

    def notify(self, notice_type: NoticeType, key: LotKey, quantity: int, reverses: str | None = None) -> None:
        """Tell the supplier what of its stock was used (or not used after all), and how much to bring."""
        event, supplier = self.event, key[1] or ""
        balance = sum(lot.balance for lot in self.lots.values() if lot.owner == supplier)
        self.outputs.append(
            ConsignmentNotice(
                self._next_id(),
                event.occurred_at,
                self.source.decided_at,
                event.correlation_id,
                event.event_id,
                self.facts.version,
                notice_type,
                supplier,
                event.facility,
                event.location,
                event.item,
                key[0],
                quantity,
                self.facts.item.base_uom,
                balance,
                self._to_bring(quantity, balance) if notice_type is NoticeType.USED else 0,
                getattr(event, "serial", None),
                reverses,
            )
        )

    def _to_bring(self, quantity: int, balance: int) -> int:
        """One for one, but never above the consignment par."""
        kept = self.facts.kept
        if kept is None or kept.consignment_par is None:
            return quantity
        return max(0, min(quantity, kept.consignment_par - balance))

    def send(self, to: tuple[str, str], transfer_id: str, owner: str | None, quantity: int, amount: Decimal) -> None:
        """Tell another position that stock is on its way (or, with a negative quantity, is not after all)."""
        event = self.event
        self.outputs.append(
            Inbound(
                event_id=self._next_id(),
                occurred_at=event.occurred_at,
                recorded_at=self.source.decided_at,
                source_system="wardstock",
                correlation_id=event.correlation_id,
                causation_id=event.event_id,
                kind=InboundKind.TRANSFER_SENT,
                facility=to[0],
                location=to[1],
                item=event.item,
                quantity=quantity,
                owner=owner,
                lot=self.only_lot(),
                amount=amount,
                currency=self.before.currency,
                transfer_id=transfer_id,
            )
        )

    def find(self, kind: ExceptionKind, message: str) -> None:
        """Note an exception; the event is applied all the same."""
        self.found.append((kind, message))

    # --- the end ---

    def supply(self) -> int:
        """Usable + on order + in transit: the inventory position without what is requested."""
        transit = sum(t.quantity for t in self.transits if t.owner is None) if self.transits else 0
        return usable(self.lots.values(), self.today) + self.on_order + transit

    def replenish(self) -> None:
        """Open or withdraw a request for more, as the inventory position now asks."""
        step = review(self.facts.kept, self.supply(), self.requested)
        if isinstance(step, Ask):
            self.episode += 1
            self.requested = step.quantity
            self._trigger(TriggerStatus.OPEN, step)
        elif step is not None:
            self.requested = 0
            self._trigger(TriggerStatus.CANCELLED, step)

    def trigger_id(self) -> str:
        """``facility|location|item#episode``: the episode last opened."""
        return f"{self.event.facility}|{self.event.location}|{self.event.item}#{self.episode}"

    def _trigger(self, status: TriggerStatus, step: Ask | Withdraw) -> None:
        event, item, kept = self.event, self.facts.item, self.facts.kept
        assert kept is not None  # without one there is no step
        self.outputs.append(
            ReplenishmentTrigger(
                event_id=self._next_id(),
                occurred_at=event.occurred_at,
                decided_at=self.source.decided_at,
                correlation_id=event.correlation_id,
                causation_id=event.event_id,
                master_version=self.facts.version,
                trigger_id=self.trigger_id(),
                status=status,
                facility=event.facility,
                location=event.location,
                item=event.item,
                quantity=step.quantity,
                uom=item.base_uom,
                policy=kept.policy,
                inventory_position=step.inventory_position,
                reorder_point=step.levels.reorder_point,
                order_up_to=step.levels.order_up_to,
                criticality=item.criticality,
                supplier=item.supplier,
            )
        )

    def raise_found(self) -> None:
        """Turn what was noted into exceptions, after all other outputs."""
        urgent = self.facts.item.criticality is Criticality.VITAL
        for kind, message in self.found:
            exception = raised(
                kind,
                message,
                event=self.event,
                source=self.source,
                event_id=self._next_id(),
                version=self.facts.version,
                applied=True,
                urgent=urgent,
            )
            self.outputs.append(exception)

    def position(self) -> Position:
        """The position after the event."""
        return Position(
            self.before.currency,
            self.before.number + 1,
            self.lots,
            self.on_hand,
            self.value,
            self._last_cost(),
            self.requested,
            self.episode,
            self.on_order,
            self.transits,
            self.full_count,
            self.before.remembered_from or self.source.decided_at,
        )

    def _last_cost(self) -> Decimal | None:
        before = self.before
        if self.on_hand > 0:
            return None
        if before.on_hand > 0 and before.value >= 0:
            return money.unit_cost(before.value, before.on_hand)
        return self.last_cost

    def entry(self, kind: str, after: Position) -> LedgerEntry:
        """The ledger entry of the event; last, since it names every other output."""
        event, source, before = self.event, self.source, self.before
        in_transit = after.in_transit
        return LedgerEntry(
            output_id(source.topic, event.event_id, 0),
            event.occurred_at,
            source.decided_at,
            event.correlation_id,
            event.event_id,
            self.facts.version,
            event.facility,
            event.location,
            event.item,
            after.number,
            kind,
            self._effect(),
            source.topic,
            source.partition,
            source.offset,
            tuple(self.lot_changes),
            after.requested - before.requested,
            after.on_order - before.on_order,
            in_transit - before.in_transit,
            after.value - before.value,
            after.on_hand,
            after.requested,
            after.on_order,
            in_transit,
            after.value,
            before.currency,
            tuple(map(address, self.outputs)),
            None if self.reversed is None else self.reversed.event_id,
        )

    def _effect(self) -> LedgerEffect:
        if self.deltas and self.unmoved == len(self.deltas):
            return LedgerEffect.BEFORE_COUNT
        return self.effect

    def change(self, kind: str) -> Change:
        """What to remember of the event for late counts and reversals."""
        return Change(
            self.source.topic,
            self.event.event_id,
            kind,
            self.mark,
            self.source.decided_at,
            tuple(self.deltas),
            self.amount,
            self.posting,
            self.cost_center,
            self.transfer_id,
            self.sent_to,
        )
