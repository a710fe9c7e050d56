"""What each event does to a purchase order: (order, event, master data) → (order, outputs)."""

from __future__ import annotations

from app.domain.decisions import Awaited, Refused, Source
from app.domain.exceptions import refusal
from app.domain.order_draft import OrderDecision, OrderDraft, OrderEvent
from app.domain.ordering import place
from app.domain.orders import Order
from app.domain.receiving import receive
from app.domain.records import ExceptionKind, PurchaseOrder
from app.domain.reference import Reference


def decide(event: OrderEvent, source: Source, order: Order | None, key: str, reference: Reference) -> OrderDecision:
    """Decide one event of one order; the same arguments always give the same decision.

    ``order`` is None where nothing is known under ``key`` yet. An event that lacks master data is to be parked
    (``missing``), or becomes an exception where ``source.overdue``.
    """
    try:
        look_up(event, reference)
        draft = OrderDraft(event, source, order or Order(key), reference)
        if isinstance(event, PurchaseOrder):
            return place(draft, event)
        return receive(draft, event)
    except Awaited as awaited:
        if not source.overdue:
            return OrderDecision(missing=awaited.name)
        return _refuse(awaited.refused, event, source, reference)
    except Refused as refused:
        return _refuse(refused, event, source, reference)


def _refuse(refused: Refused, event: OrderEvent, source: Source, reference: Reference) -> OrderDecision:
    return OrderDecision(outputs=(refusal(refused.kind, refused.message, event, source, reference.version),))


def look_up(event: OrderEvent, reference: Reference) -> None:
    """Raises Awaited for the first line whose item or location is not known (yet)."""
    for line in event.lines:
        if reference.item(line.item) is None:
            raise _unknown("item", line.item, f"item:{line.item}")
        if reference.location(line.facility, line.location) is None:
            raise _unknown("location", line.location, f"location:{line.facility}|{line.location}")


def _unknown(field_name: str, value: str, name: str) -> Awaited:
    message = f"lines.{field_name} is {value!r}; expected one that the master data know"
    return Awaited(name, Refused(ExceptionKind.UNKNOWN_REFERENCE, message))
