from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import topics
from app.domain.records import (
    ClinicalUsage,
    ItemLocation,
    MovementKind,
    OrderStatus,
    OrderType,
    PurchaseOrder,
    PurchaseOrderLine,
    Receipt,
    StockMovement,
    TriggerStatus,
)
from app.domain.validation import Invalid, validate
from app.simulate.flow import Flow
from app.simulate.messages import Breakage, Nature, Published
from app.simulate.plan import HOUR_MS, Mix, Plan, Shares, span_ms
from app.simulate.world import make_world
from tests.simulate.triggers import QUANTITY, a_trigger

START = 1_780_000_000_000
QUIET = Shares(repeats=0, late=0, out_of_order=0, invalid=0, undecodable=0, misplaced=0)


def plan_of(events: int, seed: int = 7, shares: Shares | None = None, mix: Mix = Mix.ALL) -> Plan:
    return Plan(seed, events, START, START + span_ms(events), shares=shares or Shares(), mix=mix)


def flow_of(plan: Plan) -> Flow:
    return Flow(make_world(plan.seed, plan.facilities), plan)


def inputs(messages: list[Published]) -> list[Published]:
    return [each for each in messages if each.nature is not Nature.MASTER]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(12_000)


@pytest.fixture(scope="module")
def published(plan: Plan) -> list[Published]:
    return list(flow_of(plan))


@pytest.fixture(scope="module")
def events(published: list[Published]) -> list[Any]:
    return [each.record for each in published if each.nature is Nature.EVENT]


def test_the_same_seed_makes_the_same_messages(plan: Plan, published: list[Published]) -> None:
    assert list(flow_of(plan)) == published


def test_another_start_gives_other_ids() -> None:
    first, second = (list(flow_of(p)) for p in (plan_of(500), replace(plan_of(500), start=START + 5000)))
    assert not {m.record.event_id for m in inputs(first)} & {m.record.event_id for m in inputs(second)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(100, 700), st.sampled_from(Mix))
def test_a_run_publishes_exactly_the_events_asked_for(seed: int, count: int, mix: Mix) -> None:
    plan = plan_of(count, seed, mix=mix)
    messages = inputs(list(flow_of(plan)))
    assert len(messages) == count
    assert all(plan.start <= message.timestamp <= plan.end for message in messages)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_message_is_invalid_by_the_domain_exactly_where_it_is_meant_to_be(seed: int) -> None:
    for message in flow_of(plan_of(400, seed, Shares(invalid=0.3))):
        assert is_valid(message.record) == (message.nature is not Nature.INVALID), message


def is_valid(record: object) -> bool:
    try:
        validate(record)
    except Invalid:
        return False
    return True


def test_the_shares_are_those_asked_for(plan: Plan, published: list[Published]) -> None:
    natures = Counter(message.nature for message in published)
    spoilt = natures[Nature.INVALID] + natures[Nature.UNRESOLVED] + natures[Nature.CONFLICT]
    assert natures[Nature.REPEAT] / plan.events == pytest.approx(plan.shares.repeats, rel=0.15)
    assert spoilt / plan.events == pytest.approx(plan.shares.invalid, rel=0.35)
    assert natures[Nature.UNDECODABLE] / plan.events == pytest.approx(plan.shares.undecodable, rel=0.5)
    assert sum(message.misplaced for message in published) / plan.events == pytest.approx(0.005, rel=0.5)


def test_with_all_shares_at_zero_every_message_is_a_distinct_event_in_order_of_recording() -> None:
    messages = inputs(list(flow_of(plan_of(2_000, shares=QUIET))))
    assert {message.nature for message in messages} == {Nature.EVENT}
    assert len({message.record.event_id for message in messages}) == len(messages)
    times = [message.timestamp for message in messages]
    assert times == sorted(times)
    assert not any(message.misplaced for message in messages)


def test_record_timestamps_are_the_recorded_times_and_nothing_happens_after_it_is_recorded(
    published: list[Published],
) -> None:
    for message in published:
        if message.nature is Nature.EVENT:
            assert message.timestamp == message.record.recorded_at
            assert message.record.occurred_at <= message.record.recorded_at


def test_some_events_are_late_by_hours_and_some_overtaken(published: list[Published]) -> None:
    records = [m.record for m in published if m.nature is Nature.EVENT and m.topic is topics.usage]
    late = [r for r in records if r.recorded_at - r.occurred_at >= HOUR_MS]
    assert len(late) / len(records) == pytest.approx(0.05, rel=0.3)
    times = [m.timestamp for m in inputs(published)]
    assert any(later < earlier for earlier, later in pairwise(times))


def test_a_repeat_has_the_body_of_an_event_published_before_it(published: list[Published]) -> None:
    seen: dict[tuple[str, str], Any] = {}
    for message in published:
        if message.nature is Nature.EVENT:
            seen[message.topic.name, message.record.event_id] = message.record
        elif message.nature is Nature.REPEAT:
            original = seen[message.topic.name, message.record.event_id]
            assert replace(message.record, recorded_at=original.recorded_at) == original


