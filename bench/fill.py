"""What lies on the cluster before anything is timed: usages with repeats, and a changelog to restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage

from app.config import Settings
from app.runtime.codec import Encode
from app.runtime.partitioner import PARTITIONER
from bench.job import NOTHING, TABLE, Job, Position, Posting, Usage, decide, dump, key_of
from bench.order import kafka_settings

POSITIONS: Final = 5_000
REPEAT_EVERY: Final = 50  # 2 %
_BACK: Final = 20_000  # a repeat is one of that many events before it
_EPOCH_MS: Final = 1_760_000_000_000
_TRANSACTION: Final = 10_000
_SEED: Final = 20260

Advance = Callable[[int], None]


@dataclass(slots=True)
class Expected:
    """What must come out, worked out from the usages alone, one by one."""

    postings: int = 0
    positions: dict[str, Position] = field(default_factory=dict)

    def add(self, usage: Usage) -> Posting:
        key = key_of(usage)
        self.positions[key], posting = decide(self.positions.get(key, NOTHING), usage)
        self.postings += 1
        return posting


def usages(count: int) -> Iterator[tuple[Usage, bool]]:
    """The same ``count`` usages every time, in order; True: sent before, recorded later."""
    random, sent = Random(_SEED), list[Usage]()
    for place in range(count):
        if place % REPEAT_EVERY == REPEAT_EVERY - 1:
            yield _resent(sent[random.randrange(max(0, len(sent) - _BACK), len(sent))]), True
        else:
            sent.append(_usage(place, random))
            yield sent[-1], False


def _usage(place: int, random: Random) -> Usage:
    position, occurred = random.randrange(POSITIONS), _EPOCH_MS + 40 * place
    location, item = f"W{position % 50:02}", f"ITM-{position // 50:04}"
    cost_center = f"CC-{position % 50:02}"
    return Usage(f"use-{place:08}", occurred, occurred + 1_500, "F1", location, item, random.randint(1, 9), cost_center)


def _resent(usage: Usage) -> Usage:
    return Usage(
        usage.event_id, usage.occurred_at, usage.recorded_at + 60_000, usage.facility, usage.location, usage.item,
        usage.quantity, usage.cost_center,
    )  # fmt: skip


def fill_usages(settings: Settings, work: Job, encode: Encode, count: int, advance: Advance) -> Expected:
    """Publish ``count`` usages as a source system does. Blocks until the broker has all of them."""
    producer = Producer(
        {**settings.client_config(), "partitioner": PARTITIONER, "compression.type": "lz4", "linger.ms": 20}
    )
    expected, sending = Expected(), _Sending(producer, advance)
    for usage, repeated in usages(count):
        sending.send(work.usage.name, encode(usage), key_of(usage).encode())
        if not repeated:
            expected.add(usage)
    sending.end()
    return expected


def fill_changelog(settings: Settings, work: Job, count: int, advance: Advance) -> None:
    """Write ``count`` positions, each of another key, as transactions of the engine's size. Blocks."""
    producer = Producer(kafka_settings(settings).producer())
    producer.init_transactions(30)
    sending, changelog = _Sending(producer, advance), work.pipeline.changelog(TABLE)
    for first in range(0, count, _TRANSACTION):
        producer.begin_transaction()
        for place in range(first, min(count, first + _TRANSACTION)):
            sending.send(changelog, dump(_stored(place)), f"F1|W{place % 997:03}|ITM-{place:07}".encode())
        producer.commit_transaction(30)
    sending.end()


def _stored(place: int) -> Position:
    return Position(place % 300, -place, place, f"use-{place:08}", _EPOCH_MS + place)


class _Sending:
    """Produces without overrunning the client's queue, and hears of what could not be delivered."""

    def __init__(self, producer: Producer, advance: Advance) -> None:
        self._producer = producer
        self._advance = advance
        self._failure: KafkaError | None = None
        self._sent = 0

    def send(self, topic: str, value: bytes, key: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._heard)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._sent += 1
        if self._sent % _TRANSACTION == 0:
            self._producer.poll(0)
            self._advance(_TRANSACTION)

    def _heard(self, error: KafkaError | None, _: KafkaMessage) -> None:
        self._failure = self._failure or error

    def end(self) -> None:
        """Raises ``RuntimeError`` where anything was not delivered."""
        left = self._producer.flush(60)
        if left or self._failure is not None:
            raise RuntimeError(f"the bench's own input did not arrive: {self._failure or f'{left} messages left'}")
        self._advance(self._sent % _TRANSACTION)
