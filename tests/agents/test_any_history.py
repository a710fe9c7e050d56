"""Whatever happens, in whatever order: the books balance by rules that were written without a look at ours."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import topics
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import LocalRegistry
from app.domain import records as r
from app.main import inventory, procurement
from app.runtime.driver import Driver
from tests.agents.audit import audit
from tests.agents.conftest import PARK_MAX_AGE_MS, Wardstock
from tests.domain.hospital import (
    LATER,
    NOW,
    SOUTH,
    WARD,
    YESTERDAY,
    MasterData,
    consigned,
    kept,
    movement,
    order,
    order_line,
    receipt,
    receipt_line,
    usage,
)
from tests.domain.test_invariants import (
    LOTS,
    QUANTITIES,
    TIMES,
    adjustments,
    counts,
    free_usages,
    histories,
    issues,
    transfers,
    usages,
)

REGISTRY = LocalRegistry()
register_all(REGISTRY, topics.ALL)
CODEC = AvroCodec(REGISTRY, topics.ALL)

PLACES = st.sampled_from([WARD, SOUTH]).map(lambda at: {"facility": at.facility, "location": at.location})
ITEMS = st.sampled_from([{"item": "SUTURE", "uom": "EA"}, {"item": "SUTURE", "uom": "BX"}, {"item": "STENT"}])
WHAT = st.builds(lambda place, item: place | item, PLACES, ITEMS)
TRIGGERS = st.sampled_from([None, "NORTH|WARD-1|SUTURE#1", "NORTH|WARD-1|SUTURE#2", "SOUTH|OR-1|SUTURE#1"])
PO_NUMBERS = st.sampled_from(["PO-1", "PO-2"])

order_lines = st.builds(
    lambda quantity, trigger, what: (quantity, {"trigger_id": trigger} | what), QUANTITIES, TRIGGERS, WHAT
)
orders = st.builds(
    lambda lines, po, revision, kind, status, at: order(
        *(order_line(n, quantity, **what) for n, (quantity, what) in enumerate(lines, start=1)),
        po_number=po, revision=revision, order_type=kind, status=status, supplier="CARDIO", at=at,
    ),
    st.lists(order_lines, min_size=1, max_size=3), PO_NUMBERS, st.integers(1, 3),
    st.sampled_from([r.OrderType.STOCK, r.OrderType.STOCK, r.OrderType.CONSIGNMENT, r.OrderType.BILL_ONLY]),
    st.sampled_from([r.OrderStatus.OPEN, r.OrderStatus.OPEN, r.OrderStatus.CANCELLED]), TIMES,
)  # fmt: skip
receipt_lines = st.builds(
    lambda quantity, po_line, lot, expiry, what: (quantity, po_line, {"lot": lot, "expiry_date": expiry} | what),
    QUANTITIES, st.none() | st.integers(1, 3), st.none() | LOTS, st.sampled_from([None, LATER, YESTERDAY]), WHAT,
)  # fmt: skip
receipts = st.builds(
    lambda lines, po, note, at: receipt(
        *(receipt_line(n, quantity, po_line, **what) for n, (quantity, po_line, what) in enumerate(lines, start=1)),
        po_number=po, note=note, supplier="CARDIO", at=at,
    ),
    st.lists(receipt_lines, min_size=1, max_size=3), st.none() | PO_NUMBERS, st.sampled_from(["N1", "N2", "N3"]), TIMES,
)  # fmt: skip
stents = st.builds(
    lambda quantity, lot, at, lent: (
        usage(quantity, lot, at=at, item="STENT", facility="SOUTH", location="OR-1")
        if lent
        else movement(r.MovementKind.RETURN, quantity, lot, at=at, item="STENT", facility="SOUTH", location="OR-1")
    ),
    QUANTITIES, st.none() | LOTS, TIMES, st.booleans(),
)  # fmt: skip
anything = st.one_of(
    orders, receipts, receipts, usages, free_usages, counts, adjustments, issues, transfers, stents
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories(anything), at_once=st.booleans())
def test_the_books_balance_after_any_history(history: list[Any], at_once: bool) -> None:
    data = MasterData.keeping(kept(), kept(SOUTH), consigned(SOUTH, consignment_par=5))
    with Driver(inventory, procurement, codec=CODEC, partitions=2, park_max_age_ms=PARK_MAX_AGE_MS) as driver:
        driver.advance(NOW + PARK_MAX_AGE_MS - driver.clock.now_ms())
        wardstock = Wardstock(driver)
        wardstock.work(
            *data.items.values(), *data.locations.values(), *data.kept.values(), *data.cost_centers.values(),
            *data.suppliers.values(),
        )  # fmt: skip
        for part in [history] if at_once else [[event] for event in history]:
            wardstock.work(*part)
        wardstock.wait_out()
        report = audit(driver, REGISTRY, NOW)
    assert (report.differences, report.unverifiable, report.dead_letters, report.parked) == ((), {}, {}, 0)
    assert report.distinct == len(history)
