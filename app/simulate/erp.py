"""The simulated ERP: requests of wards and triggers become purchase orders, and these go mostly as they should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum, auto

from agents import topics
from app.domain.records import (
    OrderStatus,
    OrderType,
    PurchaseOrder,
    PurchaseOrderLine,
    ReplenishmentTrigger,
    TriggerStatus,
)
from app.simulate.deliveries import Deliveries
from app.simulate.messages import Published, message
from app.simulate.orders import Order, Request
from app.simulate.plan import HOUR_MS, MINUTE_MS
from app.simulate.shelves import Shelf
from app.simulate.stage import Stage, day
from app.simulate.world import CURRENCY

ERP = "erp"
MOST_LINES = 12
REST_COMES_SHARE = 0.6  # of short deliveries
COURSE_ROOM = 4  # messages that one order may take at most


class Course(Enum):
    """How an order goes."""

    FULL = auto()
    SHORT = auto()  # a part now, the rest later or never
    OVER = auto()
    WRONG_ITEM = auto()
    REPEATED_NOTE = auto()  # the delivery note is entered twice, under two event ids
    EARLY = auto()  # the delivery is recorded before the order
    UNREFERENCED = auto()  # the delivery note names no order
    REVISED = auto()
    CANCELLED = auto()


_COURSES = {
    Course.FULL: 64,
    Course.SHORT: 10,
    Course.OVER: 5,
    Course.WRONG_ITEM: 3,
    Course.REPEATED_NOTE: 4,
    Course.EARLY: 4,
    Course.UNREFERENCED: 3,
    Course.REVISED: 5,
    Course.CANCELLED: 2,
}


class Erp:
    """Collects requests per supplier into orders for one or many facilities, and has them delivered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._deliveries = Deliveries(stage)
        self._collecting: dict[tuple[str, OrderType], Order] = {}
        self._by_trigger: dict[str, Order] = {}
        self._courses: dict[Course, Callable[[Order, int], None]] = {
            Course.FULL: self._full,
            Course.SHORT: self._short,
            Course.OVER: self._over,
            Course.WRONG_ITEM: self._wrong_item,
            Course.REPEATED_NOTE: self._repeated_note,
            Course.EARLY: self._early,
            Course.UNREFERENCED: self._unreferenced,
            Course.REVISED: self._revised,
            Course.CANCELLED: self._cancelled,
        }

    # --- asked by wards and by triggers ---

    def refill(self, shelf: Shelf, now: int) -> None:
        """Order a shelf up to its capacity, unless supply is on the way or the run has no room left."""
        if shelf.expected:
            return
        self._request(Request(shelf, max(1, shelf.stocked.capacity - shelf.on_hand), None), now)

    def answer(self, trigger: ReplenishmentTrigger, now: int) -> bool:
        """Order what a trigger asks for, or withdraw a cancelled one; False where the run has no room for it."""
        if trigger.status is TriggerStatus.CANCELLED:
            return self._withdraw(trigger.trigger_id)
        shelf = self._stage.shelves.get(topics.position_key(trigger))
        return shelf is not None and self._request(Request(shelf, trigger.quantity, trigger.trigger_id), now)

    def open_with(self, shelves: Sequence[Shelf], now: int) -> None:
        """Order the opening stock of these shelves, delivered in full within the hour."""
        for shelf in shelves:
            self._request(Request(shelf, shelf.stocked.capacity, None), now, self._full_at_once)

    def bill_only(self, shelf: Shelf, quantity: int, now: int) -> None:
        """Order consigned stock that was used, for the invoice alone."""
        order = self._new_order(_supplier(shelf), OrderType.BILL_ONLY)
        order.requests.append(Request(shelf, quantity, None))
        self._stage.agenda.plan(self._stage.soon(now, HOUR_MS, 4 * HOUR_MS), lambda t: self._send(order, t))

    def deliver_unordered(self, shelf: Shelf, quantity: int, now: int) -> None:
        """An emergency delivery that nobody ordered on paper."""
        order = self._new_order(_supplier(shelf), OrderType.STOCK)
        order.requests.append(Request(shelf, quantity, None))
        due = self._stage.soon(now, 10 * MINUTE_MS, HOUR_MS)
        self._stage.agenda.plan(due, lambda t: self._deliver_nameless(order, t))

    def _request(self, request: Request, now: int, course: Callable[[Order, int], None] | None = None) -> bool:
        order = self._collector(request.shelf, now, course)
        if order is None:
            return False
        order.requests.append(request)
        request.shelf.expected = True
        if request.trigger_id:
            self._by_trigger[request.trigger_id] = order
        if len(order.requests) >= MOST_LINES:
            del self._collecting[order.supplier, order.kind]
        return True

    def _collector(self, shelf: Shelf, now: int, course: Callable[[Order, int], None] | None) -> Order | None:
        kind = OrderType.CONSIGNMENT if shelf.stocked.owner else OrderType.STOCK
        supplier = _supplier(shelf)
        collecting = self._collecting.get((supplier, kind))
        if collecting is not None:
            return collecting
        if self._stage.room < COURSE_ROOM:
            return None
        order = self._collecting[supplier, kind] = self._new_order(supplier, kind)
        (course or self._draw_course())(order, now)
        return order

    def _new_order(self, supplier: str, kind: OrderType) -> Order:
        return Order(self._stage.new_id("PO"), supplier, kind)

    def _draw_course(self) -> Callable[[Order, int], None]:
        (course,) = self._stage.rng.choices(list(_COURSES), list(_COURSES.values()))
        return self._courses[course]

    def _withdraw(self, trigger_id: str) -> bool:
        """Take back a request that is not on an order yet; what is ordered stays ordered."""
        order = self._by_trigger.pop(trigger_id, None)
        if order is None or order.lines:
            return False
        order.requests = [request for request in order.requests if request.trigger_id != trigger_id]
        return True

    # --- how orders go ---

    def _full(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        self._plan_delivery(now, lambda t: self._deliveries.full(order, t))

    def _full_at_once(self, order: Order, now: int) -> None:
        self._stage.agenda.plan(now, lambda t: self._send(order, t))
        due = self._stage.soon(now, 10 * MINUTE_MS, HOUR_MS)
        self._stage.agenda.plan(due, lambda t: self._deliveries.full(order, t))

    def _short(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        self._plan_delivery(now, lambda t: self._deliveries.part(order, t))
        if self._stage.rng.random() < REST_COMES_SHARE:
            self._plan_delivery(now + 12 * HOUR_MS, lambda t: self._deliveries.rest(order, t))

    def _over(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        self._plan_delivery(now, lambda t: self._deliveries.more(order, t))

    def _wrong_item(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        self._plan_delivery(now, lambda t: self._deliveries.wrong(order, t))

    def _repeated_note(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        note = self._stage.new_id("DN")
        self._plan_delivery(now, lambda t: self._deliveries.full(order, t, note))
        self._plan_delivery(now + 9 * HOUR_MS, lambda t: self._deliveries.again(order, t, note))

    def _early(self, order: Order, now: int) -> None:
        """The ERP is slow: goods are on the shelf before the order is published, under lines that it will have."""
        closed = self._stage.soon(now, 5 * MINUTE_MS, 25 * MINUTE_MS)
        self._stage.agenda.plan(closed, lambda t: self._deliver_early(order, t))
        self._stage.agenda.plan(self._stage.soon(closed, HOUR_MS, 3 * HOUR_MS), lambda t: self._send(order, t))

    def _unreferenced(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        self._plan_delivery(now, lambda t: self._deliver_nameless(order, t))

    def _revised(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        due = self._stage.soon(now, 40 * MINUTE_MS, 2 * HOUR_MS)
        self._stage.agenda.plan(due, lambda t: self._revise(order, t))
        self._plan_delivery(now, lambda t: self._deliveries.full(order, t))

    def _cancelled(self, order: Order, now: int) -> None:
        self._plan_order(order, now)
        due = self._stage.soon(now, 40 * MINUTE_MS, 2 * HOUR_MS)
        self._stage.agenda.plan(due, lambda t: self._cancel(order, t))

    def _plan_order(self, order: Order, now: int) -> None:
        due = self._stage.soon(now, 5 * MINUTE_MS, 25 * MINUTE_MS)
        self._stage.agenda.plan(due, lambda t: self._send(order, t))

    def _plan_delivery(self, now: int, deliver: Callable[[int], Published | None]) -> None:
        self._stage.agenda.plan(self._stage.soon(now, 2 * HOUR_MS, 8 * HOUR_MS), deliver)

    # --- orders as published ---

    def _send(self, order: Order, now: int) -> Published | None:
        self._close(order, now)
        if not order.lines:
            return None
        order.revision += 1
        return self._publish_order(order, now, OrderStatus.OPEN)

    def _close(self, order: Order, now: int) -> None:
        """Take no more requests; number the lines."""
        key = order.supplier, order.kind
        if self._collecting.get(key) is order:
            del self._collecting[key]
        if not order.lines:
            order.lines = tuple(self._line(n, request, now) for n, request in enumerate(order.requests, start=1))

    def _line(self, number: int, request: Request, now: int) -> PurchaseOrderLine:
        stocked = request.shelf.stocked
        quantity, uom, factor = self._unit(request)
        drift = Decimal(self._stage.rng.randint(95, 105)) / 100
        price = (stocked.item.standard_cost * factor * drift).quantize(Decimal("0.01"), ROUND_HALF_UP)
        return PurchaseOrderLine(
            line=number,
            item=stocked.item.item,
            facility=stocked.location.facility,
            location=stocked.location.location,
            quantity=quantity,
            uom=uom,
            unit_price=price,
            trigger_id=request.trigger_id,
            due_date=day(now) + timedelta(days=self._stage.rng.randint(1, 5)),
        )

    def _unit(self, request: Request) -> tuple[int, str, int]:
        """Quantity, unit and factor: the largest pack that divides the quantity."""
        item = request.shelf.stocked.item
        packs = [c for c in item.conversions if c.denominator == 1 and request.quantity % c.numerator == 0]
        if not packs:
            return request.quantity, item.base_uom, 1
        pack = max(packs, key=lambda c: c.numerator)
        return request.quantity // pack.numerator, pack.uom, pack.numerator

    def _revise(self, order: Order, now: int) -> Published | None:
        """One line grows by a unit, and the last of several is left out."""
        if not order.revision:
            return None
        first, *others = order.lines
        order.lines = (replace(first, quantity=first.quantity + 1), *others[:-1])
        order.revision += 1
        return self._publish_order(order, now, OrderStatus.OPEN)

    def _cancel(self, order: Order, now: int) -> Published | None:
        if not order.revision:
            return None
        for request in order.requests:
            request.shelf.expected = False
        order.revision += 1
        return self._publish_order(order, now, OrderStatus.CANCELLED)

    def _publish_order(self, order: Order, now: int, status: OrderStatus) -> Published:
        record = PurchaseOrder(
            event_id=self._stage.new_id("O"),
            occurred_at=now,
            recorded_at=now,
            source_system=ERP,
            correlation_id=order.po_number,
            po_number=order.po_number,
            revision=order.revision,
            status=status,
            order_type=order.kind,
            supplier=order.supplier,
            currency=CURRENCY,
            lines=order.lines,
        )
        return message(topics.purchase_orders, record, now)

    def _deliver_early(self, order: Order, now: int) -> Published | None:
        self._close(order, now)
        return self._deliveries.full(order, now)

    def _deliver_nameless(self, order: Order, now: int) -> Published | None:
        self._close(order, now)
        return self._deliveries.nameless(order, now)


def _supplier(shelf: Shelf) -> str:
    return shelf.stocked.owner or shelf.stocked.item.supplier or ""
