"""Which values an event may not have: what makes a readable message a dead letter all the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from agents import topics
from app.reconcile.wire import Record

_Check = Callable[[Record], Iterator[str]]
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def flaw(topic: str, record: Record) -> str | None:
    """A value that is not allowed, as ``field=value``; None where all are."""
    return next(_RULES[topic](record), None)


# --- single values ---


def _unless(allowed: bool, record: Record, field: str) -> Iterator[str]:
    if not allowed:
        yield f"{field}={record.get(field)!r}"


def _text(record: Record, *fields: str) -> Iterator[str]:
    for field in fields:
        yield from _unless(bool(record.get(field)), record, field)


def _text_or_null(record: Record, *fields: str) -> Iterator[str]:
    for field in fields:
        yield from _unless(record.get(field) != "", record, field)


def _name(record: Record, *fields: str) -> Iterator[str]:
    for field in fields:
        name = record.get(field)
        yield from _unless(bool(name) and "|" not in name, record, field)  # type: ignore[operator]


def _positive(record: Record) -> Iterator[str]:
    yield from _unless(record["quantity"] > 0, record, "quantity")


def _distinct(rows: list[Record], *fields: str) -> Iterator[str]:
    keys = [tuple(row.get(field) for field in fields) for row in rows]
    if len(set(keys)) < len(keys):
        yield f"{fields[0]} twice"


# --- parts ---


def _envelope(record: Record) -> Iterator[str]:
    yield from _text(record, "event_id")
    yield from _unless(record["occurred_at"] > 0, record, "occurred_at")


def _position(record: Record) -> Iterator[str]:
    yield from _name(record, "facility", "location", "item")


def _original(record: Record) -> Iterator[str]:
    yield from _text_or_null(record, "reverses")
    yield from _unless(record.get("reverses") != record["event_id"], record, "reverses")


# --- events ---


def _usage(record: Record) -> Iterator[str]:
    yield from _envelope(record)
    yield from _position(record)
    yield from _positive(record)
    yield from _text(record, "uom", "cost_center")
    yield from _text_or_null(record, "lot")
    yield from _original(record)


def _movement(record: Record) -> Iterator[str]:
    yield from _envelope(record)
    yield from _position(record)
    yield from _text(record, "uom")
    yield from _text_or_null(record, "lot", "owner", "cost_center")
    yield from _original(record)
    yield from _MOVEMENTS[record["kind"]](record)


def _adjustment(record: Record) -> Iterator[str]:
    yield from _unless(record["quantity"] != 0, record, "quantity")


def _count(record: Record) -> Iterator[str]:
    counted = record["counted"]
    yield from _unless(bool(counted) or record["full_count"], record, "counted")
    for lot in counted:
        yield from _text(lot, "lot")
        yield from _text_or_null(lot, "owner")
        yield from _unless(lot["quantity"] >= 0, lot, "quantity")
    ownerless = {lot["lot"] for lot in counted if lot["owner"] is None}
    yield from _distinct(counted, "lot", "owner")
    yield from _distinct([lot for lot in counted if lot["lot"] in ownerless], "lot")


def _transfer(record: Record) -> Iterator[str]:
    yield from _positive(record)
    yield from _text(record, "transfer_id")
    yield from _name(record, "other_facility", "other_location")
    here, there = ("facility", "location"), ("other_facility", "other_location")
    elsewhere = [record[field] for field in here] != [record.get(field) for field in there]
    yield from _unless(elsewhere, record, "other_location")


def _reversal(record: Record) -> Iterator[str]:
    yield from _text(record, "reverses")


def _order(record: Record) -> Iterator[str]:
    yield from _envelope(record)
    yield from _text(record, "po_number", "supplier")
    yield from _unless(record["revision"] >= 1, record, "revision")
    yield from _unless(_CURRENCY.fullmatch(record["currency"]) is not None, record, "currency")
    yield from _unless(bool(record["lines"]) or record["status"] != "OPEN", record, "lines")
    for line in record["lines"]:
        yield from _line(line)
        yield from _unless(line["unit_price"] >= 0, line, "unit_price")
        yield from _text_or_null(line, "trigger_id")
    yield from _distinct(record["lines"], "line")


def _receipt(record: Record) -> Iterator[str]:
    yield from _envelope(record)
    yield from _text(record, "supplier", "delivery_note")
    yield from _text_or_null(record, "po_number")
    yield from _unless(bool(record["lines"]), record, "lines")
    for line in record["lines"]:
        yield from _line(line)
        yield from _text_or_null(line, "lot")
    yield from _distinct(record["lines"], "line")


def _line(line: Record) -> Iterator[str]:
    yield from _position(line)
    yield from _positive(line)
    yield from _text(line, "uom")


def _inbound(record: Record) -> Iterator[str]:
    yield from _envelope(record)
    yield from _position(record)
    if record["kind"] == "PUT_AWAY":
        yield from _positive(record)
        yield from _unless(record["on_order_cleared"] >= 0, record, "on_order_cleared")
    if record["kind"] == "TRANSFER_SENT":
        yield from _unless(record.get("transfer_id") is not None, record, "transfer_id")


_MOVEMENTS: Final[dict[str, _Check]] = {
    "ISSUE": _positive,
    "RETURN": _positive,
    "TRANSFER_OUT": _transfer,
    "TRANSFER_IN": _transfer,
    "ADJUSTMENT": _adjustment,
    "COUNT": _count,
    "REVERSAL": _reversal,
}
_RULES: Final[dict[str, _Check]] = {
    topics.usage.name: _usage,
    topics.movements.name: _movement,
    topics.purchase_orders.name: _order,
    topics.receipts.name: _receipt,
    topics.inbound.name: _inbound,
}
