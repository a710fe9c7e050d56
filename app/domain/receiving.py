"""Receipts: what came is put away, whatever was ordered, and what does not fit the order becomes an exception."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from app.domain.lots import expected_owner
from app.domain.order_draft import OrderDecision, OrderDraft
from app.domain.orders import Arrival, OrderLine, place_of
from app.domain.positions import day_of
from app.domain.records import (
    ExceptionKind,
    InboundKind,
    OrderType,
    PurchaseOrderLine,
    Receipt,
    ReceiptLine,
    UnitConversion,
)
from app.domain.units import conversion_of, converted


def receive(draft: OrderDraft, event: Receipt) -> OrderDecision:
    """Everything that came is put away, whatever was ordered; what does not fit the order becomes an exception.

    A delivery line seen before under another event is left alone. Raises Refused INEXACT_QUANTITY.
    """
    deliveries = dict(draft.order.deliveries)
    arrivals = list(draft.order.arrivals)
    fresh = [line for line in event.lines if not _is_repeated(draft, event, line)]
    if not fresh:
        return OrderDecision(outputs=tuple(draft.exceptions(first=0, applied=False)))
    for line in fresh:
        deliveries[event.supplier, event.delivery_note, line.line] = event.event_id
        _receive_line(draft, line, arrivals)
    if draft.order.revision == 0:
        named = "no order" if event.po_number is None else f"order {event.po_number!r}, which is not known"
        draft.find(
            ExceptionKind.RECEIPT_WITHOUT_ORDER,
            f"delivery_note is {event.delivery_note!r} of {event.supplier!r}, for {named}; expected an order for it",
        )
    after = replace(draft.order, arrivals=tuple(arrivals), deliveries=deliveries)
    return draft.close("RECEIPT", replace(after, supplier=after.supplier or event.supplier))


def _is_repeated(draft: OrderDraft, event: Receipt, line: ReceiptLine) -> bool:
    first = draft.order.deliveries.get((event.supplier, event.delivery_note, line.line))
    if first is None:
        return False
    draft.find(
        ExceptionKind.REPEATED_DELIVERY_NOTE,
        f"delivery_note {event.delivery_note!r} of {event.supplier!r}, line {line.line}, was received as {first!r} "
        "before; expected each line once",
        line,
    )
    return True


def _receive_line(draft: OrderDraft, line: ReceiptLine, arrivals: list[Arrival]) -> None:
    named = draft.lines.get(line.po_line) if line.po_line is not None else None
    if named is not None and named.item != line.item:
        find_wrong_item(draft, line.item, named, line)
        _unmatched(draft, line, arrivals)
        return
    ordered = named or _like(draft.lines.values(), line)
    if ordered is None:
        _find_not_on_order(draft, line)
        _unmatched(draft, line, arrivals)
        return
    _matched(draft, line, ordered)


def _like(lines: Iterable[OrderLine], received: ReceiptLine) -> OrderLine | None:
    """The line of the same item for the same place, rather one with something open."""
    same = [line for line in lines if line.place == place_of(received)]
    return next((line for line in same if line.open), same[0] if same else None)


def _unmatched(draft: OrderDraft, line: ReceiptLine, arrivals: list[Arrival]) -> None:
    quantity = converted(line.quantity, conversion_of(draft.item(line.item), line.uom))
    arrivals.append(Arrival(_claimable(draft, line), place_of(line), quantity))
    _put_away(draft, line, quantity)


def _claimable(draft: OrderDraft, line: ReceiptLine) -> int | None:
    """The line that may claim it later: the one it names, unless that one is for another item."""
    named = draft.lines.get(line.po_line) if line.po_line is not None else None
    return line.po_line if named is None else None


def _matched(draft: OrderDraft, received: ReceiptLine, line: OrderLine) -> None:
    quantity = converted(received.quantity, _received_factor(draft, received, line))
    cleared = min(quantity, line.open)
    if quantity > line.open:
        draft.find(
            ExceptionKind.OVER_RECEIPT,
            f"quantity is {quantity} base units for line {line.line}, of which {line.open} were open; "
            "expected at most what is open",
            received,
        )
    draft.lines[line.line] = replace(line, received=line.received + quantity)
    if draft.order.order_type is OrderType.BILL_ONLY:
        return  # it was used before it was ordered: the receipt closes the order and moves no stock
    _put_away(draft, received, quantity, line, cleared)


def _received_factor(draft: OrderDraft, received: ReceiptLine, line: OrderLine) -> UnitConversion:
    return line.factor if received.uom == line.factor.uom else conversion_of(draft.item(received.item), received.uom)


def _put_away(
    draft: OrderDraft, received: ReceiptLine, quantity: int, line: OrderLine | None = None, cleared: int = 0
) -> None:
    """Tell the position where it was received; what was on order elsewhere is no longer on order there."""
    order, owner = draft.order, _owner(draft, received)
    elsewhere = line is not None and line.place != place_of(received)
    draft.tell(
        InboundKind.PUT_AWAY,
        place_of(received),
        quantity,
        on_order_cleared=0 if owner or elsewhere else cleared,
        owner=owner,
        lot=received.lot,
        expiry_date=received.expiry_date,
        amount=None if line is None or owner else _amount(draft, line, quantity),
        currency=None if line is None else order.currency,
        po_number=order.po_number if order.revision else None,
        po_line=None if line is None else line.line,
    )
    if line is not None and elsewhere and not owner:
        draft.order_at(line, -cleared)
    _find_expired(draft, received)


def _owner(draft: OrderDraft, received: ReceiptLine) -> str | None:
    """The supplier of a consignment order; without an order, whose stock the location keeps of the item."""
    order = draft.order
    if order.revision:
        return order.supplier if order.order_type is OrderType.CONSIGNMENT else None
    return expected_owner(draft.item(received.item), draft.reference.item_location(*place_of(received)))


def _amount(draft: OrderDraft, line: OrderLine, quantity: int) -> Decimal | None:
    """What the order pays; not known in the item's currency where the order is in another."""
    return line.worth(quantity) if draft.item(line.item).currency == draft.order.currency else None


def find_wrong_item(draft: OrderDraft, item: str, line: OrderLine | PurchaseOrderLine, about: object) -> None:
    """Something else came for the line than it orders."""
    draft.find(
        ExceptionKind.WRONG_ITEM, f"item is {item!r} for line {line.line} of the order; expected {line.item!r}", about
    )


def _find_not_on_order(draft: OrderDraft, line: ReceiptLine) -> None:
    """For an order that is not known at all, the receipt as a whole is one exception."""
    if draft.order.revision:
        draft.find(
            ExceptionKind.RECEIPT_WITHOUT_ORDER,
            f"item is {line.item!r} for {line.facility}|{line.location}, po_line {line.po_line}; expected a line of "
            f"order {draft.order.po_number!r}",
            line,
        )


def _find_expired(draft: OrderDraft, line: ReceiptLine) -> None:
    day = day_of(draft.event.occurred_at)
    if line.expiry_date is not None and line.expiry_date < day:
        draft.find(
            ExceptionKind.EXPIRED_LOT,
            f"expiry_date of lot {line.lot!r} is {line.expiry_date}, received on {day}; expected a lot that had not "
            "expired",
            line,
        )
