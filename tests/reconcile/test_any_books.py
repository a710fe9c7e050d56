"""Whatever happens in a hospital, right books balance; and whatever is changed in them afterwards is found."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reconcile import books as b
from tests.reconcile.books import Bookkeeper, Log, Row
from tests.reconcile.conftest import STORE_GLOVES, THEATRE_GLOVES, WARD_GLOVES, a_day
from tests.reconcile.pure import report_on

Happening = Callable[[Bookkeeper], Any]

KEYS = st.sampled_from([WARD_GLOVES, THEATRE_GLOVES, STORE_GLOVES])
LOTS = st.sampled_from(["L1", "L2", "L3"])
QUANTITIES = st.integers(1, 60)
AGO = st.sampled_from([0, 0, 0, 1, 3, 10, 45])
EXPIRIES = st.sampled_from([None, date(2026, 3, 1), date(2026, 3, 2), date(2027, 1, 31)])


@st.composite
def happenings(draw: st.DrawFn) -> Happening:
    key, lot, quantity, ago = draw(KEYS), draw(LOTS), draw(QUANTITIES), draw(AGO)
    po_number, boxes = f"PO-{draw(st.integers(1, 3))}", draw(st.integers(1, 9))
    choices: list[Happening] = [
        lambda books: books.usage(key, quantity, lot, ago=ago),
        lambda books: books.usage(key, quantity, None),
        lambda books: books.move("ISSUE", key, quantity, lot, ago=ago),
        lambda books: books.move("RETURN", key, quantity, lot, ago=ago),
        lambda books: books.move("ADJUSTMENT", key, -quantity, lot, ago=ago),
        lambda books: books.move("ADJUSTMENT", key, quantity, lot, uom="BX"),
        lambda books: books.count(key, {lot: quantity}, ago=ago),
        lambda books: books.count(key, {lot: quantity}, full=True, ago=ago),
        lambda books: _order(books, po_number, key, boxes),
        lambda books: _receive(books, po_number, boxes, lot, draw(EXPIRIES)),
        lambda books: _transfer(books, key, quantity, lot),
        lambda books: _reverse_last(books, draw(st.integers(0, 5))),
        lambda books: books.garbage(),
    ]
    return draw(st.sampled_from(choices))


def _order(books: Bookkeeper, po_number: str, key: str, boxes: int) -> None:
    known = books.orders.get(po_number)
    position = books.positions.get(key)
    trigger = f"{key}#{position.episode}" if known is None and position and position.requested else None
    revision = 1 if known is None else known["revision"] + 1
    books.order(po_number, known["key"] if known else key, boxes, revision, trigger)


def _receive(books: Bookkeeper, po_number: str, boxes: int, lot: str, expiry: date | None) -> None:
    if po_number in books.orders:
        books.receive(po_number, boxes, lot, expiry)


def _transfer(books: Bookkeeper, key: str, quantity: int, lot: str) -> None:
    there = WARD_GLOVES if key != WARD_GLOVES else STORE_GLOVES
    transfer = f"T-{len(books.log.rows[b.MOVEMENTS])}"
    books.transfer(key, there, quantity, transfer, lot)
    books.arrive(there, key, (quantity + 1) // 2, transfer, lot)
    if quantity > 1:
        books.arrive(there, key, quantity // 2, transfer, lot)


def _reverse_last(books: Bookkeeper, back: int) -> None:
    usages = [row for row in books.log.rows[b.USAGE] if row.record]  # reversals may be taken back, too
    reversed_already = {row.record["reverses"] for row in books.log.rows[b.USAGE] if row.record}
    left = [row for row in usages if row.record and row.record["event_id"] not in reversed_already]
    if len(left) > back:
        books.reverse_usage(left[-1 - back])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_right_books_balance_whatever_happens(data: st.DataObject) -> None:
    books = Bookkeeper()
    for _ in range(data.draw(st.integers(0, 25))):
        data.draw(happenings())(books)
    report = report_on(books.settle())
    assert report.differences == ()
    assert report.unverifiable == {}


# --- spoiling at random ---

CHECKED: dict[str, tuple[str, ...]] = {
    b.LEDGER: (
        *("number", "source_offset", "decided_at", "occurred_at", "requested_change", "on_order_change"),
        *("in_transit_change", "value_change", "on_hand", "requested", "on_order", "in_transit", "value"),
        *("event_id", "causation_id", "item", "kind", "effect", "currency"),
    ),
    b.ORDER_LEDGER: (
        *("number", "source_offset", "decided_at"),
        *("event_id", "causation_id", "po_number", "kind", "effect", "status"),
    ),
    b.POSTINGS: ("event_id", "quantity", "amount", "currency", "item"),
    b.TRIGGERS: ("event_id", "trigger_id", "status", "quantity", "inventory_position", "reorder_point", "order_up_to"),
    b.NOTICES: ("event_id", "quantity", "balance"),
    b.INBOUND: ("event_id", "quantity", "item"),
    b.DEAD_LETTERS: ("reason", "offset", "timestamp"),
}


@cache
def _settled() -> Log:
    return a_day().settle()


def _changed(value: object) -> object:
    return f"{value}X" if isinstance(value, str) else value + (Decimal("0.01") if isinstance(value, Decimal) else 1)  # type: ignore[operator]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_changed_figure_or_name_is_found(data: st.DataObject) -> None:
    topic = data.draw(st.sampled_from(sorted(CHECKED)))
    log = deepcopy(_settled())
    record = data.draw(st.sampled_from(log.rows[topic])).record
    field = data.draw(st.sampled_from(CHECKED[topic]))
    assert record is not None
    record[field] = _changed(record[field])
    assert not report_on(log).ok


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_record_that_is_missing_or_there_twice_is_found(data: st.DataObject) -> None:
    log = deepcopy(_settled())
    row: Row = data.draw(st.sampled_from([row for topic in sorted(CHECKED) for row in log.rows[topic]]))
    if data.draw(st.booleans()):
        log.rows[row.topic].remove(row)
    else:
        log.append(row.topic, (row.key or b"").decode(), row.timestamp, row.partition, record=row.record)
    assert not report_on(log).ok


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_input_that_nothing_came_of_is_found(data: st.DataObject) -> None:
    log = deepcopy(_settled())
    inputs = (b.USAGE, b.MOVEMENTS, b.ORDERS, b.RECEIPTS)
    row: Row = data.draw(st.sampled_from([row for topic in inputs for row in log.rows[topic]]))
    if row.record is None:
        log.append(row.topic, "K", row.timestamp, row.partition, raw=row.raw)
    else:
        log.append(row.topic, "K", row.timestamp, row.partition, record={**row.record, "event_id": "E-NEW"})
    report = report_on(log)
    assert (report.lost, report.duplicated, report.wrong) == (1, 0, 0)
