"""The oracle can fail: each kind of damage is found, and so is what an engine without fencing does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import orjson
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition

from app.runtime.failpoints import Point
from app.runtime.log import Log
from app.runtime.state.store import Store, StoreResources
from tests.engine.rigs import KafkaRig, until
from tests.engine.tally import Deposit
from tests.faults.stage import Stage
from tests.faults.test_zombies import Interruption, pausing, work_off


def worked_off(stage: Stage) -> None:
    """A run in which nothing is wrong."""
    rig = stage.rig(0)
    stage.feed(120)
    work_off(stage, rig)
    rig.stop()
    stage.must_be_right()


def append(stage: Stage, topic: str, key: bytes, value: bytes, partition: int = 0) -> None:
    stage.broker.producer.produce(topic, value, key, partition)
    assert stage.broker.producer.flush(10) == 0


def some_receipt(stage: Stage) -> tuple[bytes, bytes, int]:
    """Key, value and partition of the first receipt there is."""
    message = stage.broker.read_topic(stage.tally.receipts.name)[0]
    return message.key() or b"", message.value() or b"", message.partition() or 0


def double_a_receipt(stage: Stage) -> None:
    key, value, partition = some_receipt(stage)
    append(stage, stage.tally.receipts.name, key, value, partition)


def double_a_dead_letter(stage: Stage) -> None:
    topic = stage.tally.dead_letters.name
    append(stage, topic, b"", stage.broker.read_topic(topic)[0].value() or b"")


def pass_over_an_input(stage: Stage) -> None:
    deposit = Deposit("lost", "a0", 5)
    stage.broker.producer.produce(stage.tally.deposits.name, orjson.dumps(deposit), b"a0")
    stage.broker.producer.flush()
    ends = stage.broker.ends(stage.places())
    moved = [TopicPartition(topic, number, end) for (topic, number), end in ends.items()]
    request = [ConsumerGroupTopicPartitions(stage.prefix, moved)]
    for future in stage.broker.admin.alter_consumer_group_offsets(request).values():
        future.result(10)


def leave_an_input(stage: Stage) -> None:
    deposit = Deposit("late", "a0", 5)
    stage.broker.producer.produce(stage.tally.deposits.name, orjson.dumps(deposit), b"a0")
    stage.broker.producer.flush()


def change_a_balance(stage: Stage) -> None:
    append(stage, stage.tally.pipeline.changelog("balances"), b"a0", b"[1, 1]")


def leave_an_event_parked(stage: Stage) -> None:
    append(stage, stage.tally.pipeline.parked_changelog, b"x", b"{}")


def remember_an_id_twice(stage: Stage) -> None:
    topic = stage.tally.pipeline.dedup_changelog
    append(stage, topic, b"", stage.broker.read_topic(topic)[0].value() or b"")


def touch_a_store(stage: Stage) -> None:
    names = [table.name for table in stage.tally.pipeline.tables]
    store = Store(stage.state_dir(0) / "0", names, StoreResources(8 << 20, 8 << 20))
    batch = store.batch()
    batch.put_all("balances", [(b"ghost", b"[1, 1]")])
    batch.write()
    store.close()


def leave_a_transaction_open(stage: Stage) -> None:
    producer = Producer({**stage.broker.client, "transactional.id": f"{stage.prefix}-hanging"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(stage.tally.pipeline.rekeyed, b"", b"", 0)
    assert producer.flush(10) == 0


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (double_a_receipt, "receipt e.*doubled"),
        (double_a_dead_letter, "dead letter .*doubled"),
        (pass_over_an_input, "receipt lost: lost"),
        (leave_an_input, "committed .*, its end is"),
        (change_a_balance, "balance 'a0': .* in the changelog, by replay"),
        (leave_an_event_parked, "parked 'x'"),
        (remember_an_id_twice, "remembered id .*doubled"),
        (touch_a_store, "table balances is not its changelog"),
        (leave_a_transaction_open, "rekeyed.*stable to"),
    ],
)
def test_the_oracle_finds(stage: Stage, damage: Callable[[Stage], None], finding: str) -> None:
    worked_off(stage)
    damage(stage)
    with pytest.raises(AssertionError, match=finding):
        stage.must_be_right()


class Unfenced:
    """A log that commits its offsets apart from the transaction, as if nobody else could have taken over."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def commit(self, outputs: Iterable[Any], changes: Mapping[Any, Sequence[Any]], offsets: Mapping[Any, int]) -> Any:
        self._log._failpoint(Point.BEFORE_PRODUCE)
        producer = self._log._producer
        reached: dict[Any, int] = {}
        producer.begin_transaction()
        self._log._produce(producer, outputs)
        self._log._produce_changes(producer, changes, reached)
        producer.commit_transaction()
        positions = [TopicPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        with suppress(KafkaException):  # too late: the outputs are out
            self._log._consumer.commit(offsets=positions, asynchronous=False)
        return reached


def test_without_offsets_in_the_transaction_a_worker_that_paused_too_long_doubles_what_it_did(stage: Stage) -> None:
    """The fence is what the other tests rely on: take it away, and the oracle must see what follows."""
    successors: list[KafkaRig] = []

    def another_works_it_off() -> None:
        successors.append(stage.rig(1))
        work_off(stage, *successors)

    pause = Interruption(Point.BEFORE_PRODUCE, another_works_it_off)
    worker = pausing(stage, "classic", pause, lambda log: cast(Log, Unfenced(log)))
    stage.feed(100)
    work_off(stage, worker)
    stage.feed(100)
    pause.armed = True
    until(lambda: worker.step() or not pause.armed, "the paused transaction")
    for rig in (worker, *successors):
        rig.stop()
    with pytest.raises(AssertionError, match="doubled"):
        stage.must_be_right()


def test_stale_membership_is_refused_an_offset_and_nothing_else(stage: Stage) -> None:
    """Why the engine sends an offset along even with work that has no input."""
    client = {**stage.broker.client, "group.id": stage.prefix, "partition.assignment.strategy": "range"}
    consumer = Consumer(client)
    consumer.subscribe([stage.tally.deposits.name])
    until(lambda: consumer.poll(0.1) is None and bool(consumer.assignment()), "a member")
    stale = consumer.consumer_group_metadata()
    consumer.close()
    producer = Producer({**stage.broker.client, "transactional.id": f"{stage.prefix}-bare"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(stage.tally.receipts.name, b"{}", b"bare", 0)
    producer.send_offsets_to_transaction([], stale, 10)
    producer.commit_transaction()
    producer.begin_transaction()
    producer.produce(stage.tally.receipts.name, b"{}", b"bare", 0)
    with pytest.raises(KafkaException) as refused:
        producer.send_offsets_to_transaction([TopicPartition(stage.tally.deposits.name, 0, 0)], stale, 10)
    assert refused.value.args[0].txn_requires_abort()
    producer.abort_transaction()
    assert len(stage.broker.read_topic(stage.tally.receipts.name)) == 1
