"""Counts: true from when they were made, whenever they arrive."""

from __future__ import annotations

from decimal import Decimal

from app.domain import records as r
from app.domain.positions import DAY_MS, HORIZON_MS
from tests.domain.hospital import (
    HOUR_MS,
    NOW,
    Hospital,
    MasterData,
    consigned,
    counted,
    kept,
    movement,
    put_away,
    usage,
)


def kinds(hospital: Hospital) -> list[tuple[r.PostingType, int, Decimal]]:
    return [(p.posting_type, p.quantity, p.amount) for p in hospital.of(r.ConsumptionPosting)]


def test_a_count_sets_the_lot_and_posts_the_variance() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "A", cost="2.00", at=NOW - HOUR_MS), counted(("A", 47)))
    assert hospital.balances() == {("A", None): 47}
    assert kinds(hospital) == [(r.PostingType.ADJUSTMENT, 3, Decimal("6.00"))]
    assert hospital.position().value == Decimal("94.00")


def test_a_count_without_a_variance_posts_nothing() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, at=NOW - HOUR_MS), counted(("A", 50)))
    assert kinds(hospital) == []
    assert hospital.of(r.LedgerEntry)[-1].effect == "APPLIED"


def test_a_late_count_keeps_changes_that_occurred_after_it() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, at=NOW - 3 * HOUR_MS), usage(5, "A", at=NOW))
    hospital.apply(counted(("A", 48), at=NOW - HOUR_MS))
    assert hospital.balances() == {("A", None): 43}


def test_a_usage_from_before_the_count_is_posted_and_changes_no_balance() -> None:
    hospital = Hospital()
    hospital.apply(put_away(50, "A", cost="2.00", at=NOW - 3 * HOUR_MS), counted(("A", 45), at=NOW - HOUR_MS))
    value = hospital.position().value
    hospital.apply(usage(5, "A", at=NOW - 2 * HOUR_MS))
    assert hospital.balances() == {("A", None): 45}
    assert hospital.position().value == value
    assert kinds(hospital)[1:] == [
        (r.PostingType.CONSUMPTION, 5, Decimal("10.00")),
        (r.PostingType.ADJUSTMENT, -5, Decimal("-10.00")),
    ]
    entry = hospital.of(r.LedgerEntry)[-1]
    assert entry.effect == "BEFORE_COUNT"
    assert [(change.lot, change.change, change.balance) for change in entry.lots] == [("A", 0, 45)]


def test_a_put_away_from_before_the_count_is_what_the_count_found() -> None:
    hospital = Hospital()
    hospital.apply(counted(("A", 10), at=NOW - HOUR_MS))
    assert hospital.position().value == Decimal("25.00")
    hospital.apply(put_away(10, "A", cost="2.50", at=NOW - 2 * HOUR_MS))
    assert hospital.balances() == {("A", None): 10}
    assert hospital.position().value == Decimal("25.00")
    assert kinds(hospital) == [
        (r.PostingType.ADJUSTMENT, -10, Decimal("-25.00")),
        (r.PostingType.ADJUSTMENT, 10, Decimal("25.00")),
    ]


def test_of_a_usage_over_two_lots_only_what_was_not_counted_since_changes() -> None:
    hospital = Hospital()
    hospital.apply(put_away(2, "A", at=NOW - 3 * HOUR_MS), put_away(9, "B", at=NOW - 3 * HOUR_MS + 1))
    hospital.apply(counted(("A", 2), at=NOW - HOUR_MS))
    hospital.apply(usage(5, at=NOW - 2 * HOUR_MS))
    assert hospital.balances() == {("A", None): 2, ("B", None): 6}
    assert hospital.of(r.LedgerEntry)[-1].effect == "APPLIED"
    assert [(kind, quantity) for kind, quantity, _ in kinds(hospital)] == [("CONSUMPTION", 5), ("ADJUSTMENT", -2)]


def test_a_count_older_than_the_last_one_is_superseded() -> None:
    hospital = Hospital()
    hospital.apply(counted(("A", 10), at=NOW), counted(("A", 3), at=NOW - HOUR_MS))
    assert hospital.balances() == {("A", None): 10}
    assert hospital.of(r.LedgerEntry)[-1].effect == "SUPERSEDED"


def test_counts_at_the_same_moment_are_ordered_by_event_id() -> None:
    for order in ((0, 1), (1, 0)):
        events = [counted(("A", 10), event_id="C1"), counted(("A", 20), event_id="C2")]
        hospital = Hospital()
        hospital.apply(*(events[place] for place in order))
        assert hospital.balances() == {("A", None): 20}