def test_a_conflict_has_the_id_and_key_of_an_event_published_before_it_and_another_body(
    published: list[Published],
) -> None:
    seen: dict[tuple[str, str], Any] = {}
    conflicts = 0
    for message in published:
        if message.nature is Nature.EVENT:
            seen[message.topic.name, message.record.event_id] = message.record
        elif message.nature is Nature.CONFLICT:
            conflicts += 1
            original = seen[message.topic.name, message.record.event_id]
            assert message.key == message.topic.key_of(original)
            assert replace(message.record, recorded_at=original.recorded_at) != original
    assert conflicts


def test_every_way_of_breaking_a_message_occurs(published: list[Published]) -> None:
    assert {message.breakage for message in published} == {None, *Breakage}


def test_every_kind_of_movement_and_order_occurs(events: list[Any]) -> None:
    assert {e.kind for e in events if isinstance(e, StockMovement)} == set(MovementKind)
    assert {e.order_type for e in events if isinstance(e, PurchaseOrder)} == set(OrderType)
    assert {e.status for e in events if isinstance(e, PurchaseOrder)} == set(OrderStatus)
    assert any(e.revision > 1 for e in events if isinstance(e, PurchaseOrder))


def test_events_name_only_what_the_master_data_hold(plan: Plan, events: list[Any]) -> None:
    world = make_world(plan.seed, plan.facilities)
    items, places = {i.item for i in world.items}, {(o.facility, o.location) for o in world.locations}
    for event in events:
        for part in getattr(event, "lines", (event,)):
            assert part.item in items
            assert (part.facility, part.location) in places


def test_a_reversal_takes_back_one_event_of_its_position_some_before_it_is_published(events: list[Any]) -> None:
    place = {event.event_id: n for n, event in enumerate(events)}
    reversals = [event for event in events if getattr(event, "reverses", None)]
    early = 0
    for reversal in reversals:
        original = events[place[reversal.reverses]]
        assert topics.position_key(original) == topics.position_key(reversal)
        assert type(original) is type(reversal)
        early += place[original.event_id] > place[reversal.event_id]
    assert 0 < early < len(reversals)
    assert len({reversal.reverses for reversal in reversals}) == len(reversals)


def test_every_transfer_leaves_and_arrives_some_the_other_way_round(events: list[Any]) -> None:
    transfers: dict[str, list[StockMovement]] = {}
    for event in events:
        if isinstance(event, StockMovement) and event.transfer_id:
            transfers.setdefault(event.transfer_id, []).append(event)
    orders = Counter(tuple(leg.kind for leg in legs) for legs in transfers.values())
    out, into = MovementKind.TRANSFER_OUT, MovementKind.TRANSFER_IN
    assert set(orders) == {(out, into), (into, out)}
    for legs in transfers.values():
        leaves, arrives = sorted(legs, key=lambda leg: leg.kind is into)
        assert (leaves.other_facility, leaves.other_location) == (arrives.facility, arrives.location)
        assert leaves.item == arrives.item
        assert leaves.quantity >= arrives.quantity > 0


def test_implants_carry_serials_and_lots_and_operations_a_procedure_reference(events: list[Any]) -> None:
    usages = [event for event in events if isinstance(event, ClinicalUsage)]
    implants = [usage for usage in usages if usage.item.startswith("IMP-")]
    assert all(usage.serial for usage in implants)
    assert sum(usage.lot is not None for usage in implants) / len(implants) > 0.8
    assert any(usage.procedure_ref for usage in usages)
    assert {usage.uom for usage in usages} >= {"EA", "BX", "PR"}


@pytest.fixture(scope="module")
def receipts(events: list[Any]) -> list[Receipt]:
    return [event for event in events if isinstance(event, Receipt)]


@pytest.fixture(scope="module")
def ordered(events: list[Any]) -> dict[tuple[str | None, int | None], PurchaseOrderLine]:
    """The lines of all orders as they stand at the end."""
    orders = {event.po_number: event for event in events if isinstance(event, PurchaseOrder)}
    return {(order.po_number, line.line): line for order in orders.values() for line in order.lines}


def test_one_delivery_serves_many_facilities(receipts: list[Receipt]) -> None:
    assert any(len({line.facility for line in receipt.lines}) > 1 for receipt in receipts)


def test_some_deliveries_name_no_order_or_repeat_a_delivery_note(receipts: list[Receipt]) -> None:
    notes = Counter((receipt.supplier, receipt.delivery_note) for receipt in receipts)
    assert any(receipt.po_number is None for receipt in receipts)
    assert set(notes.values()) == {1, 2}


def test_some_deliveries_come_before_their_order(events: list[Any]) -> None:
    sent: set[str] = set()
    early = 0
    for event in events:
        if isinstance(event, PurchaseOrder):
            sent.add(event.po_number)
        elif isinstance(event, Receipt) and event.po_number:
            early += event.po_number not in sent
    assert early


