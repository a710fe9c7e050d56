"""History in, events out: the agent that keeps inventory positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.domain import records as r
from tests.agents.conftest import Wardstock
from tests.domain.hospital import (
    HOUR_MS,
    IMPLANT,
    ITEM,
    LATER,
    NOW,
    SOUTH,
    WARD,
    counted,
    kept,
    movement,
    order,
    order_line,
    receipt,
    receipt_line,
    transfer_in,
    transfer_out,
    usage,
)

STOCK = receipt(receipt_line(1, 30, expiry_date=LATER), po_number=None, note="OPENING", at=NOW - 10 * HOUR_MS)
STENTS = receipt(
    receipt_line(1, 2, None, item="STENT", facility="SOUTH", location="OR-1", lot="S1"),
    po_number=None, note="STENTS", supplier="CARDIO", at=NOW - 10 * HOUR_MS,
)  # fmt: skip


def implant_used(lot: str = "S1", **what: Any) -> r.ClinicalUsage:
    base = {"item": "STENT", "facility": "SOUTH", "location": "OR-1", "cost_center": "CC-OR", "serial": "SN-1"}
    return usage(1, lot, at=NOW - 5 * HOUR_MS, procedure_ref="PROC-7", **(base | what))


def test_an_owned_implant_used_hours_ago_leaves_stock_and_is_posted_and_reordered(
    stocked: Callable[..., Wardstock],
) -> None:
    wardstock = stocked(kept(SOUTH, "STENT", min_quantity=1, max_quantity=2))
    wardstock.work(STENTS)
    wardstock.work(implant_used())
    assert wardstock.balances(SOUTH, "STENT") == {"S1": 1}
    (posting,) = wardstock.postings()
    assert (posting.posting_type, posting.cost_center, posting.amount) == ("CONSUMPTION", "CC-OR", Decimal("800.00"))
    (trigger,) = wardstock.triggers()
    assert (trigger.quantity, trigger.criticality, trigger.causation_id) == (1, "VITAL", posting.causation_id)
    used = wardstock.ledger()[-1]
    assert (used.kind, used.effect, used.number) == ("USAGE", "APPLIED", 2)
    assert len(used.caused) == 2


def test_a_consigned_implant_used_hours_ago_tells_the_supplier_and_consumes_no_stock_of_ours(
    wardstock: Wardstock,
) -> None:
    wardstock.work(STENTS)
    wardstock.work(implant_used())
    (notice,) = wardstock.notices()
    assert (notice.supplier, notice.lot, notice.serial, notice.balance) == ("CARDIO", "S1", "SN-1", 1)
    assert notice.replenish_quantity == 1
    (posting,) = wardstock.postings()
    assert (posting.posting_type, posting.supplier, posting.amount) == ("BILL_ONLY", "CARDIO", Decimal("800.00"))
    position = wardstock.position(SOUTH, "STENT")
    assert (position.on_hand, position.value, wardstock.triggers()) == (0, Decimal(0), [])


def test_a_procedure_stays_out_of_everything_that_is_published(wardstock: Wardstock) -> None:
    wardstock.work(implant_used(lot="S9", cost_center="CC-WARD"))
    assert wardstock.kinds() == ["NEGATIVE_BALANCE"]
    for outputs in (wardstock.exceptions(), wardstock.postings(), wardstock.notices(), wardstock.ledger()):
        assert outputs
        assert "PROC-7" not in repr(outputs)


def test_a_repeated_usage_leaves_no_trace(wardstock: Wardstock) -> None:
    used = usage(3, "A", event_id="U1")
    wardstock.work(STOCK)
    wardstock.work(used, replace(used, recorded_at=NOW + 1))
    wardstock.work(used)
    assert wardstock.balances() == {"A": 27}
    assert len(wardstock.postings()) == 1


def test_an_id_that_comes_again_with_another_body_is_an_exception_that_names_the_second(wardstock: Wardstock) -> None:
    used = usage(3, "A", event_id="U1")
    wardstock.work(STOCK)
    wardstock.work(used)
    wardstock.work(replace(used, quantity=5))
    assert wardstock.balances() == {"A": 27}
    (conflict,) = [e for e in wardstock.exceptions() if e.kind is r.ExceptionKind.ID_CONFLICT]
    assert (conflict.applied, conflict.owner_role, conflict.source_offset) == (False, "INTEGRATION", 1)
    assert '"quantity": 5' in conflict.payload


def test_a_late_count_keeps_what_was_used_after_it(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(4, "A", at=NOW))
    wardstock.work(counted(("A", 29), at=NOW - HOUR_MS))
    assert wardstock.balances() == {"A": 25}


def test_a_late_usage_that_a_count_has_seen_is_posted_and_moves_nothing(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(counted(("A", 26), at=NOW - HOUR_MS))
    wardstock.work(usage(4, "A", at=NOW - 2 * HOUR_MS))
    assert wardstock.balances() == {"A": 26}
    assert wardstock.ledger()[-1].effect == "BEFORE_COUNT"
    assert [(p.posting_type, p.quantity) for p in wardstock.postings()] == [
        ("ADJUSTMENT", 4),
        ("CONSUMPTION", 4),
        ("ADJUSTMENT", -4),
    ]


def test_a_reversal_restores_what_was_used(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(4, "A", event_id="U1"))
    wardstock.work(usage(4, "A", event_id="U2", reverses="U1"))
    assert wardstock.balances() == {"A": 30}
    assert sum(posting.amount for posting in wardstock.postings()) == 0


def test_a_reversal_before_its_original_waits_and_is_taken_up_by_itself(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(4, "A", event_id="U2", reverses="U1"))
    assert [entry.kind for entry in wardstock.ledger()] == ["PUT_AWAY"]
    wardstock.work(usage(4, "A", event_id="U1"))
    assert [entry.kind for entry in wardstock.ledger()] == ["PUT_AWAY", "USAGE", "USAGE_REVERSAL"]
    assert wardstock.balances() == {"A": 30}


def test_a_reversal_whose_original_never_comes_is_refused_in_the_end(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(4, "A", reverses="NEVER"))
    wardstock.wait_out()
    assert sorted(wardstock.kinds()) == ["RECEIPT_WITHOUT_ORDER", "REVERSAL_WITHOUT_ORIGINAL"]
    assert wardstock.balances() == {"A": 30}


def test_a_usage_of_an_unknown_item_is_taken_up_when_the_item_arrives(wardstock: Wardstock) -> None:
    gauze = replace(ITEM, item="GAUZE")
    wardstock.work(usage(2, "G", item="GAUZE", event_id="U1"))
    assert (wardstock.ledger(), wardstock.exceptions()) == ([], [])
    wardstock.work(gauze)
    (entry,) = wardstock.ledger()
    assert (entry.causation_id, entry.item, entry.effect) == ("U1", "GAUZE", "APPLIED")
    assert entry.master_version.startswith("items@3,")


def test_a_usage_of_an_item_that_never_arrives_is_refused_in_the_end(wardstock: Wardstock) -> None:
    wardstock.work(usage(2, item="GAUZE"))
    wardstock.wait_out()
    (refused,) = wardstock.exceptions()
    assert (refused.kind, refused.applied, refused.owner_role) == ("UNKNOWN_REFERENCE", False, "MASTER_DATA")
    assert wardstock.ledger() == []


def test_what_waits_for_several_references_is_taken_up_after_the_last_of_them(empty: Wardstock) -> None:
    empty.work(usage(2, "A"))
    empty.work(ITEM)
    empty.work(r.CostCenter("CC-WARD", "ward", "NORTH", True))
    assert empty.ledger() == []
    empty.work(WARD)
    assert [entry.kind for entry in empty.ledger()] == ["USAGE"]


def test_an_invalid_usage_is_a_dead_letter_that_names_the_field(wardstock: Wardstock) -> None:
    wardstock.work(usage(0, "A"))
    (letter,) = wardstock.dead_letters()
    assert letter.reason == "INVALID"
    assert "quantity: got 0, expected more than 0" in letter.detail


def test_a_transfer_moves_stock_and_value_by_its_id(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    worth = wardstock.position().value
    wardstock.work(transfer_out(5, lot="A"))
    assert wardstock.position(SOUTH).in_transit == 5
    wardstock.work(transfer_in(5, "A"))
    assert (wardstock.balances(WARD), wardstock.balances(SOUTH)) == ({"A": 25}, {"A": 5})
    assert wardstock.position(WARD).value + wardstock.position(SOUTH).value == worth
    assert wardstock.position(SOUTH).in_transit == 0


def test_a_transfer_in_before_its_out_is_a_visible_negative_transit(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(transfer_in(5, "A"))
    assert wardstock.position(SOUTH).in_transit == -5
    wardstock.work(transfer_out(5, lot="A"))
    assert wardstock.position(SOUTH).in_transit == 0
    assert wardstock.balances(SOUTH) == {"A": 5}


def test_a_trigger_becomes_an_order_becomes_stock(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(25, "A"))
    (trigger,) = wardstock.triggers()
    assert (wardstock.position().requested, trigger.quantity) == (35, 35)
    wardstock.work(order(order_line(1, 35, trigger_id=trigger.trigger_id)))
    assert (wardstock.position().requested, wardstock.position().on_order) == (0, 35)
    wardstock.work(receipt(receipt_line(1, 35, lot="B")))
    assert (wardstock.position().on_order, wardstock.position().on_hand) == (0, 40)
    assert len(wardstock.triggers()) == 1


def test_a_withdrawn_need_cancels_its_trigger(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(25, "A", event_id="U1"), usage(25, "A", reverses="U1"))
    assert [(t.trigger_id, t.status) for t in wardstock.triggers()] == [
        ("NORTH|WARD-1|SUTURE#1", "OPEN"),
        ("NORTH|WARD-1|SUTURE#1", "CANCELLED"),
    ]


def test_a_worker_that_starts_again_still_knows_what_it_must(wardstock: Wardstock) -> None:
    wardstock.work(STOCK)
    wardstock.work(usage(4, "A", event_id="U1"), transfer_out(5, lot="A"), usage(1, "A", reverses="LATER"))
    wardstock.restart()
    wardstock.work(usage(4, "A", reverses="U1"), transfer_in(2, "A"), usage(1, "A", event_id="LATER"))
    assert wardstock.balances() == {"A": 25}
    assert wardstock.position(SOUTH).in_transit == 3
    assert [entry.number for entry in wardstock.ledger() if entry.facility == "NORTH"] == [1, 2, 3, 4, 5, 6]


def test_a_backlog_is_worked_in_the_order_in_which_it_was_lived(wardstock: Wardstock) -> None:
    wardstock.publish(counted(("A", 9), at=NOW - HOUR_MS), at=NOW)
    wardstock.publish(movement(r.MovementKind.RETURN, 4, "A"), at=NOW + 10)
    wardstock.publish(usage(4, "A"), at=NOW + 5)
    wardstock.driver.run()
    assert [entry.kind for entry in wardstock.ledger()] == ["COUNT", "USAGE", "RETURN"]
    assert wardstock.balances() == {"A": 9}


def test_facts_that_a_ledger_shares_with_its_event(wardstock: Wardstock) -> None:
    used = implant_used(event_id="U1")
    wardstock.work(STENTS)
    wardstock.work(used)
    entry = wardstock.ledger()[-1]
    assert (entry.event_id, entry.causation_id, entry.correlation_id) == ("clinical.usage/U1#0", "U1", "corr-U1")
    assert (entry.occurred_at, entry.decided_at) == (used.occurred_at, NOW)
    assert (entry.item, entry.currency) == (IMPLANT.item, "EUR")
