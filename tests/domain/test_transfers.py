"""Transfers: a conserved quantity and value between two positions, whichever end is heard of first."""

from __future__ import annotations

from decimal import Decimal

from app.domain import records as r
from app.domain.positions import Transit
from tests.domain.hospital import (
    HOUR_MS,
    NOW,
    SOUTH,
    Hospital,
    MasterData,
    consigned,
    counted,
    put_away,
    transfer_in,
    transfer_out,
)


def test_what_is_sent_is_in_transit_at_its_destination_with_its_value() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"), transfer_out(10, lot="A"))
    assert hospital.balances() == {("A", None): 90}
    assert hospital.position().value == Decimal("180.00")
    assert hospital.position(SOUTH).transits == (Transit("T1", None, 10, Decimal("20.00")),)
    assert hospital.of(r.ConsumptionPosting) == []


def test_what_arrives_brings_its_share_of_the_value() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"), transfer_out(10, lot="A"), transfer_in(4, "A"))
    south = hospital.position(SOUTH)
    assert hospital.balances(SOUTH) == {("A", None): 4}
    assert (south.value, south.in_transit) == (Decimal("8.00"), 6)
    hospital.apply(transfer_in(6, "A"))
    south = hospital.position(SOUTH)
    assert (south.value, south.in_transit, south.transits) == (Decimal("20.00"), 0, ())


def test_a_transfer_in_before_its_out_is_a_visible_negative_transit() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"), transfer_in(10, "A"))
    south = hospital.position(SOUTH)
    assert (south.in_transit, south.value) == (-10, Decimal("25.00"))  # at standard cost until the sender's is known
    hospital.apply(transfer_out(10, lot="A"))
    south = hospital.position(SOUTH)
    assert (south.in_transit, south.value, south.transits) == (0, Decimal("20.00"), ())


def test_more_arriving_than_was_sent_stays_visible() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"), transfer_out(10, lot="A"), transfer_in(12, "A"))
    assert hospital.position(SOUTH).in_transit == -2
    assert hospital.balances(SOUTH) == {("A", None): 12}


def test_consigned_stock_is_transferred_without_value_and_stays_its_owners() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    hospital.apply(put_away(5, "S1", cost=None, item="STENT", owner="CARDIO"))
    hospital.apply(transfer_out(2, lot="S1", item="STENT"))
    assert hospital.position(SOUTH, "STENT").in_transit == 0
    hospital.apply(transfer_in(2, "S1", item="STENT"))
    south = hospital.position(SOUTH, "STENT")
    assert hospital.balances(SOUTH, "STENT") == {("S1", "CARDIO"): 2}
    assert (south.value, south.on_hand, south.transits) == (Decimal(0), 0, ())


def test_a_transfer_out_from_before_the_count_still_brings_its_value_to_the_destination() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00", at=NOW - 3 * HOUR_MS), counted(("A", 90), at=NOW - HOUR_MS))
    hospital.apply(transfer_out(10, lot="A", at=NOW - 2 * HOUR_MS))
    assert hospital.balances() == {("A", None): 90}
    assert hospital.position().value == Decimal("180.00")
    assert [(p.posting_type, p.amount) for p in hospital.of(r.ConsumptionPosting)] == [
        ("ADJUSTMENT", Decimal("20.00")),
        ("ADJUSTMENT", Decimal("-20.00")),
    ]
    assert hospital.position(SOUTH).transits == (Transit("T1", None, 10, Decimal("20.00")),)


def test_two_transfers_to_one_place_are_kept_apart() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100, "A", cost="2.00"), transfer_out(10, lot="A"), put_away(90, "A", cost="4.00"))
    hospital.apply(transfer_out(10, lot="A", transfer="T2"), transfer_in(10, "A", transfer="T2"))
    assert hospital.position(SOUTH).transits == (Transit("T1", None, 10, Decimal("20.00")),)
    assert hospital.position(SOUTH).value == Decimal("30.00")
