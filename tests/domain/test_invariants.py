"""What holds for every history, in every order of arrival."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import records as r
from app.domain.positions import LotKey
from tests.domain.hospital import (
    HOUR_MS,
    LATER,
    NOW,
    SOON,
    SOUTH,
    WARD,
    YESTERDAY,
    Hospital,
    MasterData,
    consigned,
    counted,
    inbound,
    kept,
    movement,
    put_away,
    transfer_in,
    transfer_out,
    usage,
)

K = r.MovementKind
LOTS = st.sampled_from(["A", "B", "C"])
QUANTITIES = st.integers(1, 30)
TIMES = st.integers(0, 12).map(lambda hours: NOW - hours * HOUR_MS)
COSTS = st.decimals("0.01", "99", places=2).map(str)
EXPIRIES = st.sampled_from([None, YESTERDAY, SOON, LATER])

counts = st.builds(
    lambda lots, at, full: counted(*lots.items(), at=at, full=full),
    st.dictionaries(LOTS, st.integers(0, 50), min_size=1, max_size=3),
    TIMES,
    st.booleans(),
)
put_aways = st.builds(
    lambda quantity, lot, cost, at, expiry: put_away(quantity, lot, cost, at=at, expiry_date=expiry),
    QUANTITIES, LOTS, COSTS, TIMES, EXPIRIES,
)  # fmt: skip
adjustments = st.builds(
    lambda quantity, lot, at: movement(K.ADJUSTMENT, quantity, lot, at=at),
    st.integers(-20, 20).filter(bool), LOTS, TIMES,
)  # fmt: skip
usages = st.builds(lambda quantity, lot, at: usage(quantity, lot, at=at), QUANTITIES, LOTS, TIMES)
with_lots = st.one_of(usages, counts, put_aways, adjustments)

free_usages = st.builds(lambda quantity, at: usage(quantity, at=at), QUANTITIES, TIMES)
issues = st.builds(
    lambda kind, quantity, lot, at: movement(kind, quantity, lot, at=at),
    st.sampled_from([K.ISSUE, K.RETURN]), QUANTITIES, st.none() | LOTS, TIMES,
)  # fmt: skip
orders = st.builds(
    lambda quantity, episode: inbound(
        r.InboundKind.ORDERED, quantity, trigger_id=episode and f"NORTH|WARD-1|SUTURE#{episode}"
    ),
    st.integers(-20, 60), st.none() | st.integers(1, 4),
)  # fmt: skip
transfers = st.builds(
    lambda quantity, transfer, lot, at, leaves: (
        transfer_out(quantity, transfer=transfer, lot=lot, at=at)
        if leaves
        else transfer_in(quantity, lot, WARD, SOUTH, transfer, at=at)
    ),
    QUANTITIES, st.sampled_from(["T1", "T2"]), LOTS, TIMES, st.booleans(),
)  # fmt: skip
anything = st.one_of(with_lots, free_usages, issues, orders, transfers)


@st.composite
def histories(draw: st.DrawFn, events: st.SearchStrategy[Any] = anything) -> list[Any]:
    """Events of one position, some of the usages and movements reversed, some of these before their original."""
    history = draw(st.lists(events, min_size=1, max_size=14))
    for event in list(history):
        if _may_be_reversed(event) and draw(st.integers(0, 4)) == 0:
            history.insert(draw(st.integers(0, len(history))), _reversal(event))
    return history


def _may_be_reversed(event: Any) -> bool:
    return isinstance(event, r.ClinicalUsage) or (isinstance(event, r.StockMovement) and event.kind is not K.COUNT)


def _reversal(event: Any) -> Any:
    if isinstance(event, r.ClinicalUsage):
        return usage(1, reverses=event.event_id)
    where = {"facility": event.facility, "location": event.location}
    return movement(K.REVERSAL, reverses=event.event_id, **where)


def _after(*events: Any) -> Hospital:
    hospital = Hospital()
    hospital.apply(*events)
    return hospital


@given(st.data(), histories(with_lots))
def test_any_order_of_arrival_gives_the_same_balances(data: st.DataObject, history: list[Any]) -> None:
    shuffled = data.draw(st.permutations(history))
    assert _after(*shuffled).balances() == _after(*history).balances()


@dataclass
class Sums:
    """A position as its ledger alone tells it."""

    number: int = 0
    lots: defaultdict[LotKey, int] = field(default_factory=lambda: defaultdict(int))
    requested: int = 0
    on_order: int = 0
    in_transit: int = 0
    value: Decimal = Decimal(0)

    def add(self, entry: r.LedgerEntry) -> None:
        self.number += 1
        assert entry.number == self.number
        for change in entry.lots:
            self.lots[change.lot, change.owner] += change.change
            assert self.lots[change.lot, change.owner] == change.balance
        self.requested += entry.requested_change
        self.on_order += entry.on_order_change
        self.in_transit += entry.in_transit_change
        self.value += entry.value_change
        assert (self.requested, self.on_order, self.in_transit) == (entry.requested, entry.on_order, entry.in_transit)
        assert (self.value, self.on_hand) == (entry.value, entry.on_hand)

    @property
    def on_hand(self) -> int:
        return sum(balance for (_, owner), balance in self.lots.items() if owner is None)


@given(histories())
def test_the_ledger_adds_up_to_every_position(history: list[Any]) -> None:
    hospital = _after(*history)
    sums: defaultdict[str, Sums] = defaultdict(Sums)
    for entry in hospital.of(r.LedgerEntry):
        sums[f"{entry.facility}|{entry.location}|{entry.item}"].add(entry)
    assert sums.keys() == hospital.positions.keys()
    for key, position in hospital.positions.items():
        own = sums[key]
        assert (own.number, own.on_hand, own.value) == (position.number, position.on_hand, position.value)
        assert (own.requested, own.on_order) == (position.requested, position.on_order)
        assert own.in_transit == position.in_transit
        assert {lot: balance for lot, balance in own.lots.items() if balance} == {
            lot: held.balance for lot, held in position.lots.items() if held.balance
        }


@given(histories())
def test_value_comes_from_receipts_and_leaves_by_postings_alone(history: list[Any]) -> None:
    hospital = _after(*history)
    received = sum(event.amount for event in history if isinstance(event, r.Inbound) and event.amount is not None)
    posted = sum(p.amount for p in hospital.of(r.ConsumptionPosting))
    held = sum(position.value for position in hospital.positions.values())
    under_way = sum(t.value for position in hospital.positions.values() for t in position.transits)
    assert held + under_way == received - posted


@given(histories())
def test_every_posting_is_of_whole_cents_and_has_the_sign_of_its_quantity(history: list[Any]) -> None:
    for posting in _after(*history).of(r.ConsumptionPosting):
        assert posting.amount == posting.amount.quantize(Decimal("0.01"))
        assert posting.amount * posting.quantity >= 0


@given(histories())
def test_at_most_one_episode_is_open_and_each_opens_and_closes_once(history: list[Any]) -> None:
    open_now: dict[str, int] = {}
    seen: set[str] = set()
    for trigger in _after(*history).of(r.ReplenishmentTrigger):
        key, _, episode = trigger.trigger_id.partition("#")
        if trigger.status is r.TriggerStatus.OPEN:
            assert int(episode) == open_now.get(key, 0) + 1
            assert trigger.inventory_position <= trigger.reorder_point
            open_now[key] = int(episode)
        else:
            assert (int(episode), trigger.trigger_id in seen) == (open_now[key], False)
            seen.add(trigger.trigger_id)


@given(histories())
def test_the_same_state_never_triggers_twice(history: list[Any]) -> None:
    hospital = _after(*history)
    for at in (WARD, SOUTH):
        before = len(hospital.of(r.ReplenishmentTrigger))
        for _ in range(3):
            hospital.apply(inbound(r.InboundKind.ORDERED, 0, facility=at.facility, location=at.location))
        assert len(hospital.of(r.ReplenishmentTrigger)) - before <= 1  # one, where the position was new


@given(histories(), QUANTITIES, st.none() | LOTS)
def test_a_reversal_restores_lots_quantity_and_value_exactly(before: list[Any], quantity: int, lot: str | None) -> None:
    used = usage(quantity, lot, at=NOW + 1)
    with_both, without = _after(*before, used, _reversal(used)), _after(*before)
    without.apply(inbound(r.InboundKind.ORDERED, 0))
    assert with_both.balances() == without.balances()
    assert with_both.position().value == without.position().value


@given(histories(), histories(with_lots), QUANTITIES, st.none() | LOTS)
def test_a_reversal_restores_the_lots_also_when_others_were_used_meanwhile(
    before: list[Any], between: list[Any], quantity: int, lot: str | None
) -> None:
    used = usage(quantity, lot, at=NOW + 1)
    with_both, without = _after(*before, used, *between, _reversal(used)), _after(*before, *between)
    assert with_both.balances() == without.balances()


@given(st.data(), st.lists(st.tuples(QUANTITIES, st.sampled_from(["T1", "T2", "T3"])), min_size=1, max_size=5))
def test_a_transfer_conserves_quantity_and_value_in_any_order(data: st.DataObject, sent: list[tuple[int, str]]) -> None:
    start = [put_away(200, "A", "3.33"), put_away(50, "B", "1.01", facility="SOUTH", location="OR-1")]
    ends = [transfer_out(quantity, transfer=name, lot="A") for quantity, name in sent]
    ends += [transfer_in(quantity, "A", transfer=name) for quantity, name in sent]
    hospital = _after(*start)
    steps = [*data.draw(st.permutations(ends)), None]
    for step in steps:
        total = sum(position.on_hand + position.in_transit for position in hospital.positions.values())
        assert total == 250
        assert _worth(hospital) == Decimal("666.00") + Decimal("50.50")
        if step is not None:
            hospital.apply(step)
    assert hospital.position(SOUTH).transits == ()
    moved = sum(quantity for quantity, _ in sent)
    assert hospital.balances(SOUTH).get(("A", None), 0) == moved


def _worth(hospital: Hospital) -> Decimal:
    return sum(
        (p.value + sum((t.value for t in p.transits), Decimal(0)) for p in hospital.positions.values()), Decimal(0)
    )


@given(st.data(), st.lists(st.one_of(usages, counts, adjustments), min_size=1, max_size=10))
def test_consigned_stock_is_in_no_owned_figure(data: st.DataObject, history: list[Any]) -> None:
    hospital = Hospital(MasterData.keeping(consigned(item="SUTURE")))
    hospital.apply(*history)
    position = hospital.position()
    assert (position.on_hand, position.value, position.requested) == (0, Decimal(0), 0)
    assert all(posting.posting_type is r.PostingType.BILL_ONLY for posting in hospital.of(r.ConsumptionPosting))
    shuffled = Hospital(MasterData.keeping(consigned(item="SUTURE")))
    shuffled.apply(*data.draw(st.permutations(history)))
    assert shuffled.balances() == hospital.balances()


@settings(max_examples=50)
@given(histories())
def test_every_event_ends_in_one_ledger_entry_one_refusal_or_parked(history: list[Any]) -> None:
    hospital = Hospital(MasterData.keeping(kept(), kept(SOUTH)))
    hospital.apply(*history)
    applied = [entry.causation_id for entry in hospital.of(r.LedgerEntry)]
    refused = [e.causation_id for e in hospital.of(r.ExceptionRaised) if not e.applied]
    waiting = [event.event_id for _, event, _ in hospital.parked]
    ends = applied + refused + waiting
    assert len(ends) == len(set(ends))
    assert {event.event_id for event in history} <= set(ends)


@given(histories())
def test_what_an_entry_says_it_caused_is_what_went_out_with_it(history: list[Any]) -> None:
    hospital = Hospital()
    for event in history:
        decision = hospital.tell(event)
        if decision.position is None:
            continue
        entry, *others = decision.outputs
        assert isinstance(entry, r.LedgerEntry)
        assert [name.partition(":")[2] for name in entry.caused] == [output.event_id for output in others]
        prefix = entry.event_id.removesuffix("#0")
        assert [output.event_id for output in others] == [f"{prefix}#{n}" for n in range(1, len(others) + 1)]
