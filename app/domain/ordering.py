"""Orders and their revisions: what each line asks for, and what its position is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.domain.order_draft import OrderDecision, OrderDraft
from app.domain.orders import Arrival, OrderLine, Status, place_of
from app.domain.receiving import find_wrong_item
from app.domain.records import (
    ExceptionKind,
    LedgerEffect,
    OrderStatus,
    OrderType,
    PurchaseOrder,
    PurchaseOrderLine,
    UnitConversion,
)
from app.domain.units import conversion_of, converted


def place(draft: OrderDraft, event: PurchaseOrder) -> OrderDecision:
    """An order, or a newer revision of it: lines are as it says, lines left out are cancelled.

    What is open of a line is on order at its position, for our own stock: bill-only orders pay for what was used, and
    consigned stock is in no owned figure. Raises Refused INEXACT_QUANTITY.
    """
    before = draft.order
    if event.revision <= before.revision:
        return draft.close("ORDER", before, LedgerEffect.SUPERSEDED)
    wanted = {line.line: line for line in event.lines} if event.status is OrderStatus.OPEN else {}
    arrivals = _place_lines(draft, wanted)
    for number in before.lines.keys() - wanted.keys():
        line = draft.lines[number]
        draft.lines[number] = replace(line, ordered=min(line.ordered, line.received))
    if OrderType.STOCK in (before.order_type, event.order_type):
        _tell_open(draft, before.order_type, event.order_type)
    _find_inactive_supplier(draft, event.supplier)
    after = replace(
        before,
        status=Status.CANCELLED if event.status is OrderStatus.CANCELLED else Status.OPEN,
        revision=event.revision,
        order_type=event.order_type,
        supplier=event.supplier,
        currency=event.currency,
        arrivals=arrivals,
    )
    return draft.close("ORDER", after)


def _place_lines(draft: OrderDraft, wanted: Mapping[int, PurchaseOrderLine]) -> tuple[Arrival, ...]:
    """Put the wanted lines on the draft; returns the arrivals that still match none of them."""
    arrivals = list(draft.order.arrivals)
    for number, line in wanted.items():
        known = draft.lines.get(number)
        factor = _factor(draft, known, line)
        received = known.received if known else 0
        if known is None or known.place != place_of(line):
            received += _claim(draft, arrivals, line)
        draft.lines[number] = OrderLine(
            number,
            line.facility,
            line.location,
            line.item,
            converted(line.quantity, factor),
            received,
            factor,
            line.unit_price,
            line.trigger_id,
            line.due_date,
        )
        _find_early_surplus(draft, known, draft.lines[number])
    return tuple(arrivals)


def _factor(draft: OrderDraft, known: OrderLine | None, line: PurchaseOrderLine) -> UnitConversion:
    """Pinned when the line was first seen in this unit: a later change of the item master changes no order."""
    if known is not None and (known.item, known.factor.uom) == (line.item, line.uom):
        return known.factor
    return conversion_of(draft.item(line.item), line.uom)


def _claim(draft: OrderDraft, arrivals: list[Arrival], line: PurchaseOrderLine) -> int:
    """Take out of ``arrivals`` what came for the line before it was known; returns how much."""
    own = [arrival for arrival in arrivals if _is_for(arrival, line)]
    for arrival in own:
        arrivals.remove(arrival)
    for arrival in arrivals:
        if arrival.po_line == line.line:
            find_wrong_item(draft, arrival.place[2], line, line)
    return sum(arrival.quantity for arrival in own)


def _is_for(arrival: Arrival, line: PurchaseOrderLine) -> bool:
    """A named line must be of the same item; without a name, item and place must agree."""
    if arrival.po_line is None:
        return arrival.place == place_of(line)
    return arrival.po_line == line.line and arrival.place[2] == line.item


def _find_early_surplus(draft: OrderDraft, known: OrderLine | None, line: OrderLine) -> None:
    before = known.received - known.ordered if known else 0
    surplus = line.received - line.ordered
    if surplus > max(before, 0):
        draft.find(
            ExceptionKind.OVER_RECEIPT,
            f"lines[{line.line}].quantity is {line.ordered}, received already {line.received}; expected at least that",
            line,
        )


def _tell_open(draft: OrderDraft, before: OrderType, now: OrderType) -> None:
    """Tell each position how its on-order changes, and which request the order answers."""
    for number, line in draft.lines.items():
        known = draft.order.lines.get(number)
        was = known.open if known and before is OrderType.STOCK else 0
        is_open = line.open if now is OrderType.STOCK else 0
        if known is not None and known.place != line.place:
            draft.order_at(known, -was)
            was, known = 0, None
        answers = known is None or known.trigger_id != line.trigger_id
        draft.order_at(line, is_open - was, line.trigger_id if answers else None)


def _find_inactive_supplier(draft: OrderDraft, name: str) -> None:
    supplier = draft.reference.supplier(name)
    if supplier is None:
        draft.find(ExceptionKind.UNKNOWN_REFERENCE, f"supplier is {name!r}; expected one that the master data know")
    elif not supplier.active:
        draft.find(ExceptionKind.INACTIVE_REFERENCE, f"supplier {name!r} is inactive; expected active")
