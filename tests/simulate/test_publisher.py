"""The simulation's side of Kafka, on a real broker and registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from secrets import token_hex

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from agents import topics
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import HttpRegistry, LocalRegistry
from app.domain.records import ItemLocation, ReplenishmentTrigger
from app.embedded import Addresses
from app.errors import Conflict, Unreachable
from app.runtime.codec import Decode
from app.runtime.dead_letters import Reason
from app.runtime.errors import Undecodable
from app.runtime.partitioner import PARTITIONER, partition_for
from app.simulate.flow import Flow
from app.simulate.messages import Breakage, Nature
from app.simulate.plan import Plan, Shares, span_ms
from app.simulate.publisher import Publisher, TriggerReader, broken, encoded
from app.simulate.simulation import Simulation
from app.simulate.world import make_world
from tests.simulate.triggers import a_trigger

PARTITIONS = 4
KEPT = (*topics.INPUTS, *topics.MASTER, topics.triggers)


@pytest.fixture(scope="module")
def codec(cluster: Addresses) -> Iterator[AvroCodec]:
    with HttpRegistry(cluster.registry_url) as registry:
        register_all(registry, topics.ALL)
        yield AvroCodec(registry, topics.ALL)


@pytest.fixture
def client(cluster: Addresses) -> dict[str, str | int]:
    return {"bootstrap.servers": cluster.bootstrap_servers}


@pytest.fixture
def prefix(client: dict[str, str | int], unique: str) -> Iterator[str]:
    """A prefix under which all topics of a simulation exist."""
    admin = AdminClient({**client})
    names = {topic.name: f"{unique}.{topic.name}" for topic in KEPT}
    made = admin.create_topics([NewTopic(names[t.name], t.partitions or PARTITIONS, 1) for t in KEPT])
    for future in made.values():
        future.result()
    yield f"{unique}."
    for future in admin.delete_topics(list(names.values())).values():
        future.result()


def plan_of(events: int, *, rate: float = 0.0, shares: Shares | None = None, patience_s: float = 0.0) -> Plan:
    now = int(time.time() * 1000)
    return Plan(7, events, now - span_ms(events), now, rate, 2, shares or Shares(), patience_s=patience_s)


def read(client: dict[str, str | int], topic: str, partitions: int) -> list[Message]:
    """All messages of a topic."""
    consumer = Consumer({**client, "group.id": "none", "enable.auto.commit": False})
    places = [TopicPartition(topic, number, 0) for number in range(partitions)]
    count = sum(consumer.get_watermark_offsets(place, 10)[1] for place in places)
    consumer.assign(places)
    found: list[Message] = consumer.consume(count, 20)
    consumer.close()
    assert len(found) == count
    return found


# --- bytes -----------------------------------------------------------------------------------------------------------

REASONS = {
    Breakage.BAD_MAGIC: Reason.BAD_FRAMING,
    Breakage.UNKNOWN_SCHEMA: Reason.UNKNOWN_SCHEMA,
    Breakage.GARBAGE: Reason.UNDECODABLE,
    Breakage.TRUNCATED: Reason.UNDECODABLE,
    Breakage.NO_FRAME: Reason.BAD_FRAMING,
}


def test_each_way_of_breaking_a_message_makes_it_unreadable_for_its_own_reason() -> None:
    registry = LocalRegistry()
    register_all(registry, topics.ALL)
    codec = AvroCodec(registry, topics.ALL)
    plan = plan_of(1000, shares=Shares(undecodable=0.4))
    spoilt = [m for m in Flow(make_world(7, 2), plan) if m.breakage]
    assert {message.breakage for message in spoilt} == set(Breakage)
    encoders = {topic: codec.encoder(topic) for topic in topics.INPUTS}
    decoders = {topic: codec.decoder(topic) for topic in topics.INPUTS}
    for message in spoilt:
        value = encoded(encoders[message.topic], message)
        assert reason_of(decoders[message.topic], value) == REASONS.get(message.breakage or Breakage.TOMBSTONE)


def reason_of(decode: Decode, value: bytes | None) -> Reason | None:
    """Why a value cannot be read; None where there is none."""
    if value is None:
        return None
    with pytest.raises(Undecodable) as error:
        decode(value)
    return error.value.reason


def test_a_tombstone_has_no_value() -> None:
    assert broken(b"\x00\x00\x00\x00\x01abc", Breakage.TOMBSTONE) is None


# --- Kafka -----------------------------------------------------------------------------------------------------------


def test_what_a_run_says_it_published_is_what_the_topics_hold_message_for_message(
    client: dict[str, str | int], codec: AvroCodec, prefix: str
) -> None:
    plan = plan_of(1500)
    simulation = Simulation(client, codec, plan, prefix=prefix)
    simulation.publish_master()
    progress: list[int] = []
    summary = simulation.run(progress.append)

    expected = list(Flow(make_world(7, 2), plan))
    for topic in topics.INPUTS:
        held = read(client, prefix + topic.name, PARTITIONS)
        mine = [message for message in expected if message.topic is topic]
        assert summary.topics[topic.name] == len(held) == len(mine)
        encode = codec.encoder(topic)
        assert sorted(key(m.key(), m.value(), m.timestamp()[1]) for m in held) == sorted(
            key(m.key.encode() if m.key is not None else None, encoded(encode, m), m.timestamp) for m in mine
        )
    assert summary.events == 1500 == progress[-1]
    assert not summary.stopped
    assert summary.distinct + summary.repeats + summary.conflicts + summary.invalid + summary.undecodable == 1500


def key(name: bytes | None, value: bytes | None, timestamp: int) -> tuple[bytes, bytes, int]:
    return name or b"", value or b"", timestamp


def test_every_keyed_message_is_on_the_partition_that_java_would_choose(
    client: dict[str, str | int], codec: AvroCodec, prefix: str
) -> None:
    Simulation(client, codec, plan_of(600), prefix=prefix).run()
    held = read(client, prefix + topics.usage.name, PARTITIONS)
    keyed = [(name, message.partition()) for message in held if (name := message.key()) is not None]
    assert len(keyed) > 100
    assert all(partition == partition_for(name, PARTITIONS) for name, partition in keyed)


def test_the_whole_master_is_there_at_the_end_the_late_part_too(
    client: dict[str, str | int], codec: AvroCodec, prefix: str
) -> None:
    simulation = Simulation(client, codec, plan_of(1000), prefix=prefix)
    first = simulation.publish_master()
    summary = simulation.run()
    held = [m for topic in topics.MASTER for m in read(client, prefix + topic.name, 1)]
    assert len(held) == summary.master == len(list(make_world(7, 2).master()))
    assert first < summary.master


def test_the_erp_answers_the_triggers_that_come_while_it_waits(
    client: dict[str, str | int], codec: AvroCodec, prefix: str
) -> None:
    plan = plan_of(600, shares=Shares(0, 0, 0, 0, 0, 0), patience_s=3)
    rows = rows_in_use(plan)
    simulation = Simulation(client, codec, plan, prefix=prefix)
    teller = threading.Timer(1.0, publish_triggers, (client, codec, prefix, rows))
    teller.start()
    summary = simulation.run()
    teller.join()
    orders = [codec.decoder(topics.purchase_orders)(m.value() or b"").record for m in read_orders(client, prefix)]
    named = {line.trigger_id for order in orders for line in order.lines} - {None}
    assert summary.triggers == summary.answered == len(rows)
    assert named
    assert named <= {a_trigger(row, 1).trigger_id for row in rows}
    assert summary.events == 600


def rows_in_use(plan: Plan) -> list[ItemLocation]:
    """Item-location rows of three owned positions that the run opens."""
    counted = {m.key for m in Flow(make_world(7, 2), plan) if m.topic is topics.movements}
    return [s.row for s in make_world(7, 2).stocked if s.row and not s.owner and s.key in counted][:3]


def publish_triggers(client: dict[str, str | int], codec: AvroCodec, prefix: str, rows: list[ItemLocation]) -> None:
    producer = Producer({**client, "partitioner": PARTITIONER})
    encode = codec.encoder(topics.triggers)
    for row in rows:
        producer.produce(prefix + topics.triggers.name, encode(a_trigger(row, 1)), topics.position_key(row))
    producer.flush(10)


def read_orders(client: dict[str, str | int], prefix: str) -> list[Message]:
    return read(client, prefix + topics.purchase_orders.name, PARTITIONS)


def test_triggers_of_transactions_that_were_aborted_are_not_seen(
    client: dict[str, str | int], codec: AvroCodec, prefix: str, unique: str
) -> None:
    row = next(s.row for s in make_world(7, 2).stocked if s.row)
    producer = Producer({**client, "transactional.id": unique})
    producer.init_transactions(10)
    with TriggerReader(client, codec, unique, prefix) as reader:
        for episode, end in ((1, producer.abort_transaction), (2, producer.commit_transaction)):
            producer.begin_transaction()
            producer.produce(prefix + topics.triggers.name, codec.encoder(topics.triggers)(a_trigger(row, episode)))
            producer.flush(10)
            end(10)
        seen = poll_until_some(reader)
    assert [trigger.trigger_id for trigger in seen] == [a_trigger(row, 2).trigger_id]


def poll_until_some(reader: TriggerReader) -> list[ReplenishmentTrigger]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if seen := reader.poll(0.2):
            return seen
    pytest.fail("no trigger came within 20 s")


def test_a_run_keeps_its_rate(client: dict[str, str | int], codec: AvroCodec, prefix: str) -> None:
    summary = Simulation(client, codec, plan_of(400, rate=400.0), prefix=prefix).run()
    assert 0.9 <= summary.seconds < 5


def test_a_run_that_is_asked_to_stop_delivers_what_it_has_published_and_says_so(
    client: dict[str, str | int], codec: AvroCodec, prefix: str
) -> None:
    stop = threading.Event()
    simulation = Simulation(client, codec, plan_of(5000, rate=500.0), prefix=prefix)
    master = simulation.publish_master()
    summary = simulation.run(lambda published: stop.set() if published >= 64 else None, stop)
    held = sum(len(read(client, prefix + topic.name, PARTITIONS)) for topic in topics.INPUTS)
    assert summary.stopped
    assert 64 <= summary.events == held < 5000
    assert summary.master > master


def test_a_topic_that_is_not_there_is_named_with_the_way_to_make_it(
    client: dict[str, str | int], codec: AvroCodec, unique: str
) -> None:
    with pytest.raises(Conflict, match=rf"{unique}\.clinical\.usage") as error:
        Publisher(client, codec, f"{unique}.")
    assert error.value.way_out is not None
    assert "topics create" in error.value.way_out


def test_a_broker_that_does_not_answer_is_a_fault(codec: AvroCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.simulate.publisher.TIMEOUT_S", 0.5)
    with pytest.raises(Unreachable):
        Publisher({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, codec)


@pytest.mark.parametrize("refused_by", ["client", "broker"])
def test_a_message_that_kafka_refuses_ends_the_run(
    client: dict[str, str | int], codec: AvroCodec, prefix: str, refused_by: str
) -> None:
    larger = {"message.max.bytes": 9_000_000} if refused_by == "broker" else {}
    publisher = Publisher({**client, **larger}, codec, prefix)
    message = next(m for m in Flow(make_world(7, 2), plan_of(100)) if m.nature is Nature.EVENT)
    too_large = replace(message.record, correlation_id=token_hex(2_000_000))

    def send() -> None:
        publisher.send(replace(message, record=too_large))
        publisher.flush()

    with pytest.raises(Unreachable, match="did not take a message"):
        send()
