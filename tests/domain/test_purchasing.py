"""Orders, revisions and receipts, up to what their positions hear of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from app.domain import records as r
from app.domain.orders import Status
from tests.domain.hospital import (
    ITEM,
    SOUTH,
    WARD,
    YESTERDAY,
    Hospital,
    MasterData,
    consigned,
    inactive,
    kept,
    order,
    order_line,
    receipt,
    receipt_line,
    usage,
)


def steps(hospital: Hospital) -> list[tuple[str, int, int]]:
    return [(step.kind.value, step.quantity, step.on_order_cleared) for step in hospital.of(r.Inbound)]


def line_of(hospital: Hospital, line: int = 1, po: str = "PO-1") -> tuple[int, int, int]:
    found = hospital.orders[po].lines[line]
    return found.ordered, found.received, found.open


# --- orders ---


def test_an_order_is_on_order_at_the_position_of_each_line() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 2, uom="BX"), order_line(2, 5, facility="SOUTH", location="OR-1")))
    assert (hospital.position(WARD).on_order, hospital.position(SOUTH).on_order) == (24, 5)
    assert hospital.orders["PO-1"].status is Status.OPEN


def test_an_order_answers_the_trigger_that_its_line_names() -> None:
    hospital = Hospital()
    hospital.apply(usage(1, "A"))
    (trigger,) = hospital.of(r.ReplenishmentTrigger)
    hospital.procure(order(order_line(1, trigger.quantity, trigger_id=trigger.trigger_id)))
    assert (hospital.position().requested, hospital.position().on_order) == (0, trigger.quantity)
    assert len(hospital.of(r.ReplenishmentTrigger)) == 1


def test_a_revision_tells_only_the_difference() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10, trigger_id="T#1")), order(order_line(1, 15, trigger_id="T#1"), revision=2))
    assert steps(hospital) == [("ORDERED", 10, 0), ("ORDERED", 5, 0)]
    assert [step.trigger_id for step in hospital.of(r.Inbound)] == ["T#1", None]


def test_a_line_left_out_of_a_revision_is_cancelled() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10), order_line(2, 5, item="STENT")), order(order_line(1, 10), revision=2))
    assert hospital.position(item="STENT").on_order == 0
    assert line_of(hospital, 2) == (0, 0, 0)


def test_a_cancelled_order_withdraws_what_is_still_open() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 4)))
    hospital.procure(order(order_line(1, 10), revision=2, status=r.OrderStatus.CANCELLED))
    assert hospital.position().on_order == 0
    assert line_of(hospital) == (4, 4, 0)
    assert hospital.orders["PO-1"].status is Status.CANCELLED


def test_an_older_revision_is_superseded() -> None:
    hospital = Hospital()
    decision = hospital.procure(order(order_line(1, 10), revision=2), order(order_line(1, 99), revision=1))
    assert line_of(hospital) == (10, 0, 10)
    (entry,) = decision.outputs
    assert isinstance(entry, r.OrderLedgerEntry)
    assert (entry.number, entry.effect, entry.lines, entry.caused) == (2, "SUPERSEDED", (), ())


def test_the_factor_of_a_line_is_pinned_when_it_is_first_seen() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 2, uom="BX")))
    hospital.reference.items["SUTURE"] = replace(ITEM, conversions=(r.UnitConversion("BX", 10),))
    hospital.procure(receipt(receipt_line(1, 1, uom="BX")), order(order_line(1, 3, uom="BX"), revision=2))
    assert line_of(hospital) == (36, 12, 24)


def test_a_line_that_moves_is_on_order_at_its_new_place_only() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)))
    hospital.procure(order(order_line(1, 10, facility="SOUTH", location="OR-1"), revision=2))
    assert (hospital.position(WARD).on_order, hospital.position(SOUTH).on_order) == (0, 10)


def test_a_bill_only_order_orders_no_stock() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10), order_type=r.OrderType.BILL_ONLY), receipt(receipt_line(1, 10)))
    assert steps(hospital) == []
    assert hospital.orders["PO-1"].status is Status.RECEIVED


def test_a_consignment_order_is_in_no_owned_figure() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    line = order_line(1, 3, item="STENT")
    hospital.procure(order(line, order_type=r.OrderType.CONSIGNMENT, supplier="CARDIO"))
    assert steps(hospital) == []
    hospital.procure(receipt(receipt_line(1, 3, item="STENT"), supplier="CARDIO"))
    assert hospital.balances(item="STENT") == {("A", "CARDIO"): 3}
    assert (hospital.position(item="STENT").on_hand, hospital.position(item="STENT").on_order) == (0, 0)


def test_an_order_waits_for_its_items_and_locations() -> None:
    hospital = Hospital()
    assert hospital.procure(order(order_line(item="NEW"))).missing == "item:NEW"
    assert hospital.procure(order(order_line(location="WARD-9"))).missing == "location:NORTH|WARD-9"
    assert hospital.orders == {}


def test_an_order_that_waited_too_long_is_refused() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(item="NEW")), overdue=True)
    assert hospital.exceptions() == ["UNKNOWN_REFERENCE"]
    assert hospital.orders == {}


def test_an_order_of_half_a_base_unit_is_refused_as_a_whole() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 2, item="STENT"), order_line(2, 3, uom="HALF")))
    assert hospital.exceptions() == ["INEXACT_QUANTITY"]
    assert (hospital.orders, steps(hospital)) == ({}, [])


def test_an_order_from_an_unknown_or_inactive_supplier_is_taken_and_raised() -> None:
    hospital = Hospital()
    hospital.reference.suppliers["MEDCO"] = inactive(hospital.reference.suppliers["MEDCO"])
    hospital.procure(order(order_line()), order(order_line(), po_number="PO-2", supplier="NOBODY"))
    assert hospital.exceptions() == ["INACTIVE_REFERENCE", "UNKNOWN_REFERENCE"]
    assert hospital.position().on_order == 20


# --- receipts ---


def test_a_receipt_is_put_away_at_the_price_of_its_order() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 2, uom="BX", unit_price=Decimal("30"))))
    hospital.procure(receipt(receipt_line(1, 24)))
    position = hospital.position()
    assert (position.on_order, position.on_hand, position.value) == (0, 24, Decimal("60"))
    assert hospital.orders["PO-1"].status is Status.RECEIVED


def test_a_part_delivered_leaves_the_rest_open() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 4)))
    assert line_of(hospital) == (10, 4, 6)
    assert (hospital.position().on_order, hospital.position().on_hand) == (6, 4)
    assert hospital.orders["PO-1"].status is Status.PARTIALLY_RECEIVED


def test_a_line_delivered_in_two_lots_clears_its_order_once() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 6, lot="A"), receipt_line(2, 4, lot="B")))
    assert hospital.balances() == {("A", None): 6, ("B", None): 4}
    assert (line_of(hospital), hospital.position().on_order) == ((10, 10, 0), 0)


def test_more_than_was_ordered_is_put_away_and_raised() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 12)))
    assert hospital.exceptions() == ["OVER_RECEIPT"]
    assert (hospital.position().on_hand, hospital.position().on_order) == (12, 0)
    assert line_of(hospital) == (10, 12, 0)


def test_another_item_than_ordered_is_put_away_as_what_it_is() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 3, item="STENT")))
    assert hospital.exceptions() == ["WRONG_ITEM"]
    assert hospital.balances(item="STENT") == {("A", None): 3}
    assert line_of(hospital) == (10, 0, 10)
    assert hospital.position().on_order == 10


def test_a_receipt_line_that_names_no_order_line_finds_it_by_item_and_place() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(7, 10)), receipt(receipt_line(1, 10, po_line=None)))
    assert line_of(hospital, 7) == (10, 10, 0)


def test_an_item_that_is_not_on_the_order_is_put_away_and_raised() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 3, po_line=None, item="STENT")))
    assert hospital.exceptions() == ["RECEIPT_WITHOUT_ORDER"]
    assert hospital.balances(item="STENT") == {("A", None): 3}


def test_a_delivery_at_another_place_clears_the_order_where_it_was_placed() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)))
    hospital.procure(receipt(receipt_line(1, 10, facility="SOUTH", location="OR-1")))
    assert (hospital.position(WARD).on_order, hospital.position(SOUTH).on_order) == (0, 0)
    assert hospital.balances(SOUTH) == {("A", None): 10}


def test_a_receipt_before_its_order_leaves_only_the_rest_to_be_ordered() -> None:
    hospital = Hospital()
    hospital.procure(receipt(receipt_line(1, 4)))
    assert hospital.exceptions() == ["RECEIPT_WITHOUT_ORDER"]
    assert hospital.orders["PO-1"].status is Status.UNANNOUNCED
    hospital.procure(order(order_line(1, 10)))
    assert line_of(hospital) == (10, 4, 6)
    assert (hospital.position().on_hand, hospital.position().on_order) == (4, 6)


def test_more_received_before_its_order_than_it_orders_is_raised_with_the_order() -> None:
    hospital = Hospital()
    hospital.procure(receipt(receipt_line(1, 14)), order(order_line(1, 10)))
    assert hospital.exceptions() == ["RECEIPT_WITHOUT_ORDER", "OVER_RECEIPT"]
    assert hospital.position().on_order == 0


def test_another_item_received_before_its_order_is_raised_with_the_order() -> None:
    hospital = Hospital()
    hospital.procure(receipt(receipt_line(1, 3, item="STENT")), order(order_line(1, 10)))
    assert hospital.exceptions() == ["RECEIPT_WITHOUT_ORDER", "WRONG_ITEM"]
    assert line_of(hospital) == (10, 0, 10)


def test_a_delivery_that_names_no_order_is_put_away_at_standard_cost() -> None:
    hospital = Hospital()
    hospital.procure(receipt(receipt_line(1, 4, po_line=None), po_number=None))
    assert hospital.exceptions() == ["RECEIPT_WITHOUT_ORDER"]
    assert (hospital.position().on_hand, hospital.position().value) == (4, Decimal("10.00"))
    assert hospital.orders["MEDCO/DN-1"].status is Status.UNANNOUNCED


def test_a_delivery_that_names_no_order_to_a_consigned_place_is_the_suppliers() -> None:
    hospital = Hospital(MasterData.keeping(consigned(), kept()))
    hospital.procure(receipt(receipt_line(1, 4, po_line=None, item="STENT"), po_number=None, supplier="CARDIO"))
    assert hospital.balances(item="STENT") == {("A", "CARDIO"): 4}
    assert hospital.position(item="STENT").value == 0


def test_a_repeated_delivery_note_changes_nothing() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 10), event_id="R1"))
    decision = hospital.procure(receipt(receipt_line(1, 10), event_id="R2"))
    assert decision.order is None
    (exception,) = decision.outputs
    assert isinstance(exception, r.ExceptionRaised)
    assert (exception.kind, exception.applied) == ("REPEATED_DELIVERY_NOTE", False)
    assert exception.event_id == "supply.receipts/R2#0"
    assert hospital.balances() == {("A", None): 10}


def test_of_a_delivery_note_repeated_in_part_only_the_new_lines_count() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 4)))
    hospital.procure(receipt(receipt_line(1, 4), receipt_line(2, 6, lot="B")))
    assert hospital.balances() == {("A", None): 4, ("B", None): 6}
    assert hospital.exceptions() == ["REPEATED_DELIVERY_NOTE"]
    assert line_of(hospital) == (10, 10, 0)


def test_one_delivery_serves_many_facilities() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10), order_line(2, 20, facility="SOUTH", location="OR-1")))
    hospital.procure(receipt(receipt_line(1, 10), receipt_line(2, 20, 2, facility="SOUTH", location="OR-1", lot="B")))
    assert (hospital.balances(WARD), hospital.balances(SOUTH)) == ({("A", None): 10}, {("B", None): 20})
    (entry,) = [e for e in hospital.of(r.OrderLedgerEntry) if e.kind == "RECEIPT"]
    assert [(c.line, c.received_change, c.open_quantity) for c in entry.lines] == [(1, 10, 0), (2, 20, 0)]
    assert len(entry.caused) == 2


def test_an_order_in_another_currency_is_put_away_at_standard_cost() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10), currency="USD"), receipt(receipt_line(1, 10)))
    assert (hospital.position().value, hospital.position().currency) == (Decimal("25.00"), "EUR")


def test_a_lot_that_is_received_expired_is_put_away_and_raised() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10)), receipt(receipt_line(1, 10, expiry_date=YESTERDAY)))
    assert hospital.exceptions() == ["EXPIRED_LOT"]
    assert hospital.position().on_hand == 10


def test_the_order_ledger_counts_up_and_names_what_it_caused() -> None:
    hospital = Hospital()
    hospital.procure(order(order_line(1, 10), event_id="O1"), receipt(receipt_line(1, 12), event_id="R1"))
    first, second = hospital.of(r.OrderLedgerEntry)
    assert (first.number, first.kind, first.caused) == (
        1, "ORDER", ("inventory.inbound:procurement.purchase-orders/O1#1",),
    )  # fmt: skip
    assert (second.number, second.kind, second.status) == (2, "RECEIPT", "RECEIVED")
    assert second.caused == ("inventory.inbound:supply.receipts/R1#1", "ops.exceptions:supply.receipts/R1#2")
