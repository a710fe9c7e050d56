"""What a clinical usage does: stock, finance, supplier, and what is odd about it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from app.domain import records as r
from app.domain.inventory import Decision
from app.domain.positions import UNKNOWN_LOT
from tests.domain.hospital import (
    IMPLANT,
    ITEM,
    LATER,
    NOW,
    SOON,
    WARD,
    YESTERDAY,
    Hospital,
    MasterData,
    consigned,
    inactive,
    kept,
    movement,
    put_away,
    usage,
)


def postings(decision: Decision) -> list[r.ConsumptionPosting]:
    return [output for output in decision.outputs if isinstance(output, r.ConsumptionPosting)]


def ledger(decision: Decision) -> r.LedgerEntry:
    entry = decision.outputs[0]
    assert isinstance(entry, r.LedgerEntry)
    return entry


def raised(decision: Decision) -> list[r.ExceptionKind]:
    return [output.kind for output in decision.outputs if isinstance(output, r.ExceptionRaised)]


def test_a_usage_takes_the_lot_given_and_posts_its_cost_to_the_cost_center() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"), put_away(100, "B", cost="3.00"))
    decision = hospital.apply(usage(4, "B"))
    assert hospital.balances() == {("A", None): 100, ("B", None): 96}
    (posting,) = postings(decision)
    assert (posting.posting_type, posting.cost_center, posting.quantity) == ("CONSUMPTION", "CC-WARD", 4)
    assert posting.amount == Decimal("10.00")  # moving average: (200 + 300) / 200 each
    assert hospital.position().value == Decimal("490.00")


def test_a_usage_is_counted_in_base_units() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100))
    hospital.apply(usage(2, "A", uom="BX"))
    assert hospital.balances() == {("A", None): 76}


def test_a_usage_of_half_a_base_unit_changes_nothing_and_is_an_exception() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100))
    before = hospital.position()
    decision = hospital.apply(usage(3, "A", uom="HALF"))
    assert raised(decision) == ["INEXACT_QUANTITY"]
    assert decision.position is None
    assert hospital.position() == before
    (exception,) = decision.outputs
    assert isinstance(exception, r.ExceptionRaised)
    assert not exception.applied
    assert "3 HALF = 3/2 base units" in exception.message


def test_a_usage_in_a_unit_that_the_item_lacks_names_the_units_it_has() -> None:
    (exception,) = Hospital().apply(usage(1, "A", uom="PALLET")).outputs
    assert isinstance(exception, r.ExceptionRaised)
    assert exception.message == "uom is 'PALLET'; expected a unit of item 'SUTURE', one of: EA, BX, HALF"


def test_a_usage_without_a_lot_takes_what_expires_first() -> None:
    hospital = Hospital()
    hospital.apply(
        put_away(50, "LATE", expiry_date=LATER), put_away(5, "SOON", expiry_date=SOON), put_away(50, "NEVER")
    )
    decision = hospital.apply(usage(7))
    assert hospital.balances() == {("LATE", None): 48, ("NEVER", None): 50}
    assert [(change.lot, change.change) for change in ledger(decision).lots] == [("SOON", -5), ("LATE", -2)]
    assert [p.lot for p in postings(decision)] == [None]


def test_a_usage_without_a_lot_leaves_expired_lots_alone() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "OLD", expiry_date=YESTERDAY), put_away(50, "GOOD", expiry_date=LATER))
    hospital.apply(usage(1))
    assert hospital.balances() == {("OLD", None): 50, ("GOOD", None): 49}


def test_what_no_lot_covers_goes_to_the_unknown_lot_and_is_raised() -> None:
    hospital = Hospital()
    hospital.apply(put_away(20, "A"))
    decision = hospital.apply(usage(23))
    assert hospital.balances() == {(UNKNOWN_LOT, None): -3}
    assert "UNCOVERED_QUANTITY" in raised(decision)


def test_a_lot_given_may_fall_below_zero_and_is_raised() -> None:
    hospital = Hospital()
    hospital.apply(put_away(20, "A"), put_away(30, "B"))
    decision = hospital.apply(usage(23, "A"))
    assert hospital.balances() == {("A", None): -3, ("B", None): 30}
    assert raised(decision) == ["NEGATIVE_BALANCE"]


def test_only_the_step_below_zero_is_raised() -> None:
    hospital = Hospital(MasterData.keeping(kept(min_quantity=0, max_quantity=0)))
    decisions = [hospital.apply(usage(1, "A")), hospital.apply(usage(1, "A")), hospital.apply(put_away(2, "A"))]
    assert [raised(decision) for decision in decisions] == [["NEGATIVE_BALANCE"], [], []]
    assert raised(hospital.apply(usage(1, "A"))) == ["NEGATIVE_BALANCE"]


def test_an_item_without_lots_lives_in_the_unknown_lot() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, None))
    decision = hospital.apply(usage(8))
    assert hospital.balances() == {(UNKNOWN_LOT, None): 42}
    assert raised(decision) == []


def test_stock_below_zero_is_issued_at_the_last_cost_and_set_right_by_the_next_receipt() -> None:
    hospital = Hospital()
    hospital.apply(put_away(10, "A", cost="2.00"))
    hospital.apply(usage(10, "A"))
    (posting,) = postings(hospital.apply(usage(5, "A")))
    assert posting.amount == Decimal("10.00")
    assert hospital.position().value == Decimal("-10.00")
    hospital.apply(put_away(10, "A", cost="3.00"))
    assert hospital.position().value == Decimal("15.00")  # 5 left at 3.00
    (revaluation,) = [p for p in hospital.of(r.ConsumptionPosting) if p.posting_type == "ADJUSTMENT"]
    assert (revaluation.quantity, revaluation.amount) == (0, Decimal("5.00"))


def test_a_usage_never_brings_money_in_though_corrections_left_the_value_below_zero() -> None:
    hospital = Hospital()
    hospital.apply(movement(r.MovementKind.ADJUSTMENT, 10, "A", event_id="WRONG"), put_away(100, "A", cost="0.01"))
    hospital.apply(usage(105, "A"), movement(r.MovementKind.REVERSAL, reverses="WRONG"))
    hospital.apply(movement(r.MovementKind.RETURN, 10, "A"))
    position = hospital.position()
    assert (position.on_hand, position.value < 0) == (5, True)
    (posting,) = postings(hospital.apply(usage(1, "A")))
    assert posting.amount == Decimal("2.50")  # the standard cost: the average says nothing


def test_a_first_usage_of_an_empty_position_costs_the_standard() -> None:
    (posting,) = postings(Hospital().apply(usage(3, "A")))
    assert posting.amount == Decimal("7.50")


def test_a_usage_of_an_unknown_item_waits_for_it() -> None:
    hospital = Hospital()
    decision = hospital.apply(usage(1, item="NEW"))
    assert decision == Decision(missing="item:NEW")


def test_a_usage_waits_for_its_location_and_its_cost_center() -> None:
    hospital = Hospital()
    assert hospital.apply(usage(1, location="WARD-9")).missing == "location:NORTH|WARD-9"
    assert hospital.apply(usage(1, cost_center="CC-9")).missing == "cost-center:CC-9"


def test_a_usage_that_waited_too_long_is_an_exception_for_master_data() -> None:
    (exception,) = Hospital().apply(usage(1, item="NEW"), overdue=True).outputs
    assert isinstance(exception, r.ExceptionRaised)
    assert (exception.kind, exception.owner_role, exception.applied) == ("UNKNOWN_REFERENCE", "MASTER_DATA", False)
    assert exception.message == "item is 'NEW'; expected one that the master data know"


def test_an_expired_lot_that_was_used_is_recorded_and_raised() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "OLD", expiry_date=YESTERDAY))
    assert raised(hospital.apply(usage(1, "OLD"))) == ["EXPIRED_LOT"]
    assert hospital.balances() == {("OLD", None): 49}


def test_a_lot_may_be_used_on_the_day_it_expires() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "TODAY", expiry_date=date(2026, 9, 21)))
    assert raised(hospital.apply(usage(1, "TODAY"))) == []


def test_a_lot_is_still_offered_on_the_day_it_expires() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "TODAY", expiry_date=date(2026, 9, 21)), put_away(50, "LATER", expiry_date=LATER))
    hospital.apply(usage(1))
    assert hospital.balances() == {("TODAY", None): 49, ("LATER", None): 50}


def test_a_later_scan_does_not_change_the_expiry_of_a_lot() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "A", expiry_date=LATER), usage(1, "A", expiry_date=YESTERDAY))
    assert hospital.position().lots["A", None].expiry_date == LATER
    assert hospital.exceptions() == []


def test_a_usage_off_the_formulary_is_recorded_and_raised() -> None:
    hospital = Hospital(MasterData.keeping(kept(on_formulary=False)))
    hospital.apply(put_away(50))
    assert raised(hospital.apply(usage(1, "A"))) == ["OFF_FORMULARY"]
    hospital.reference.kept.clear()
    assert raised(hospital.apply(usage(1, "A"))) == ["OFF_FORMULARY"]
    assert hospital.balances() == {("A", None): 48}


def test_each_inactive_reference_is_raised_and_the_usage_recorded() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50))
    hospital.reference.items["SUTURE"] = inactive(ITEM)
    hospital.reference.locations["NORTH", "WARD-1"] = inactive(WARD)
    hospital.reference.cost_centers["CC-WARD"] = inactive(hospital.reference.cost_centers["CC-WARD"])
    assert raised(hospital.apply(usage(1, "A"))) == ["INACTIVE_REFERENCE"] * 3
    assert hospital.balances() == {("A", None): 49}


def test_a_consigned_usage_is_billed_and_notified_and_leaves_owned_figures_alone() -> None:
    hospital = Hospital(MasterData.keeping(consigned(consignment_par=2)))
    hospital.apply(put_away(2, "S1", cost=None, item="STENT", owner="CARDIO"))
    decision = hospital.apply(usage(1, "S1", item="STENT", serial="SN-7"))
    (posting,) = postings(decision)
    assert (posting.posting_type, posting.amount, posting.supplier) == ("BILL_ONLY", Decimal("800.00"), "CARDIO")
    (notice,) = [output for output in decision.outputs if isinstance(output, r.ConsignmentNotice)]
    assert (notice.notice_type, notice.lot, notice.quantity, notice.balance) == ("USED", "S1", 1, 1)
    assert (notice.replenish_quantity, notice.serial) == (1, "SN-7")
    position = hospital.position(item="STENT")
    assert (position.on_hand, position.value, position.requested) == (0, Decimal(0), 0)
    assert hospital.balances(item="STENT") == {("S1", "CARDIO"): 1}


def test_a_supplier_brings_no_more_than_the_consignment_par() -> None:
    hospital = Hospital(MasterData.keeping(consigned(consignment_par=2)))
    hospital.apply(put_away(4, "S1", cost=None, item="STENT", owner="CARDIO"), usage(1, "S1", item="STENT"))
    (notice,) = hospital.of(r.ConsignmentNotice)
    assert (notice.balance, notice.replenish_quantity) == (3, 0)


def test_a_lot_known_under_one_owner_only_is_that_owners() -> None:
    hospital = Hospital(MasterData.keeping(kept(item="STENT")))
    hospital.apply(put_away(1, "LENT", cost=None, item="STENT", owner="CARDIO"))
    hospital.apply(usage(1, "LENT", item="STENT"))
    assert hospital.balances(item="STENT") == {}
    assert [p.posting_type for p in hospital.of(r.ConsumptionPosting)] == ["BILL_ONLY"]


def test_a_lot_known_under_two_owners_is_whose_stock_the_location_keeps() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    hospital.apply(put_away(1, "X", item="STENT"), put_away(1, "X", cost=None, item="STENT", owner="CARDIO"))
    hospital.apply(usage(1, "X", item="STENT"))
    assert hospital.balances(item="STENT") == {("X", None): 1}


def test_a_return_of_what_was_issued_comes_back_at_its_cost() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "A", cost="2.00"))
    hospital.apply(movement(r.MovementKind.ISSUE, 10, "A", cost_center="CC-OR"))
    decision = hospital.apply(movement(r.MovementKind.RETURN, 4, "A", cost_center="CC-OR"))
    (posting,) = postings(decision)
    assert (posting.posting_type, posting.cost_center) == ("CONSUMPTION", "CC-OR")
    assert (posting.quantity, posting.amount) == (-4, Decimal("-8.00"))
    assert hospital.position().value == Decimal("88.00")


def test_an_issue_without_a_cost_center_is_borne_by_the_location() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50), movement(r.MovementKind.ISSUE, 1, "A"))
    assert [p.cost_center for p in hospital.of(r.ConsumptionPosting)] == ["CC-WARD"]


def test_an_adjustment_is_borne_by_the_location_and_costs_the_average() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "A", cost="2.00"))
    hospital.apply(movement(r.MovementKind.ADJUSTMENT, -5, "A"), movement(r.MovementKind.ADJUSTMENT, 2, "A"))
    assert [(p.posting_type, p.quantity, p.amount) for p in hospital.of(r.ConsumptionPosting)] == [
        ("ADJUSTMENT", 5, Decimal("10.00")),
        ("ADJUSTMENT", -2, Decimal("-4.00")),
    ]
    assert hospital.position().value == Decimal("94.00")


def test_an_adjustment_of_consigned_stock_concerns_no_money() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    hospital.apply(movement(r.MovementKind.ADJUSTMENT, 3, "S1", item="STENT"))
    assert hospital.balances(item="STENT") == {("S1", "CARDIO"): 3}
    assert hospital.of(r.ConsumptionPosting) == []


def test_a_procedure_never_leaves_with_an_exception() -> None:
    hospital = Hospital()
    hospital.apply(usage(1, "A", procedure_ref="PROC-77"))
    payloads = [json.loads(raised.payload) for raised in hospital.of(r.ExceptionRaised)]
    assert payloads
    assert all(payload["lot"] == "A" and "procedure_ref" not in payload for payload in payloads)
    assert "PROC-77" not in repr(hospital.outputs)


def test_an_exception_about_a_vital_item_is_critical() -> None:
    hospital = Hospital(MasterData.keeping(kept(item="STENT"), kept()))
    assert IMPLANT.criticality is r.Criticality.VITAL
    hospital.apply(usage(1, "A", item="STENT"), usage(1, "A"))
    assert [e.severity for e in hospital.of(r.ExceptionRaised)] == ["CRITICAL", "NORMAL"]


def test_the_ledger_names_the_event_and_all_that_it_caused() -> None:
    hospital = Hospital()
    used = usage(30, "A", event_id="U1")
    hospital.apply(put_away(35))
    decision = hospital.apply(used)
    entry = ledger(decision)
    assert (entry.event_id, entry.causation_id, entry.number) == ("clinical.usage/U1#0", "U1", 2)
    assert (entry.source_topic, entry.source_partition, entry.source_offset) == ("clinical.usage", 0, 1)
    assert entry.decided_at == NOW
    assert entry.caused == (
        "finance.consumption-postings:clinical.usage/U1#1",
        "inventory.replenishment-triggers:clinical.usage/U1#2",
    )


def test_an_event_applied_releases_those_that_wait_for_it() -> None:
    assert Hospital().apply(usage(1, "A", event_id="U1")).released == ("event:U1",)


def test_the_same_event_on_the_same_state_is_decided_the_same() -> None:
    event = usage(3)
    assert Hospital().apply(event) == Hospital().apply(event)
