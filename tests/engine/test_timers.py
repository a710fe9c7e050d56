"""Timers: work without input, in transactions that are fenced like any other."""

from __future__ import annotations

from dataclasses import replace

from app.runtime.agents import Timer
from app.runtime.batch import Batch
from app.runtime.driver import Driver
from app.runtime.log import TopicPartition
from app.runtime.pipeline import Pipeline
from tests.engine.tally import Balance, Deposit, JsonCodec, Receipt, Tally, tally

EVERY_S = 60.0


def with_timer(parts: Tally, run: Timer) -> Pipeline:
    (keeper,) = parts.pipeline.agents
    return replace(parts.pipeline, agents=(replace(keeper, timers=(run,)),))


def interest(parts: Tally) -> Timer:
    """One more on every account, and a receipt for it."""

    def run(batch: Batch, now_ms: int) -> None:
        for account, balance in list(parts.balances.scan("")):
            parts.balances.put(account, Balance(balance.amount + 1, balance.deposits))
            batch.emit(parts.receipts, Receipt(f"interest/{account}/{now_ms}", account, balance.amount + 1))

    return Timer("interest", EVERY_S, run)


def test_a_timer_works_every_partition_once_each_time_it_is_due() -> None:
    parts = tally("timers1")
    with Driver(with_timer(parts, interest(parts)), codec=JsonCodec(), partitions=3) as driver:
        for number in range(12):
            driver.publish(parts.deposits, Deposit(f"d{number}", f"a{number}", 10))
        driver.run()
        driver.advance(int(EVERY_S * 1000) - 1)
        driver.run()
        assert {balance.amount for balance in driver.table(parts.balances).values()} == {10}
        driver.advance(1)
        driver.run()
        assert {balance.amount for balance in driver.table(parts.balances).values()} == {11}
        assert len([r for r in driver.records(parts.receipts) if r.event_id.startswith("interest")]) == 12


def test_a_timer_sends_a_real_offset_of_every_partition_that_it_changes() -> None:
    """Without one the broker would not notice that the partition is another worker's by now."""
    parts = tally("timers2")
    pipeline = with_timer(parts, interest(parts))
    with Driver(pipeline, codec=JsonCodec(), partitions=2) as driver:
        for number in range(8):
            driver.publish(parts.deposits, Deposit(f"d{number}", f"a{number}", 10))
        driver.run()
        before = dict(driver.broker.offsets)
        driver.broker.offsets.clear()
        driver.advance(int(EVERY_S * 1000))
        driver.run()
        group = f"driver-{pipeline.name}"
        fenced = {tp.partition for name, tp in driver.broker.offsets if name == group}
        assert fenced == {0, 1}
        assert all(before[key] == offset for key, offset in driver.broker.offsets.items())


def test_a_timer_that_raises_leaves_nothing_behind_and_is_tried_at_its_next_turn() -> None:
    parts = tally("timers3")
    turns: list[int] = []

    def run(batch: Batch, now_ms: int) -> None:
        turns.append(now_ms)
        interest(parts).run(batch, now_ms)
        if len(turns) == 1:
            raise RuntimeError("not yet")

    with Driver(with_timer(parts, Timer("once", EVERY_S, run)), codec=JsonCodec()) as driver:
        driver.publish(parts.deposits, Deposit("d", "a", 10))
        driver.run()
        driver.advance(int(EVERY_S * 1000))
        driver.run()
        assert driver.table(parts.balances)["a"].amount == 10
        assert len(driver.records(parts.receipts)) == 1
        driver.advance(int(EVERY_S * 1000))
        driver.run()
        assert driver.table(parts.balances)["a"].amount == 11
        assert driver.broker.end(TopicPartition(parts.receipts.name, 0)) == 2
