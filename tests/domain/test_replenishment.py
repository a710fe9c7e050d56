"""When a position asks for more, for how much, and when it takes that back."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import records as r
from app.domain.positions import DAY_MS
from app.domain.replenishment import Ask, Levels, Withdraw, levels, order_quantity, review
from tests.domain.hospital import (
    ITEM,
    NOW,
    SOON,
    SOUTH,
    Hospital,
    MasterData,
    consigned,
    inactive,
    inbound,
    kept,
    put_away,
    transfer_in,
    transfer_out,
    usage,
)

TRIGGER = "NORTH|WARD-1|SUTURE#1"


def ordered(quantity: int, trigger_id: str | None = None) -> r.Inbound:
    return inbound(r.InboundKind.ORDERED, quantity, trigger_id=trigger_id)


def triggers(hospital: Hospital) -> list[tuple[str, str, int]]:
    return [(t.trigger_id, t.status, t.quantity) for t in hospital.of(r.ReplenishmentTrigger)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"policy": r.ReplenishmentPolicy.MIN_MAX, "min_quantity": 10, "max_quantity": 40}, Levels(10, 40)),
        ({"policy": r.ReplenishmentPolicy.PAR, "par_quantity": 25}, Levels(24, 25)),
        ({"policy": r.ReplenishmentPolicy.REORDER_POINT, "reorder_point": 12, "safety_stock": 5}, Levels(12, 40)),
        (
            {
                "policy": r.ReplenishmentPolicy.REORDER_POINT,
                "daily_demand": Decimal("2.3"),
                "lead_time_days": 3,
                "safety_stock": 5,
            },
            Levels(12, 40),  # ceil(6.9) + 5
        ),
        ({"policy": r.ReplenishmentPolicy.REORDER_POINT}, None),
        ({"policy": r.ReplenishmentPolicy.PAR}, None),
    ],
)
def test_the_levels_follow_from_the_policy(policy: dict[str, Any], expected: Levels | None) -> None:
    assert levels(kept(**policy)) == expected


@given(short=st.integers(0, 10_000), minimum=st.integers(1, 500), multiple=st.integers(1, 144))
def test_an_order_covers_the_shortage_and_the_minimum_in_whole_multiples(
    short: int, minimum: int, multiple: int
) -> None:
    quantity = order_quantity(short, minimum, multiple)
    assert quantity % multiple == 0
    assert max(short, minimum) <= quantity < max(short, minimum) + multiple


def test_at_the_reorder_point_more_is_asked_for_above_it_nothing() -> None:
    row = kept()
    assert review(row, supply=11, requested=0) is None
    assert review(row, supply=10, requested=0) == Ask(30, 10, Levels(10, 40))


def test_while_something_is_requested_nothing_more_is_asked_for() -> None:
    assert review(kept(), supply=-100, requested=30) is None


def test_a_request_is_withdrawn_once_the_rest_suffices() -> None:
    assert review(kept(), supply=11, requested=30) == Withdraw(30, 11, Levels(10, 40))


def test_the_usage_that_reaches_the_reorder_point_triggers_up_to_the_maximum() -> None:
    hospital = Hospital()
    hospital.apply(put_away(30), usage(19, "A"))
    assert triggers(hospital) == []
    hospital.apply(usage(1, "A"))
    (trigger,) = hospital.of(r.ReplenishmentTrigger)
    assert (trigger.trigger_id, trigger.status, trigger.quantity) == (TRIGGER, "OPEN", 30)
    assert (trigger.inventory_position, trigger.reorder_point, trigger.order_up_to) == (10, 10, 40)
    assert (trigger.uom, trigger.supplier, trigger.criticality) == ("EA", "MEDCO", "ESSENTIAL")
    assert hospital.position().requested == 30


def test_the_same_need_never_triggers_twice() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), *(usage(1, "A") for _ in range(15)))
    assert len(triggers(hospital)) == 1


def test_an_order_that_names_the_trigger_turns_requested_into_on_order_in_one_step() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), usage(5, "A"))
    hospital.apply(ordered(30, TRIGGER))
    position = hospital.position()
    assert (position.requested, position.on_order) == (0, 30)
    assert len(triggers(hospital)) == 1
    entry = hospital.of(r.LedgerEntry)[-1]
    assert (entry.requested_change, entry.on_order_change) == (-30, 30)


def test_an_order_for_less_than_was_asked_for_opens_the_next_episode() -> None:
    hospital = Hospital(MasterData.keeping(kept(min_quantity=20)))
    hospital.apply(put_away(21), usage(11, "A"), ordered(5, TRIGGER))
    assert triggers(hospital) == [(TRIGGER, "OPEN", 30), ("NORTH|WARD-1|SUTURE#2", "OPEN", 25)]
    assert (hospital.position().requested, hospital.position().on_order) == (25, 5)


def test_an_order_for_nothing_closes_the_request_all_the_same() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), usage(5, "A"), ordered(0, TRIGGER))
    assert [trigger[:2] for trigger in triggers(hospital)] == [(TRIGGER, "OPEN"), ("NORTH|WARD-1|SUTURE#2", "OPEN")]


def test_an_order_of_an_older_trigger_leaves_the_open_request_alone() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), usage(6, "A"), ordered(31, TRIGGER), ordered(-31), ordered(1, TRIGGER))
    assert (hospital.position().requested, hospital.position().on_order) == (31, 1)


def test_an_order_that_is_cancelled_is_asked_for_again() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), usage(5, "A"), ordered(30, TRIGGER), ordered(-30))
    assert [trigger[0] for trigger in triggers(hospital)] == [TRIGGER, "NORTH|WARD-1|SUTURE#2"]


def test_a_withdrawn_need_cancels_its_trigger() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), usage(5, "A", event_id="U1"), usage(5, "A", reverses="U1"))
    assert triggers(hospital) == [(TRIGGER, "OPEN", 30), (TRIGGER, "CANCELLED", 30)]
    assert hospital.position().requested == 0


def test_stock_put_away_without_an_order_withdraws_the_request() -> None:
    hospital = Hospital()
    hospital.apply(put_away(15), usage(5, "A"), put_away(20, "B"))
    assert triggers(hospital)[-1] == (TRIGGER, "CANCELLED", 30)


def test_stock_on_its_way_from_another_location_counts() -> None:
    hospital = Hospital()
    hospital.apply(put_away(100), transfer_out(50, lot="A"), transfer_in(20, "A"))
    assert [t.facility for t in hospital.of(r.ReplenishmentTrigger)] == []
    assert hospital.position(SOUTH).in_transit == 30


def test_stock_that_has_expired_is_no_stock() -> None:
    hospital = Hospital()
    hospital.apply(put_away(30, expiry_date=SOON))
    assert triggers(hospital) == []
    after = NOW + 30 * DAY_MS
    hospital.apply(usage(1, "A", at=after), decided_at=after)
    assert triggers(hospital) == [(TRIGGER, "OPEN", 40)]
    assert hospital.position().lots["A", None].expiry_date == date(2026, 10, 1)


def test_a_quantity_below_zero_is_asked_for_too() -> None:
    hospital = Hospital()
    hospital.apply(usage(5, "A"))
    assert triggers(hospital) == [(TRIGGER, "OPEN", 45)]


def test_where_the_item_is_not_kept_nothing_is_asked_for() -> None:
    hospital = Hospital(MasterData())
    hospital.apply(usage(5, "A"))
    assert triggers(hospital) == []


def test_an_inactive_item_is_asked_for_until_it_is_taken_off_the_location() -> None:
    hospital = Hospital()
    hospital.reference.items["SUTURE"] = inactive(ITEM)
    hospital.apply(usage(5, "A"))
    assert (triggers(hospital), "INACTIVE_REFERENCE" in hospital.exceptions()) == ([(TRIGGER, "OPEN", 45)], True)


def test_a_supplier_replenishes_its_own_stock_without_a_trigger() -> None:
    hospital = Hospital(MasterData.keeping(consigned()))
    hospital.apply(usage(1, "S1", item="STENT"))
    assert triggers(hospital) == []


def test_a_put_away_clears_what_was_on_order() -> None:
    hospital = Hospital()
    hospital.apply(ordered(40), put_away(25, on_order_cleared=25))
    position = hospital.position()
    assert (position.on_hand, position.on_order) == (25, 15)
