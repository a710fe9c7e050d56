"""Purchase orders. Key: the PO number, or ``supplier/delivery_note`` for receipts that name none; kept for ever."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from app.domain.orders import Arrival, Order, OrderLine, Status
from app.domain.records import OrderType, UnitConversion
from app.runtime.state.table import Table


def dump(order: Order) -> bytes:
    """The order as one JSON object; quantities in base units, money as decimal strings, dates as YYYY-MM-DD."""
    return orjson.dumps(
        {
            "number": order.number,
            "po_number": order.po_number,
            "status": order.status,
            "revision": order.revision,
            "order_type": order.order_type,
            "supplier": order.supplier,
            "currency": order.currency,
            "lines": [_line(line) for line in order.lines.values()],
            "arrivals": [_arrival(arrival) for arrival in order.arrivals],
            "deliveries": [(*delivery, event_id) for delivery, event_id in order.deliveries.items()],
        }
    )


def _line(line: OrderLine) -> dict[str, Any]:
    return {
        "line": line.line,
        "facility": line.facility,
        "location": line.location,
        "item": line.item,
        "ordered": line.ordered,
        "received": line.received,
        "open": line.open,
        "uom": line.factor.uom,
        "numerator": line.factor.numerator,
        "denominator": line.factor.denominator,
        "unit_price": str(line.unit_price),
        "trigger_id": line.trigger_id,
        "due_date": line.due_date,
    }


def _arrival(arrival: Arrival) -> dict[str, Any]:
    facility, location, item = arrival.place
    return {
        "po_line": arrival.po_line,
        "facility": facility,
        "location": location,
        "item": item,
        "quantity": arrival.quantity,
    }


def load(raw: bytes) -> Order:
    """The inverse of ``dump``. Raises ``orjson.JSONDecodeError`` or ``KeyError`` for bytes that it did not make."""
    row: dict[str, Any] = orjson.loads(raw)
    return Order(
        po_number=row["po_number"],
        number=row["number"],
        status=Status(row["status"]),
        revision=row["revision"],
        order_type=OrderType(row["order_type"]),
        supplier=row["supplier"],
        currency=row["currency"],
        lines={line["line"]: _loaded_line(line) for line in row["lines"]},
        arrivals=tuple(_loaded_arrival(arrival) for arrival in row["arrivals"]),
        deliveries={(supplier, note, line): event_id for supplier, note, line, event_id in row["deliveries"]},
    )


def _loaded_line(row: dict[str, Any]) -> OrderLine:
    return OrderLine(
        row["line"],
        row["facility"],
        row["location"],
        row["item"],
        row["ordered"],
        row["received"],
        UnitConversion(row["uom"], row["numerator"], row["denominator"]),
        Decimal(row["unit_price"]),
        row["trigger_id"],
        None if row["due_date"] is None else date.fromisoformat(row["due_date"]),
    )


def _loaded_arrival(row: dict[str, Any]) -> Arrival:
    return Arrival(row["po_line"], (row["facility"], row["location"], row["item"]), row["quantity"])


purchase_orders: Table[Order] = Table("purchase-orders", dump=dump, load=load)
