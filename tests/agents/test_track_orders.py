"""History in, events out: the agent that tracks purchase orders, up to what positions make of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from agents import topics
from app.domain import records as r
from tests.agents.conftest import Wardstock
from tests.domain.hospital import ITEM, LATER, SOON, SOUTH, STORE, WARD, order, order_line, receipt, receipt_line

FACILITIES = order(
    order_line(1, 10),
    order_line(2, 2, uom="BX", unit_price=Decimal("30"), facility="SOUTH", location="OR-1"),
    order_line(3, 50, location="STORE"),
)


def test_one_shipment_for_many_facilities_reaches_each_and_says_what_is_pending(wardstock: Wardstock) -> None:
    wardstock.work(FACILITIES)
    wardstock.work(
        receipt(
            receipt_line(1, 10, 1, lot="A", expiry_date=SOON),
            receipt_line(2, 1, 2, lot="B", uom="BX", facility="SOUTH", location="OR-1"),
            receipt_line(3, 30, 3, lot="C", location="STORE"),
            receipt_line(4, 20, 3, lot="D", location="STORE"),
        )
    )
    assert wardstock.balances(WARD) == {"A": 10}
    assert wardstock.balances(SOUTH) == {"B": 12}
    assert wardstock.balances(STORE) == {"C": 30, "D": 20}
    assert [wardstock.position(at).on_order for at in (WARD, SOUTH, STORE)] == [0, 12, 0]
    assert wardstock.position(SOUTH).value == Decimal("30.00")
    assert wardstock.order().status == "PARTIALLY_RECEIVED"
    received = wardstock.driver.records(topics.order_ledger)[-1]
    assert [c.received_change for c in received.lines] == [10, 12, 50]
    assert [c.open_quantity for c in received.lines] == [0, 12, 0]
    assert len(received.caused) == 4


def test_what_an_order_brings_is_put_away_with_its_lot_and_expiry(wardstock: Wardstock) -> None:
    wardstock.work(order(order_line(1, 10)), receipt(receipt_line(1, 10, lot="A", expiry_date=LATER)))
    lot = wardstock.position().lots["A", None]
    assert (lot.balance, lot.expiry_date) == (10, LATER)
    assert wardstock.order().status == "RECEIVED"


def test_a_quantity_that_differs_from_the_order_is_an_exception_for_procurement(wardstock: Wardstock) -> None:
    wardstock.work(order(order_line(1, 10)), receipt(receipt_line(1, 12)))
    (raised,) = wardstock.exceptions()
    assert (raised.kind, raised.owner_role, raised.applied) == ("OVER_RECEIPT", "PROCUREMENT", True)
    assert (raised.facility, raised.item) == ("NORTH", "SUTURE")
    assert wardstock.balances() == {"A": 12}


def test_a_repeated_delivery_note_is_put_away_once(wardstock: Wardstock) -> None:
    wardstock.work(order(order_line(1, 10)), receipt(receipt_line(1, 10)))
    wardstock.work(receipt(receipt_line(1, 10)))
    assert wardstock.kinds() == ["REPEATED_DELIVERY_NOTE"]
    assert (wardstock.balances(), wardstock.order().number) == ({"A": 10}, 2)


def test_a_receipt_before_its_order_leaves_only_the_rest_on_order(wardstock: Wardstock) -> None:
    wardstock.work(receipt(receipt_line(1, 4)))
    assert (wardstock.kinds(), wardstock.order().status) == (["RECEIPT_WITHOUT_ORDER"], "UNANNOUNCED")
    wardstock.work(order(order_line(1, 10)))
    assert (wardstock.position().on_hand, wardstock.position().on_order) == (4, 6)


def test_a_receipt_for_an_unknown_item_is_taken_up_when_the_item_arrives(wardstock: Wardstock) -> None:
    wardstock.work(order(order_line(1, 10, item="GAUZE")), receipt(receipt_line(1, 10, item="GAUZE")))
    assert wardstock.driver.records(topics.order_ledger) == []
    wardstock.work(replace(ITEM, item="GAUZE"))
    assert wardstock.balances(item="GAUZE") == {"A": 10}
    assert wardstock.order().status == "RECEIVED"


def test_a_cancelled_order_is_no_longer_on_order(wardstock: Wardstock) -> None:
    wardstock.work(order(order_line(1, 10)))
    wardstock.work(order(order_line(1, 10), revision=2, status=r.OrderStatus.CANCELLED))
    assert (wardstock.position().on_order, wardstock.order().status) == (0, "CANCELLED")


def test_an_order_that_comes_twice_under_one_id_is_on_order_once(wardstock: Wardstock) -> None:
    ordered = order(order_line(1, 10), event_id="O1")
    wardstock.work(ordered, ordered)
    wardstock.work(replace(ordered, revision=2))
    assert wardstock.position().on_order == 10
    assert wardstock.kinds() == ["ID_CONFLICT"]


def test_orders_survive_a_restart(wardstock: Wardstock) -> None:
    wardstock.work(FACILITIES, receipt(receipt_line(1, 4)))
    before = wardstock.order()
    wardstock.restart()
    assert wardstock.order() == before
    wardstock.work(receipt(receipt_line(1, 6, lot="B"), note="DN-2"))
    assert wardstock.position().on_order == 0
