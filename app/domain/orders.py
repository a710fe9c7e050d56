"""The state of a purchase order: what was ordered, what came, and which deliveries are known.

A row may be older than its order: a receipt that names an order not seen yet, or none at all, makes a row UNANNOUNCED,
which remembers what came so that the order opens only the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from app.domain import money
from app.domain.records import OrderType, PurchaseOrderLine, ReceiptLine, UnitConversion

Place: TypeAlias = tuple[str, str, str]
"""(facility, location, item)"""

DeliveryLine: TypeAlias = tuple[str, str, int]
"""(supplier, delivery note, line): by which a delivery is known, whatever event tells of it."""


class Status(StrEnum):
    """Where an order stands."""

    UNANNOUNCED = "UNANNOUNCED"
    OPEN = "OPEN"
    PARTIALLY_RECEIVED = "PARTIALLY_RECEIVED"
    RECEIVED = "RECEIVED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line, in base units. ``factor`` is the unit's as of when the line was first seen; ``unit_price`` per uom.

    A cancelled line stays, with ``ordered`` cut down to what was received.
    """

    line: int
    facility: str
    location: str
    item: str
    ordered: int
    received: int
    factor: UnitConversion
    unit_price: Decimal
    trigger_id: str | None = None
    due_date: date | None = None

    @property
    def open(self) -> int:
        return max(self.ordered - self.received, 0)

    @property
    def place(self) -> Place:
        return self.facility, self.location, self.item

    def worth(self, quantity: int) -> Decimal:
        """What ``quantity`` base units cost: ``quantity / factor * unit price``, to four places, half up."""
        total = money.times(self.unit_price, quantity * self.factor.denominator)
        return money.kept(money.share(total, 1, self.factor.numerator))


@dataclass(frozen=True, slots=True)
class Arrival:
    """Received for this order before any line of it could be matched."""

    po_line: int | None
    place: Place
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """A purchase order as known so far.

    ``revision`` is that of the ERP, 0 before the order itself was seen. ``deliveries`` maps each delivery line received
    to the event that told of it first. Nobody may change a mapping found in here.
    """

    po_number: str
    number: int = 0
    status: Status = Status.UNANNOUNCED
    revision: int = 0
    order_type: OrderType = OrderType.STOCK
    supplier: str = ""
    currency: str = ""
    lines: Mapping[int, OrderLine] = field(default_factory=dict)
    arrivals: tuple[Arrival, ...] = ()
    deliveries: Mapping[DeliveryLine, str] = field(default_factory=dict)


def status_of(order: Order) -> Status:
    """By what was ordered and what came; an order cancelled by the ERP keeps that status."""
    if order.revision == 0:
        return Status.UNANNOUNCED
    if order.status is Status.CANCELLED:
        return Status.CANCELLED
    if not any(line.received for line in order.lines.values()):
        return Status.OPEN
    return Status.PARTIALLY_RECEIVED if any(line.open for line in order.lines.values()) else Status.RECEIVED


def place_of(line: PurchaseOrderLine | ReceiptLine) -> Place:
    """Where the line's stock belongs."""
    return line.facility, line.location, line.item