def test_some_deliveries_are_short_or_over_or_another_item(
    receipts: list[Receipt], ordered: dict[tuple[str | None, int | None], PurchaseOrderLine]
) -> None:
    once = {(receipt.po_number, receipt.delivery_note): receipt for receipt in receipts}
    received = Counter[tuple[str | None, int | None]]()
    wrong = 0
    for (po_number, _), receipt in once.items():
        for line in receipt.lines:
            received[po_number, line.po_line] += line.quantity
            wrong += (po_number, line.po_line) in ordered and ordered[po_number, line.po_line].item != line.item
    assert wrong
    assert any(received[key] > line.quantity for key, line in ordered.items())
    assert any(0 < received[key] < line.quantity for key, line in ordered.items())


def test_late_master_data_come_after_the_first_event_that_needs_them(plan: Plan, published: list[Published]) -> None:
    late = [n for n, message in enumerate(published) if message.nature is Nature.MASTER]
    assert len(late) == len(make_world(plan.seed, plan.facilities).late)
    for n in late:
        name = published[n].key or ""
        before = [m for m in published[:n] if m.nature is Nature.EVENT and needs(m.record, name)]
        after = [m for m in published[n:] if m.nature is Nature.EVENT and needs(m.record, name)]
        assert before
        assert after


def needs(record: Any, name: str) -> bool:
    if not isinstance(record, ClinicalUsage):
        return False
    return name in (record.item, record.cost_center, f"{record.facility}|{record.location}")


def test_what_is_there_from_the_start_and_what_comes_late_make_up_the_master(plan: Plan) -> None:
    flow = flow_of(plan)
    first = flow.master()
    late = flow.late_master()
    assert len(first) + len(late) == len(list(make_world(plan.seed, plan.facilities).master()))
    assert flow.late_master() == []


def positions_in_use(flow: Flow, plan: Plan, count: int) -> tuple[list[Published], list[ItemLocation]]:
    """The first messages of a flow, and as many rows of owned positions as they have counted."""
    first = [next(flow) for _ in range(200)]
    counted = {m.key for m in first if m.nature is Nature.EVENT and m.topic is topics.movements}
    rows = [s.row for s in make_world(plan.seed, plan.facilities).stocked if s.key in counted and not s.owner and s.row]
    return first, rows[:count]


def test_the_erp_answers_triggers_with_orders_that_name_them_in_base_units_and_suppliers_deliver() -> None:
    plan = plan_of(4_000, shares=QUIET)
    flow = flow_of(plan)
    _, rows = positions_in_use(flow, plan, 40)
    asked = [a_trigger(row, 1) for row in rows]
    answered = [flow.react(each) for each in asked]
    assert all(answered)
    rest = [message.record for message in flow]
    named = {
        line.trigger_id: line
        for order in rest
        if isinstance(order, PurchaseOrder) and order.revision == 1
        for line in order.lines
        if line.trigger_id
    }
    transferred = len(asked) - len(named)
    assert 0 <= transferred < len(asked) / 3
    assert all(topics.position_key(line) == (name or "").partition("#")[0] for name, line in named.items())
    assert {line.quantity for line in named.values() if line.uom in ("EA", "PR")} == {QUANTITY}


def test_a_cancelled_trigger_is_taken_off_an_order_that_is_not_sent_yet() -> None:
    plan = plan_of(4_000, shares=QUIET)
    flow = flow_of(plan)
    _, rows = positions_in_use(flow, plan, 30)
    for row in rows:
        flow.react(a_trigger(row, 1))
    withdrawn = [row for row in rows if flow.react(a_trigger(row, 1, TriggerStatus.CANCELLED))]
    named = {line.trigger_id for m in flow if isinstance(m.record, PurchaseOrder) for line in m.record.lines}
    assert withdrawn
    assert not {a_trigger(row, 1).trigger_id for row in withdrawn} & named


def test_the_same_reactions_give_the_same_messages() -> None:
    plan = plan_of(2_000)

    def run() -> list[Published]:
        flow = flow_of(plan)
        first, rows = positions_in_use(flow, plan, 20)
        for row in rows:
            flow.react(a_trigger(row, 1))
        return [*first, *flow]

    assert run() == run()


def test_a_trigger_for_a_position_unknown_to_the_simulation_is_not_answered() -> None:
    plan = plan_of(500)
    flow = flow_of(plan)
    row = replace(next(s.row for s in make_world(7, 4).stocked if s.row), facility="ELSEWHERE")
    assert not flow.react(a_trigger(row, 1))


def test_a_load_run_is_usage_after_the_opening_counts() -> None:
    messages = inputs(list(flow_of(plan_of(5_000, shares=QUIET, mix=Mix.USAGE))))
    movements = [m.record for m in messages if m.topic is topics.movements]
    assert {m.topic for m in messages} == {topics.usage, topics.movements}
    assert {movement.kind for movement in movements} == {MovementKind.COUNT}
    assert len(movements) < 700
