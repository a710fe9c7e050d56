"""Reversals: everything an event did is undone where it was done."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.domain import records as r
from tests.domain.hospital import (
    HOUR_MS,
    NOW,
    SOUTH,
    WARD,
    Hospital,
    MasterData,
    consigned,
    counted,
    movement,
    put_away,
    transfer_in,
    transfer_out,
    usage,
)


def reversal(of: str, **what: Any) -> r.StockMovement:
    return movement(r.MovementKind.REVERSAL, reverses=of, **what)


def test_a_reversal_restores_lot_quantity_and_cost() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"))
    before = hospital.position()
    hospital.apply(usage(7, "A", event_id="U1"), put_away(50, "B", cost="9.00"))
    hospital.apply(usage(7, "A", event_id="U2", reverses="U1"))
    assert hospital.balances() == {("A", None): 100, ("B", None): 50}
    assert hospital.position().value == before.value + 450
    posted, given_back = hospital.of(r.ConsumptionPosting)
    assert (given_back.quantity, given_back.amount) == (-7, -posted.amount)
    assert given_back.reverses == posted.event_id
    entry = hospital.of(r.LedgerEntry)[-1]
    assert (entry.kind, entry.reverses) == ("USAGE_REVERSAL", "U1")


def test_a_reversal_takes_back_the_whole_whatever_quantity_it_carries() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100), usage(7, "A", event_id="U1"), usage(1, "A", reverses="U1"))
    assert hospital.balances() == {("A", None): 100}


def test_a_reversal_before_its_original_waits_for_it() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100))
    decision = hospital.apply(usage(7, "A", event_id="U2", reverses="U1"))
    assert decision.missing == "event:U1"
    hospital.apply(usage(7, "A", event_id="U1"))
    assert hospital.balances() == {("A", None): 100}
    assert [entry.kind for entry in hospital.of(r.LedgerEntry)] == ["PUT_AWAY", "USAGE", "USAGE_REVERSAL"]


def test_a_reversal_whose_original_never_came_is_an_exception() -> None:
    hospital = Hospital()
    decision = hospital.apply(usage(7, "A", reverses="U1"), overdue=True)
    assert hospital.exceptions() == ["REVERSAL_WITHOUT_ORIGINAL"]
    assert decision.position is None


def test_a_second_reversal_is_an_exception_and_changes_nothing() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100), usage(7, "A", event_id="U1"), usage(7, "A", reverses="U1"))
    before = hospital.position()
    hospital.apply(usage(7, "A", reverses="U1"))
    assert hospital.exceptions() == ["ALREADY_REVERSED"]
    assert hospital.position() == before


def test_a_usage_is_not_reversed_by_a_movement_with_the_same_id() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100), usage(7, "A", event_id="X"))
    assert hospital.apply(reversal("X")).missing == "event:X"


def test_a_lot_counted_since_keeps_its_balance_and_finance_is_set_right() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00", at=NOW - 3 * HOUR_MS))
    hospital.apply(usage(7, "A", event_id="U1", at=NOW - 2 * HOUR_MS), counted(("A", 95), at=NOW - HOUR_MS))
    value = hospital.position().value
    hospital.apply(usage(7, "A", reverses="U1"))
    assert hospital.balances() == {("A", None): 95}
    assert hospital.position().value == value
    assert [(p.posting_type, p.quantity, p.amount) for p in hospital.of(r.ConsumptionPosting)][-2:] == [
        ("CONSUMPTION", -7, Decimal("-14.00")),
        ("ADJUSTMENT", 7, Decimal("14.00")),
    ]
    assert hospital.of(r.LedgerEntry)[-1].effect == "BEFORE_COUNT"


def test_a_late_count_between_usage_and_reversal_has_seen_both_or_neither() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, at=NOW - 3 * HOUR_MS), usage(7, "A", event_id="U1", at=NOW - 2 * HOUR_MS))
    hospital.apply(usage(7, "A", reverses="U1", at=NOW), counted(("A", 95), at=NOW - HOUR_MS))
    assert hospital.balances() == {("A", None): 95}


def test_a_reversed_consigned_usage_is_not_billed_and_the_supplier_hears_of_it() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    hospital.apply(put_away(2, "S1", cost=None, item="STENT", owner="CARDIO"))
    hospital.apply(usage(1, "S1", item="STENT", event_id="U1"), usage(1, "S1", item="STENT", reverses="U1"))
    billed, unbilled = hospital.of(r.ConsumptionPosting)
    assert (unbilled.posting_type, unbilled.amount, unbilled.supplier) == ("BILL_ONLY", -billed.amount, "CARDIO")
    used, taken_back = hospital.of(r.ConsignmentNotice)
    assert (taken_back.notice_type, taken_back.reverses) == ("REVERSED", used.event_id)
    assert (taken_back.balance, taken_back.replenish_quantity) == (2, 0)


def test_a_reversed_adjustment_and_return_are_undone() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"))
    before = hospital.position()
    hospital.apply(movement(r.MovementKind.ADJUSTMENT, -5, "A", event_id="M1"))
    hospital.apply(movement(r.MovementKind.RETURN, 3, "A", event_id="M2"))
    hospital.apply(reversal("M1"), reversal("M2"))
    assert hospital.balances() == {("A", None): 100}
    assert hospital.position().value == before.value


def test_a_reversal_may_itself_be_reversed() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A"), usage(7, "A", event_id="U1"))
    after = hospital.position()
    hospital.apply(usage(7, "A", event_id="U2", reverses="U1"), usage(7, "A", event_id="U3", reverses="U2"))
    assert hospital.position() == replace(after, number=4)
    assert [p.quantity for p in hospital.of(r.ConsumptionPosting)] == [7, -7, 7]


def test_a_count_is_not_reversed_but_counted_again() -> None:
    hospital = Hospital()
    hospital.apply(counted(("A", 5), event_id="C1"), reversal("C1"))
    assert hospital.exceptions() == ["REVERSAL_WITHOUT_ORIGINAL"]
    assert hospital.balances() == {("A", None): 5}


def test_a_transfer_that_is_reversed_at_both_ends_leaves_nothing_behind() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"))
    before = hospital.position(WARD)
    hospital.apply(transfer_out(10, lot="A", event_id="OUT"), transfer_in(10, "A", event_id="IN"))
    hospital.apply(reversal("IN", facility="SOUTH", location="OR-1"))
    assert hospital.position(SOUTH).in_transit == 10
    hospital.apply(reversal("OUT"))
    assert (hospital.position(SOUTH).in_transit, hospital.position(SOUTH).value) == (0, Decimal(0))
    assert (hospital.balances(WARD), hospital.position(WARD).value) == ({("A", None): 100}, before.value)


def test_a_reversal_needs_no_cost_center_of_its_own() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100), usage(7, "A", event_id="U1"))
    hospital.apply(usage(7, "A", reverses="U1", cost_center="CC-UNKNOWN"))
    assert [p.cost_center for p in hospital.of(r.ConsumptionPosting)] == ["CC-WARD", "CC-WARD"]
