"""The simulated system's side of Kafka: an idempotent producer, and the ERP's reader of triggers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from agents import topics
from app.domain.records import ReplenishmentTrigger
from app.errors import Conflict, Unreachable
from app.runtime.codec import Codec, Encode
from app.runtime.partitioner import PARTITIONER
from app.simulate.messages import Breakage, Published

TIMEOUT_S = 10.0
SETTLE_S = 3.0
FLUSH_S = 60.0
SENT = topics.INPUTS + topics.MASTER
UNKNOWN_SCHEMA_ID = 0x7FFF_FFFE
NOT_TAKEN = "Kafka did not take a message"
HEADER_BYTES = 5  # magic byte and schema id
ClientConfig = Mapping[str, str | int]


class Publisher:
    """Sends messages to the input and master topics, each named after ``prefix``.

    Raises on construction: Unreachable, Conflict where a topic is missing, and what the codec raises where a schema is.
    """

    def __init__(self, client: ClientConfig, codec: Codec, prefix: str = "") -> None:
        self._prefix = prefix
        self._failed: KafkaError | None = None
        self._producer = Producer(
            {
                **client,
                "enable.idempotence": True,
                "partitioner": PARTITIONER,
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 200_000,
                "delivery.report.only.error": True,
            }
        )
        _require(self._producer, [prefix + topic.name for topic in SENT])
        self._encoders: dict[str, Encode] = {topic.name: codec.encoder(topic) for topic in SENT}

    def send(self, message: Published) -> None:
        """Queue a message; blocks only while the queue is full. Raises Unreachable once a delivery has failed."""
        value = encoded(self._encoders[message.topic.name], message)
        while not self._queue(message, value):
            self._producer.poll(0.1)
            self._check()

    def serve(self) -> None:
        """Learn of failed deliveries; call it now and then. Never blocks. Raises Unreachable."""
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Block until all is delivered, a minute at most. Raises Unreachable where it is not."""
        left = self._producer.flush(FLUSH_S)
        self._check()
        if left:
            raise Unreachable(f"{left} messages were not delivered within {FLUSH_S:.0f} s")

    def _queue(self, message: Published, value: bytes | None) -> bool:
        try:
            self._producer.produce(
                self._prefix + message.topic.name,
                value,
                message.key,
                timestamp=message.timestamp,
                on_delivery=self._delivered,
            )
        except BufferError:
            return False
        except KafkaException as refused:
            raise Unreachable(f"{NOT_TAKEN}: {refused}") from None
        return True

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failed = error or self._failed

    def _check(self) -> None:
        if self._failed is not None:
            raise Unreachable(f"{NOT_TAKEN}: {self._failed.str()}")


class TriggerReader:
    """Reads the triggers published from now on, only those committed. Use as a context manager, on one thread."""

    def __init__(self, client: ClientConfig, codec: Codec, group: str, prefix: str = "") -> None:
        self._decode = codec.decoder(topics.triggers)
        self._consumer = Consumer(
            {**client, "group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False}
        )
        name = prefix + topics.triggers.name
        _require(self._consumer, [name])
        partitions = self._consumer.list_topics(name, TIMEOUT_S).topics[name].partitions
        self._consumer.assign([self._end(TopicPartition(name, number)) for number in partitions])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._consumer.close()

    def poll(self, wait_s: float = 0.0) -> list[ReplenishmentTrigger]:
        """What has come since; blocks up to ``wait_s``. Raises Undecodable for what is no trigger."""
        messages = self._consumer.consume(500, wait_s)
        values = [message.value() for message in messages if message.error() is None]
        return [self._decode(value).record for value in values if value is not None]

    def _end(self, partition: TopicPartition) -> TopicPartition:
        """Where it ends now. Tries again for a while: a partition just made takes a moment to have a leader."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            try:
                _, high = self._consumer.get_watermark_offsets(partition, TIMEOUT_S)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise Unreachable(f"{partition.topic}: {error}", "see `wardstock doctor`") from error
                time.sleep(0.1)
            else:
                return TopicPartition(partition.topic, partition.partition, high)


def encoded(encode: Encode, message: Published) -> bytes | None:
    """The value to publish: the record's bytes, whole or broken as the message says."""
    value = encode(message.record)
    return value if message.breakage is None else broken(value, message.breakage)


def broken(value: bytes, how: Breakage) -> bytes | None:
    """A value that nobody can read, made from one that everybody can (wire format: 5 bytes, then Avro)."""
    header, body = value[:HEADER_BYTES], value[HEADER_BYTES:]
    match how:
        case Breakage.BAD_MAGIC:
            return b"\x07" + value[1:]
        case Breakage.UNKNOWN_SCHEMA:
            return b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + body
        case Breakage.GARBAGE:
            return header + b"\xff" * 12
        case Breakage.TRUNCATED:
            return value[: HEADER_BYTES + len(body) // 2]
        case Breakage.NO_FRAME:
            return value[:2]
        case Breakage.TOMBSTONE:
            return None


def _require(client: Producer | Consumer, names: list[str]) -> None:
    """Raises Unreachable, or Conflict where a topic is missing (one just made takes a moment to be seen)."""
    deadline = time.monotonic() + SETTLE_S
    while missing := _missing(client, names):
        if time.monotonic() > deadline:
            raise Conflict(f"topics do not exist: {', '.join(missing)}", "make them with `wardstock topics create`")
        time.sleep(0.1)


def _missing(client: Producer | Consumer, names: list[str]) -> list[str]:
    try:
        there = client.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise Unreachable(f"Kafka does not answer: {error}", "see `wardstock doctor`") from error
    return [name for name in names if name not in there]