def test_a_usage_at_the_moment_of_a_count_is_ordered_by_event_id() -> None:
    for event_id, balance in (("B-USED", 10), ("D-USED", 7)):
        for first in (True, False):
            events = [counted(("A", 10), event_id="COUNT"), usage(3, "A", event_id=event_id)]
            hospital = Hospital()
            hospital.apply(*(events if first else events[::-1]))
            assert hospital.balances() == {("A", None): balance}


def test_a_full_count_empties_the_lots_that_it_does_not_list() -> None:
    hospital = Hospital()
    hospital.apply(put_away(5, "A", at=NOW - HOUR_MS), put_away(7, "B", at=NOW - HOUR_MS))
    hospital.apply(counted(("A", 5), full=True))
    assert hospital.balances() == {("A", None): 5}


def test_a_full_count_covers_lots_that_are_heard_of_later() -> None:
    hospital = Hospital()
    hospital.apply(counted(full=True, at=NOW), put_away(7, "B", at=NOW - HOUR_MS))
    assert hospital.balances() == {}
    assert hospital.of(r.LedgerEntry)[-1].effect == "BEFORE_COUNT"


def test_a_late_full_count_leaves_lots_that_were_counted_since() -> None:
    hospital = Hospital()
    hospital.apply(counted(("A", 5), at=NOW), counted(("B", 6), full=True, at=NOW - HOUR_MS))
    assert hospital.balances() == {("A", None): 5, ("B", None): 6}


def test_an_older_full_count_is_superseded_by_a_newer_one() -> None:
    hospital = Hospital()
    hospital.apply(counted(("A", 5), full=True, at=NOW), counted(full=True, at=NOW - HOUR_MS))
    assert hospital.balances() == {("A", None): 5}
    assert hospital.of(r.LedgerEntry)[-1].effect == "SUPERSEDED"


def test_a_count_in_boxes_is_counted_in_base_units() -> None:
    hospital = Hospital()
    hospital.apply(counted(("A", 3), uom="BX"))
    assert hospital.balances() == {("A", None): 36}


def test_a_count_of_consigned_stock_is_the_suppliers_and_posts_nothing() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    hospital.apply(counted(("S1", 3), item="STENT"))
    assert hospital.balances(item="STENT") == {("S1", "CARDIO"): 3}
    assert kinds(hospital) == []


def test_a_count_beyond_the_horizon_is_refused() -> None:
    hospital = Hospital()
    hospital.apply(put_away(5, at=NOW - HORIZON_MS - DAY_MS), decided_at=NOW - HORIZON_MS - DAY_MS)
    decision = hospital.apply(counted(("A", 1), at=NOW - HORIZON_MS - 1))
    assert hospital.exceptions() == ["BEYOND_HORIZON"]
    assert decision.position is None
    assert hospital.balances() == {("A", None): 5}


def test_a_usage_beyond_the_horizon_is_applied_and_raised() -> None:
    hospital = Hospital(MasterData())
    hospital.apply(put_away(5))
    hospital.apply(usage(1, "A", at=NOW - HORIZON_MS - 1))
    assert hospital.exceptions() == ["OFF_FORMULARY", "BEYOND_HORIZON"]
    assert hospital.balances() == {("A", None): 4}


def test_changes_and_empty_lots_beyond_the_horizon_are_forgotten() -> None:
    hospital = Hospital(MasterData.keeping(kept()))
    start = NOW - 2 * HORIZON_MS
    hospital.apply(put_away(5, "A", at=start), usage(5, "A", at=start + 1), decided_at=start + 1)
    key = "NORTH|WARD-1|SUTURE"
    assert len(hospital.changes[key]) == 2
    decision = hospital.apply(put_away(9, "B"))
    assert len(decision.forgotten) == 2
    assert [change.deltas for change in hospital.changes[key].values()] == [((("B", None), 9),)]
    assert set(hospital.position().lots) == {("B", None)}


def test_a_count_does_not_add_up_with_changes_of_other_counts() -> None:
    hospital = Hospital()
    hospital.apply(counted(("B", 3), at=NOW - HOUR_MS), counted(("A", 5), at=NOW - 3 * HOUR_MS))
    hospital.apply(movement(r.MovementKind.ADJUSTMENT, 2, "A", at=NOW - HOUR_MS))
    hospital.apply(counted(("A", 4), at=NOW - 2 * HOUR_MS))
    assert hospital.balances() == {("A", None): 6, ("B", None): 3}
