"""Topics on a real Kafka, for tests: made, written to, read to their end. Shares nothing with the engine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, NewTopic, OffsetSpec

WITHIN_S = 30.0

Place = tuple[str, int]  # topic, partition


class Broker:
    """What a test asks of the cluster at ``bootstrap_servers``. Every call blocks until the broker has answered."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.client: dict[str, Any] = {"bootstrap.servers": bootstrap_servers}
        self.admin = AdminClient(self.client)
        self.producer = Producer({**self.client, "partitioner": "murmur2_random", "linger.ms": 0})

    def create(self, sizes: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Make topics, and wait until each partition has a leader; ``sizes``: name -> partitions."""
        new = [NewTopic(name, num_partitions=size, config=dict(config or {})) for name, size in sizes.items()]
        for future in self.admin.create_topics(new).values():
            future.result(WITHIN_S)
        places = [(name, number) for name, size in sizes.items() for number in range(size)]
        deadline = time.monotonic() + WITHIN_S
        while not self._answers(places):
            assert time.monotonic() < deadline, f"no leaders of {sorted(sizes)}"
            time.sleep(0.05)
            for name in sizes:  # a client that heard of no leader believes it for minutes, unless it asks again
                self.admin.list_topics(name, WITHIN_S)

    def _answers(self, places: Iterable[Place]) -> bool:
        try:
            return bool(self.ends(places))
        except KafkaException:
            return False

    def delete(self, names: Iterable[str]) -> None:
        for future in self.admin.delete_topics(list(names)).values():
            future.result(WITHIN_S)

    def ends(
        self, places: Iterable[Place], isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED
    ) -> dict[Place, int]:
        """The high watermark of each partition, or with READ_COMMITTED its last stable offset."""
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for topic, number in places}
        answers = self.admin.list_offsets(asked, isolation_level=isolation)
        return {(tp.topic, tp.partition): future.result(WITHIN_S).offset for tp, future in answers.items()}

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        """Offsets that ``group`` has committed, -1001 where there is none; never waits for an open transaction."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
        (future,) = self.admin.list_consumer_group_offsets([asked], require_stable=False).values()
        return {(tp.topic, tp.partition): tp.offset for tp in future.result(WITHIN_S).topic_partitions}

    def members(self, group: str) -> int:
        """How many members the group has, those included whose session has not timed out yet."""
        return len(self._described(group).members)

    def is_stable(self, group: str) -> bool:
        """Whether all members of the group have been told their partitions."""
        return bool(self._described(group).state == ConsumerGroupState.STABLE)

    def _described(self, group: str) -> ConsumerGroupDescription:
        (future,) = self.admin.describe_consumer_groups([group]).values()
        return cast(ConsumerGroupDescription, future.result(WITHIN_S))

    def read(self, places: Sequence[Place]) -> list[Message]:
        """All committed messages of these partitions, one after the other, up to the high watermark of this moment."""
        ends = {place: end for place, end in self.ends(places).items() if end}
        found: dict[Place, list[Message]] = {place: [] for place in places}
        consumer = Consumer(
            {
                **self.client,
                "group.id": "tests",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, number, 0) for topic, number in ends])
            _fill(consumer, ends, found)
        finally:
            consumer.close()
        return [message for place in places for message in found[place]]

    def partitions_of(self, topic: str) -> list[Place]:
        return [
            (topic, number) for number in range(len(self.admin.list_topics(topic, WITHIN_S).topics[topic].partitions))
        ]

    def read_topic(self, topic: str) -> list[Message]:
        return self.read(self.partitions_of(topic))


def _fill(consumer: Consumer, ends: Mapping[Place, int], found: Mapping[Place, list[Message]]) -> None:
    deadline = time.monotonic() + WITHIN_S
    unread = set(ends)
    while unread:
        assert time.monotonic() < deadline, f"a hanging transaction? not read to the end: {sorted(unread)}"
        for message in consumer.consume(1000, 0.02):
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                found[place].append(message)
            elif error.code() == KafkaError._PARTITION_EOF and (message.offset() or 0) >= ends[place]:
                unread.discard(place)
