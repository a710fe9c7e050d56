"""What a transaction has to survive on a real Kafka, injected in one process: errors, timeouts, lost answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from app.runtime.codec import Decode, Encode
from app.runtime.dead_letters import Reason
from app.runtime.errors import OutcomeUnknown, RegistryUnavailable
from app.runtime.failpoints import Point, no_failpoint
from app.runtime.kafka_log import KafkaLog, KafkaSettings
from app.runtime.log import Log
from app.runtime.log import TopicPartition as OurTopicPartition
from app.runtime.topics import Topic
from tests.engine.conftest import MakeKafkaRig
from tests.engine.rigs import PARTITIONS, KafkaRig, fold, publish, records, table, until
from tests.engine.tally import Balance, Deposit, JsonCodec
from tests.engine.topics import Broker


class Interruption:
    """A failpoint at which, once ``armed``, something happens."""

    def __init__(self, point: Point) -> None:
        self.point = point
        self.act: Callable[[], None] | None = None

    def __call__(self, reached: Point) -> None:
        if reached is self.point and self.act is not None:
            act, self.act = self.act, None
            act()


def deposit(rig: KafkaRig, event_id: str, amount: int, note: str = "") -> None:
    publish(rig, rig.tally.deposits, Deposit(event_id, "A", amount, note=note))


def receipts(rig: KafkaRig) -> list[tuple[str, int]]:
    return [(receipt.event_id, receipt.balance) for receipt in records(rig, rig.tally.receipts)]


def must_be(rig: KafkaRig, *told: tuple[str, int]) -> None:
    """Exactly these receipts; table, changelog and the last balance agree; offsets are at the end."""
    assert receipts(rig) == list(told)
    expected = {"A": Balance(told[-1][1], len(told))}
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == expected
    assert set(rig.engine.lag().values()) == {0}


def is_due(pause: Interruption) -> bool:
    return pause.act is not None


def count(rig: KafkaRig, metric: str) -> float:
    return rig.metrics.registry.get_sample_value(metric, {"pipeline": rig.tally.pipeline.name}) or 0.0


# --- errors of the broker ---


def limit_size(rig: KafkaRig, topic: str, limit: int) -> None:
    """The broker refuses larger records of ``topic`` from now on."""
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in rig.broker.admin.incremental_alter_configs([resource]).values():
        future.result(10)


def test_a_transaction_that_the_broker_makes_us_abort_is_tried_again(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig()
    deposit(rig, "1", 5)
    rig.run()
    limit_size(rig, rig.tally.receipts.name, 500)  # markers of transactions have less
    long = secrets.token_hex(1_000)  # compresses badly
    deposit(rig, long, 7)
    deposit(rig, "3", 9, "wait event:x")
    until(lambda: not rig.step() and count(rig, "transaction_aborts_total") >= 2, "two aborts")
    assert receipts(rig) == [("1#0", 5)]
    limit_size(rig, rig.tally.receipts.name, 1_000_000)
    deposit(rig, "4", 1, "provides event:x")
    rig.run()
    must_be(rig, ("1#0", 5), (f"{long}#0", 12), ("4#0", 13), ("3#0", 22))


class Slow:
    """A log to which outputs come so slowly that the broker has answered the first before the second is there."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def commit(self, outputs: Iterable[Any], changes: Mapping[Any, Sequence[Any]], offsets: Mapping[Any, int]) -> Any:
        return self._log.commit(self._slowly(outputs), changes, offsets)

    def _slowly(self, outputs: Iterable[Any]) -> Iterator[Any]:
        for output in outputs:
            yield output
            time.sleep(0.1)


