"""What a table holds comes back from its bytes exactly, in the shape that others read."""

from __future__ import annotations

import string
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.domain.orders import Arrival, Order, OrderLine
from app.domain.positions import Change, Lot, Position, Transit
from app.domain.records import UnitConversion
from tables import changes, positions, purchase_orders

NAMES = st.text(string.ascii_letters + string.digits + "-/ é", min_size=1, max_size=6)
MONEY = st.decimals(min_value=-(10**12), max_value=10**12, places=4)
WHOLE = st.integers(-(2**53), 2**53)
TIMES = st.integers(0, 2**43)
MARKS = st.tuples(TIMES, NAMES)
LOTS = st.builds(
    Lot, lot=NAMES, owner=st.none() | NAMES, balance=WHOLE, touched_at=TIMES, expiry_date=st.none() | st.dates(),
    received_at=st.none() | TIMES, counted=st.none() | MARKS,
)  # fmt: skip
TRANSITS = st.builds(Transit, transfer_id=NAMES, owner=st.none() | NAMES, quantity=WHOLE, value=MONEY)
POSITIONS = st.builds(
    Position, currency=NAMES, number=WHOLE, on_hand=WHOLE, value=MONEY, last_cost=st.none() | MONEY, requested=WHOLE,
    lots=st.lists(LOTS, max_size=4).map(lambda lots: {(lot.lot, lot.owner): lot for lot in lots}),
    episode=WHOLE, on_order=WHOLE, transits=st.lists(TRANSITS, max_size=3).map(tuple),
    full_count=st.none() | MARKS, remembered_from=TIMES,
)  # fmt: skip
CHANGES = st.builds(
    Change, mark=MARKS, amount=MONEY, decided_at=TIMES,
    deltas=st.lists(st.tuples(st.tuples(NAMES, st.none() | NAMES), WHOLE), max_size=3).map(tuple),
)  # fmt: skip
PLACES = st.tuples(NAMES, NAMES, NAMES)
LINES = st.builds(
    OrderLine, line=WHOLE, ordered=WHOLE, received=WHOLE, unit_price=MONEY,
    factor=st.builds(UnitConversion, NAMES, st.integers(1, 999), st.integers(1, 999)),
)  # fmt: skip
ORDERS = st.builds(
    Order, number=WHOLE, revision=WHOLE,
    lines=st.lists(LINES, max_size=3).map(lambda lines: {line.line: line for line in lines}),
    arrivals=st.lists(st.builds(Arrival, st.none() | st.integers(0, 9), PLACES, WHOLE), max_size=3).map(tuple),
    deliveries=st.dictionaries(st.tuples(NAMES, NAMES, st.integers(0, 99)), NAMES, max_size=3),
)  # fmt: skip


@given(POSITIONS)
def test_a_position_comes_back_exactly(position: Position) -> None:
    assert positions.load(positions.dump(position)) == position


@given(CHANGES)
def test_a_change_comes_back_exactly(change: Change) -> None:
    assert changes.load(changes.dump(change)) == change


@given(ORDERS)
def test_an_order_comes_back_exactly(order: Order) -> None:
    assert purchase_orders.load(purchase_orders.dump(order)) == order


def shape(raw: bytes) -> dict[str, Any]:
    row = orjson.loads(raw)
    assert isinstance(row, dict)
    return row


@given(POSITIONS)
def test_a_position_shows_what_its_readers_look_for(position: Position) -> None:
    row = shape(positions.dump(position))
    assert row.keys() >= {"number", "lots", "requested", "on_order", "in_transit", "value", "currency"}
    assert Decimal(row["value"]) == position.value
    assert row["in_transit"] == sum(t["quantity"] for t in row["transits"] if t["owner"] is None)
    assert all(lot.keys() >= {"lot", "owner", "balance", "expiry_date"} for lot in row["lots"])


@given(ORDERS)
def test_an_order_shows_what_its_readers_look_for(order: Order) -> None:
    row = shape(purchase_orders.dump(order))
    assert row.keys() >= {"number", "po_number", "status", "lines"}
    for line in row["lines"]:
        assert line["open"] == max(line["ordered"] - line["received"], 0)
