"""Records and table rows to the compact forms of ``history``: one function each."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from sys import intern
from typing import Any, Final, cast

from agents import topics
from app.reconcile import history as h
from app.reconcile.wire import Record


def _key(record: Record) -> str:
    return intern(f"{record['facility']}|{record['location']}|{record['item']}")


def _source(record: Record) -> h.Place:
    return h.Place(intern(record["source_topic"]), record["source_partition"], record["source_offset"])


# --- inputs ---


def _step(record: Record, kind: str) -> h.Step:
    get = record.get
    return h.Step(
        kind=kind,
        key=_key(record),
        item=intern(record["item"]),
        occurred_at=record["occurred_at"],
        quantity=record["quantity"],
        uom=get("uom"),
        lot=get("lot"),
        owner=get("owner"),
        reverses=get("reverses"),
        counted=tuple(h.Counted(lot["lot"], lot.get("owner"), lot["quantity"]) for lot in get("counted") or ()),
        full_count=bool(get("full_count")),
        transfer_id=get("transfer_id"),
        other=_other(record),
        on_order_cleared=get("on_order_cleared") or 0,
        amount=get("amount"),
        currency=get("currency"),
        trigger_id=get("trigger_id"),
        po_number=get("po_number"),
        po_line=get("po_line"),
        causation_id=get("causation_id"),
    )


def _other(record: Record) -> str | None:
    if not record.get("other_location"):
        return None
    return intern(f"{record['other_facility']}|{record['other_location']}|{record['item']}")


def _usage(record: Record) -> h.Step:
    return _step(record, "USAGE_REVERSAL" if record.get("reverses") else "USAGE")


def _moved(record: Record) -> h.Step:
    return _step(record, intern(record["kind"]))


def _order(record: Record) -> h.Order:
    return h.Order(
        key=record["po_number"],
        supplier=record["supplier"],
        currency=record["currency"],
        revision=record["revision"],
        status=record["status"],
        order_type=record["order_type"],
        lines=tuple(_order_line(line) for line in record["lines"]),
    )


def _order_line(line: Record) -> h.OrderLine:
    return h.OrderLine(
        line=line["line"],
        item=intern(line["item"]),
        position=_key(line),
        quantity=line["quantity"],
        uom=line["uom"],
        unit_price=line["unit_price"],
        trigger_id=line.get("trigger_id"),
    )


def _receipt(record: Record) -> h.Receipt:
    return h.Receipt(
        key=record.get("po_number") or f"{record['supplier']}/{record['delivery_note']}",
        supplier=record["supplier"],
        delivery_note=record["delivery_note"],
        lines=tuple(
            h.ReceiptLine(
                line=line["line"],
                item=intern(line["item"]),
                position=_key(line),
                quantity=line["quantity"],
                uom=line["uom"],
                po_line=line.get("po_line"),
                lot=line.get("lot"),
            )
            for line in record["lines"]
        ),
    )


SOURCE: Final[dict[str, Callable[[Record], h.Input]]] = {
    topics.usage.name: _usage,
    topics.movements.name: _moved,
    topics.purchase_orders.name: _order,
    topics.receipts.name: _receipt,
    topics.inbound.name: _moved,
}


# --- ledgers and outputs ---


def entry(record: Record) -> h.Entry:
    return h.Entry(
        event_id=record["event_id"],
        causation_id=record["causation_id"],
        source=_source(record),
        key=_key(record),
        number=record["number"],
        kind=intern(record["kind"]),
        effect=intern(record["effect"]),
        occurred_at=record["occurred_at"],
        decided_at=record["decided_at"],
        master_version=intern(record["master_version"]),
        lots=tuple(
            h.LotChange((lot["lot"], lot.get("owner")), lot["change"], lot["balance"], lot.get("expiry_date"))
            for lot in record["lots"]
        ),
        requested_change=record["requested_change"],
        on_order_change=record["on_order_change"],
        in_transit_change=record["in_transit_change"],
        value_change=record["value_change"],
        on_hand=record["on_hand"],
        requested=record["requested"],
        on_order=record["on_order"],
        in_transit=record["in_transit"],
        value=record["value"],
        currency=intern(record["currency"]),
        caused=tuple(record["caused"]),
        reverses=record.get("reverses"),
    )


def order_entry(record: Record) -> h.OrderEntry:
    return h.OrderEntry(
        event_id=record["event_id"],
        causation_id=record["causation_id"],
        source=_source(record),
        key=intern(record["po_number"]),
        number=record["number"],
        kind=intern(record["kind"]),
        effect=intern(record["effect"]),
        decided_at=record["decided_at"],
        master_version=intern(record["master_version"]),
        lines=tuple(
            h.LineChange(line["line"], line["ordered_change"], line["received_change"], line["open_quantity"])
            for line in record["lines"]
        ),
        status=intern(record["status"]),
        caused=tuple(record["caused"]),
    )


def posting(record: Record) -> h.Posting:
    return h.Posting(
        event_id=record["event_id"],
        causation_id=record["causation_id"],
        posting_type=intern(record["posting_type"]),
        key=_key(record),
        quantity=record["quantity"],
        amount=record["amount"],
        currency=intern(record["currency"]),
        lot=record.get("lot"),
        reverses=record.get("reverses"),
        decided_at=record["decided_at"],
    )


def notice(record: Record) -> h.Notice:
    return h.Notice(
        event_id=record["event_id"],
        causation_id=record["causation_id"],
        notice_type=intern(record["notice_type"]),
        key=_key(record),
        supplier=intern(record["supplier"]),
        lot=record["lot"],
        quantity=record["quantity"],
        balance=record["balance"],
        decided_at=record["decided_at"],
    )


def trigger(record: Record) -> h.Trigger:
    return h.Trigger(
        event_id=record["event_id"],
        causation_id=record["causation_id"],
        trigger_id=record["trigger_id"],
        status=intern(record["status"]),
        key=_key(record),
        quantity=record["quantity"],
        inventory_position=record["inventory_position"],
        reorder_point=record["reorder_point"],
        order_up_to=record["order_up_to"],
        decided_at=record["decided_at"],
    )


def raised(record: Record) -> h.Raised:
    return h.Raised(
        event_id=record["event_id"],
        causation_id=record["causation_id"],
        kind=intern(record["kind"]),
        applied=record["applied"],
        source=_source(record),
        decided_at=record["decided_at"],
    )


def dead_letter(record: Record) -> h.DeadLetter:
    place = h.Place(intern(record["topic"]), record["partition"], record["offset"])
    headers = tuple((header["name"], header.get("value")) for header in record["headers"])
    original = h.Message(place, record["timestamp"], record.get("key"), record.get("value"), headers)
    return h.DeadLetter(place, intern(record["reason"]), original)


# --- tables ---


def position_row(row: Any) -> h.PositionRow:
    return h.PositionRow(
        number=row["number"],
        lots={(lot["lot"], lot["owner"]): lot["balance"] for lot in row["lots"]},
        requested=row["requested"],
        on_order=row["on_order"],
        in_transit=row["in_transit"],
        value=Decimal(row["value"]),
    )


def order_row(row: Any) -> h.OrderRow:
    return h.OrderRow(
        number=row["number"],
        status=row["status"],
        lines={line["line"]: h.OrderLineRow(line["ordered"], line["received"], line["open"]) for line in row["lines"]},
    )


# --- master data ---


def item(record: Record) -> h.Item:
    factors = {unit["uom"]: Fraction(unit["numerator"], unit["denominator"]) for unit in record["conversions"]}
    factors[record["base_uom"]] = Fraction(1)
    return h.Item(factors, record["standard_cost"], record["currency"], record.get("supplier"))


def policy(record: Record) -> h.Policy:
    return h.Policy(
        consigned=record["ownership"] == "CONSIGNED",
        consignor=record.get("consignment_supplier"),
        reorder_point=_reorder_point(record),
        order_up_to=record.get("par_quantity") if record["policy"] == "PAR" else record.get("max_quantity"),
        minimum_order=record["minimum_order"],
        order_multiple=record["order_multiple"],
    )


def _reorder_point(record: Record) -> int | None:
    """s: the minimum; one below par; or the reorder point, by default daily demand times lead time, plus safety."""
    if record["policy"] == "MIN_MAX":
        return cast("int | None", record.get("min_quantity"))
    if record["policy"] == "PAR":
        par: int | None = record.get("par_quantity")
        return None if par is None else par - 1
    point: int | None = record.get("reorder_point")
    demand, days = record.get("daily_demand"), record.get("lead_time_days")
    if point is not None or demand is None or days is None:
        return point
    over_lead_time: int = math.ceil(demand * days)
    return over_lead_time + int(record.get("safety_stock") or 0)