def test_a_transaction_that_fails_while_it_is_still_produced_is_aborted_not_rebuilt(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig(wrap=lambda log: cast(Log, Slow(log)))
    limit_size(rig, rig.tally.receipts.name, 500)
    long = secrets.token_hex(1_000)
    deposit(rig, long, 5)
    deposit(rig, "2", 7)
    until(lambda: not rig.step() and count(rig, "transaction_aborts_total") >= 2, "two aborts")
    assert count(rig, "commit_failures_total") == 0
    limit_size(rig, rig.tally.receipts.name, 1_000_000)
    rig.run()
    must_be(rig, (f"{long}#0", 5), ("2#0", 12))


def test_a_producer_fenced_by_another_of_its_name_is_rebuilt_in_the_process(kafka_rig: MakeKafkaRig) -> None:
    pause = Interruption(Point.AFTER_PRODUCE)
    rig = kafka_rig(failpoint=pause)
    deposit(rig, "1", 5)
    rig.run()

    def fence() -> None:
        twin = Producer({**rig.broker.client, "transactional.id": f"{rig.tally.pipeline.name}-0"})
        twin.init_transactions(10)

    pause.act = fence
    deposit(rig, "2", 7)
    rig.run()
    assert not is_due(pause)
    assert count(rig, "commit_failures_total") == 1
    must_be(rig, ("1#0", 5), ("2#0", 12))


@pytest.mark.parametrize("point", [Point.AFTER_PRODUCE, Point.AFTER_SEND_OFFSETS])
def test_a_transaction_that_the_broker_timed_out_is_worked_again_without_leaving_the_process(
    kafka_rig: MakeKafkaRig, point: Point
) -> None:
    pause = Interruption(point)
    rig = kafka_rig(failpoint=pause, kafka={"transaction_timeout_ms": 1_000})
    deposit(rig, "1", 5)
    rig.run()
    places = [(rig.tally.pipeline.changelog("balances"), number) for number in range(PARTITIONS)]

    def outlast() -> None:
        def is_aborted() -> bool:
            return rig.broker.ends(places) == rig.broker.ends(places, IsolationLevel.READ_COMMITTED)

        until(lambda: not is_aborted(), "the broker has a part of the transaction")
        until(is_aborted, "the broker gave the transaction up")

    pause.act = outlast
    deposit(rig, "2", 7)
    rig.run()
    assert not is_due(pause)
    must_be(rig, ("1#0", 5), ("2#0", 12))


def test_an_agent_slower_than_the_transaction_timeout_holds_no_transaction_open(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig(kafka={"transaction_timeout_ms": 1_000})
    deposit(rig, "1", 5, "hang 3")
    rig.run()
    assert count(rig, "commit_failures_total") == count(rig, "transaction_aborts_total") == 0
    must_be(rig, ("1#0", 5))


class Unanswered:
    """A log whose next commit has an outcome that nobody knows, though ``commits`` does."""

    def __init__(self, log: Log, *, commits: bool) -> None:
        self._log = log
        self._commits = commits
        self.armed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def commit(
        self,
        outputs: Iterable[Any],
        changes: Mapping[Any, Sequence[Any]],
        offsets: Mapping[Any, int],
    ) -> Any:
        if not self.armed:
            return self._log.commit(outputs, changes, offsets)
        self.armed = False
        if self._commits:
            self._log.commit(outputs, changes, offsets)
        raise OutcomeUnknown("the answer got lost")


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_whose_outcome_is_unknown_is_looked_up_not_guessed(kafka_rig: MakeKafkaRig, commits: bool) -> None:
    logs: list[Unanswered] = []

    def wrap(log: Log) -> Log:
        logs.append(Unanswered(log, commits=commits))
        return cast(Log, logs[-1])

    rig = kafka_rig(wrap=wrap)
    deposit(rig, "1", 5)
    deposit(rig, "2", 6, "wait event:x")
    rig.run()
    logs[0].armed = True
    deposit(rig, "3", 7)
    deposit(rig, "4", 8, "provides event:x")
    rig.publish_raw(rig.tally.deposits.name, b"junk", partition=0)
    rig.run()
    assert not logs[0].armed
    assert len(records(rig, rig.tally.dead_letters)) == 1
    must_be(rig, ("1#0", 5), ("3#0", 12), ("4#0", 20), ("2#0", 26))


class RegistryAway(JsonCodec):
    """A codec whose registry does not answer the next few questions."""

    def __init__(self) -> None:
        self.failures = 0

    def decoder(self, topic: Topic) -> Decode:
        decode = super().decoder(topic)

        def ask(data: bytes) -> Any:
            if self.failures:
                self.failures -= 1
                raise RegistryUnavailable("no answer")
            return decode(data)

        return ask

    def encoder(self, topic: Topic) -> Encode:
        return super().encoder(topic)


def test_a_registry_that_is_away_for_a_while_makes_no_dead_letters(kafka_rig: MakeKafkaRig) -> None:
    codec = RegistryAway()
    rig = kafka_rig(codec=codec)
    deposit(rig, "1", 5)
    rig.run()
    codec.failures = 3
    deposit(rig, "2", 7)
    deposit(rig, "3", 9)
    rig.run()
    assert records(rig, rig.tally.dead_letters) == []
    must_be(rig, ("1#0", 5), ("2#0", 12), ("3#0", 21))


# --- sizes ---


def test_a_dead_letter_may_be_larger_than_any_message(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig()
    limit_size(rig, rig.tally.dead_letters.name, 2 << 20)
    largest = Producer({**rig.broker.client, "message.max.bytes": 1_048_588})
    value = b"x" * 1_048_000
    largest.produce(rig.tally.deposits.name, value, partition=0)
    assert largest.flush(10) == 0
    deposit(rig, "1", 5)
    rig.run()
    (letter,) = records(rig, rig.tally.dead_letters)
    assert (letter.reason, letter.value) == (Reason.UNDECODABLE, value)
    must_be(rig, ("1#0", 5))


def test_a_record_that_no_broker_takes_costs_its_event_alone(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig()
    deposit(rig, "1", 5)
    deposit(rig, "2" * 600_000, 7)  # its receipt and its row are small, the id is not
    deposit(rig, "3", 9, "wait event:" + "y" * 400_000)
    rig.run()
    assert [event_id for event_id, _ in receipts(rig)] == ["1#0", "2" * 600_000 + "#0"]


# --- offsets and the log's limits ---


def test_lag_becomes_zero_behind_transaction_markers(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig()
    source = Producer({**rig.broker.client, "transactional.id": f"{rig.tally.pipeline.name}-source"})
    source.init_transactions(10)
    for number in range(6):
        source.begin_transaction()
        body = JsonCodec().encoder(rig.tally.deposits)(Deposit(f"{number}", "A", 1))
        for partition in range(PARTITIONS):
            source.produce(rig.tally.deposits.name, body, b"A", partition)
        if number % 2:
            source.abort_transaction()
        else:
            source.commit_transaction()
    rig.run()
    places = [(tp.topic, tp.partition) for tp in rig.engine.positions()]
    ends = {place: end for place, end in rig.broker.ends(places).items() if end}
    committed = rig.broker.committed(rig.tally.pipeline.name, ends)
    assert committed == ends
    assert set(rig.engine.lag().values()) == {0}
    assert [balance for _, balance in receipts(rig)] == [1, 2, 3]


def delete_before(rig: KafkaRig, topic: str, offsets: Mapping[int, int]) -> None:
    """Move the start of the log, as retention does."""
    places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
    for future in rig.broker.admin.delete_records(places).values():
        future.result(10)


def test_a_changelog_that_starts_after_the_stored_offset_makes_the_store_anew(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig()
    deposit(rig, "1", 5)
    rig.run()
    rig.stop()
    segments = rig.tally.pipeline.dedup_changelog
    ends = rig.broker.ends([(segments, number) for number in range(PARTITIONS)])
    for (topic, number), end in ends.items():
        rig.broker.producer.produce(topic, bytes(8), partition=number)
        rig.broker.producer.flush()
        delete_before(rig, segments, {number: end + 1})
    rig.start()
    deposit(rig, "2", 7)
    rig.run()
    must_be(rig, ("1#0", 5), ("2#0", 12))


def test_input_that_expired_before_it_was_worked_is_passed_over_loudly(
    kafka_rig: MakeKafkaRig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = kafka_rig()
    deposit(rig, "1", 5)
    rig.run()
    rig.stop()
    deposit(rig, "2", 7)
    deposit(rig, "3", 9)
    ends = rig.broker.ends([(rig.tally.deposits.name, number) for number in range(PARTITIONS)])
    delete_before(rig, rig.tally.deposits.name, {number: end - 1 for (_, number), end in ends.items() if end})
    rig.start()
    rig.run()
    assert "input.expired" in capsys.readouterr().out
    must_be(rig, ("1#0", 5), ("3#0", 14))


def test_offsets_of_topics_made_a_moment_ago_are_had_once_their_leaders_are_chosen(broker: Broker, unique: str) -> None:
    log = KafkaLog(KafkaSettings(client=broker.client, group=unique, transactional_id=unique), no_failpoint)
    for number in range(8):
        names = [f"{unique}.{number}.{topic}" for topic in range(8)]
        for future in broker.admin.create_topics([NewTopic(name, num_partitions=4) for name in names]).values():
            future.result(10)
        start = {OurTopicPartition(name, partition): None for name in names for partition in range(4)}
        assert log.replay(start, lambda: False).remaining() == 0
        broker.delete(names)
    log.close()


def test_a_worker_that_stops_while_it_is_given_partitions_stops_at_once(kafka_rig: MakeKafkaRig) -> None:
    rig = kafka_rig()
    until(lambda: rig.broker.members(rig.tally.pipeline.name) == 1, "joining")
    until(lambda: rig.broker.is_stable(rig.tally.pipeline.name), "its partitions are on their way")
    started = time.monotonic()
    rig.stop()
    assert time.monotonic() - started < 5
    assert rig.broker.members(rig.tally.pipeline.name) == 0
