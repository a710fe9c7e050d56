"""Topics made and compared, and topics read to their end, on a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from app.config import Settings
from app.errors import Conflict, Unreachable
from app.kafka_admin import Cluster, Difference, TopicSpec, _changelog, _spec
from app.runtime.partitioner import PARTITIONER, partition_for
from app.runtime.topics import Cleanup
from tests.cli.conftest import Send


@pytest.fixture
def topic(kafka: Cluster, unique: str) -> str:
    name = f"{unique}.events"
    kafka.create([TopicSpec(name, 3, 1, {"cleanup.policy": "delete", "retention.ms": "-1"})])
    return name


@pytest.fixture
def transaction(settings: Settings, unique: str) -> Iterator[Producer]:
    producer = Producer({**settings.client_config(), "transactional.id": unique})
    producer.init_transactions(10)
    producer.begin_transaction()
    yield producer
    producer.flush(5)


def test_topics_are_made_once_and_then_are_as_declared(kafka: Cluster, settings: Settings, unique: str) -> None:
    specs = [
        _changelog(f"{unique}.a-changelog", settings),
        _spec(f"{unique}.b", settings, cleanup=Cleanup.DELETE, retention_ms=86_400_000, partitions=1),
    ]
    assert [difference.what for difference in kafka.compare(specs)] == ["topic", "topic"]
    assert kafka.create(specs) == [f"{unique}.a-changelog", f"{unique}.b"]
    assert kafka.create(specs) == []
    assert kafka.compare(specs) == []
    assert kafka.size(f"{unique}.a-changelog") == settings.partitions


def test_each_fact_that_differs_is_told(kafka: Cluster, topic: str) -> None:
    asked = TopicSpec(topic, 5, 1, {"cleanup.policy": "compact", "retention.ms": "1000"})
    assert kafka.compare([asked]) == [
        Difference(topic, "partitions", "5", "3"),
        Difference(topic, "cleanup.policy", "compact", "delete"),
        Difference(topic, "retention.ms", "1000", "-1"),
    ]


def test_with_three_copies_a_commit_survives_the_loss_of_one() -> None:
    spec = _changelog("x", Settings(replication_factor=3))
    assert (spec.replication, spec.config["min.insync.replicas"]) == (3, "2")


def test_every_key_lands_where_our_partitioner_says(kafka: Cluster, topic: str, settings: Settings) -> None:
    producer = Producer({**settings.client_config(), "partitioner": PARTITIONER})
    keys = [f"H{n % 7}|LOC-{n % 31}|ITM-{n}é" for n in range(500)]
    for key in keys:
        producer.produce(topic, b"x", key)
    assert producer.flush(10) == 0
    placed = {message.key(): message.partition() for message in kafka.read(topic)}
    assert placed == {key.encode(): partition_for(key.encode(), 3) for key in keys}


def test_reading_ends_at_the_end_and_an_empty_topic_at_once(kafka: Cluster, topic: str, send: Send) -> None:
    assert list(kafka.read(topic)) == []
    send(topic, *[(str(n).encode(), b"v") for n in range(50)])
    assert {message.key() for message in kafka.read(topic)} == {str(n).encode() for n in range(50)}


def test_reading_gives_what_was_committed_and_nothing_that_was_aborted(
    kafka: Cluster, topic: str, transaction: Producer
) -> None:
    transaction.produce(topic, b"committed", b"k")
    transaction.commit_transaction(10)
    transaction.begin_transaction()
    transaction.produce(topic, b"aborted", b"k")
    transaction.flush(10)
    transaction.abort_transaction(10)
    assert [message.value() for message in kafka.read(topic)] == [b"committed"]


def test_a_transaction_that_is_open_is_waited_for(kafka: Cluster, topic: str, transaction: Producer) -> None:
    transaction.produce(topic, b"soon", b"k")
    transaction.flush(10)
    committer = threading.Timer(0.5, transaction.commit_transaction, [10])
    committer.start()
    try:
        assert [message.value() for message in kafka.read(topic, patience_s=10)] == [b"soon"]
    finally:
        committer.join()


def test_a_transaction_that_stays_open_is_not_waited_for_longer_than_asked(
    kafka: Cluster, topic: str, transaction: Producer
) -> None:
    transaction.produce(topic, b"never", b"k")
    transaction.flush(10)
    begun = time.monotonic()
    assert list(kafka.read(topic, patience_s=0.5)) == []
    assert time.monotonic() - begun < 5
    transaction.abort_transaction(10)


def test_reading_begins_where_asked(kafka: Cluster, topic: str, send: Send) -> None:
    send(topic, *[(b"k", str(n).encode()) for n in range(5)])
    place = partition_for(b"k", 3)
    assert [message.value() for message in kafka.read(topic, [place], starts={place: 3})] == [b"3", b"4"]


def test_offsets_at_a_time_are_the_first_not_older(kafka: Cluster, topic: str, send: Send) -> None:
    for second in (1, 2, 3):
        send(topic, (b"k", b"v"), timestamp=second * 1000)
    place = partition_for(b"k", 3)
    assert kafka.offsets_at(topic, 1_500)[place] == 1
    assert kafka.offsets_at(topic, 9_000)[place] == 3


def test_a_topic_that_is_not_there_is_a_conflict_with_a_way_out(kafka: Cluster, unique: str) -> None:
    with pytest.raises(Conflict, match=f"no topic {unique}") as refused:
        list(kafka.read(unique))
    assert "wardstock topics create" in str(refused.value.way_out)


def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(Unreachable, match=r"no Kafka answers at 127.0.0.1:1 "):
        Cluster(Settings(bootstrap_servers="127.0.0.1:1"), timeout_s=1)
