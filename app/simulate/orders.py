"""A simulated purchase order on its way from requests to deliveries."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.domain.records import OrderType, PurchaseOrderLine
from app.simulate.shelves import Shelf


@dataclass(frozen=True, slots=True)
class Request:
    """So many base units wanted on a shelf; ``trigger_id`` where a replenishment trigger asked."""

    shelf: Shelf
    quantity: int
    trigger_id: str | None


@dataclass(slots=True)
class Order:
    """An order from its first request to its last delivery. ``lines`` are empty until it is sent."""

    po_number: str
    supplier: str
    kind: OrderType
    requests: list[Request] = field(default_factory=list)
    lines: tuple[PurchaseOrderLine, ...] = ()
    revision: int = 0
