"""The log on a real Kafka, through librdkafka: consumer and transactional producer of one pipeline.

What to do about an error is decided by the error's own flags, in this order: abort required, retriable, else fatal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.runtime.errors import Aborted, LogUnavailable, OffsetOutOfRange, OutcomeUnknown
from app.runtime.failpoints import Failpoint, Point
from app.runtime.log import Listener, Message, Outgoing, Polled, TopicPartition

log = structlog.get_logger(__name__)

_ASK_S = 15.0  # for metadata-like questions; longer than a dead worker's transaction may pin offsets
_PERSIST_S = 30.0  # below any max.poll.interval, as some are asked while partitions are assigned
_RETRY_S = 0.1
_REPLAY_CHUNK = 10_000
_REPLAY_POLL_S = 0.05
_ENDS_EVERY_S = 0.5

# A dead letter is larger than the message it holds, which may be as large as the broker takes by default (1 MiB).
PRODUCED_MAX_BYTES = 2 << 20

# Found by measuring restores: deep queues and large fetches, so that the network never waits for Python.
REPLAY_CONFIG: Mapping[str, Any] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 262_144,
    "fetch.message.max.bytes": 8 << 20,
    "fetch.wait.max.ms": 50,
    "check.crcs": False,
}


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """``client`` goes to every librdkafka client (bootstrap servers, SASL, TLS). Times in ms."""

    client: Mapping[str, Any]
    group: str
    transactional_id: str
    group_protocol: str = "classic"
    session_timeout_ms: int = 6_000
    transaction_timeout_ms: int = 10_000
    extra: Mapping[str, Any] = field(default_factory=dict)

    def consumer(self) -> dict[str, Any]:
        common = {
            **self.client,
            "group.id": self.group,
            "client.id": self.transactional_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 50_000,
        }
        return {**common, **self._group_protocol(), **self.extra}

    def _group_protocol(self) -> dict[str, Any]:
        """Co-partitioning needs range; with the new protocol the session timeout is the broker's."""
        if self.group_protocol == "consumer":
            return {"group.protocol": "consumer", "group.remote.assignor": "range"}
        return {
            "group.protocol": "classic",
            "partition.assignment.strategy": "range",
            "session.timeout.ms": self.session_timeout_ms,
            "heartbeat.interval.ms": max(100, self.session_timeout_ms // 6),
        }

    def producer(self) -> dict[str, Any]:
        return {
            **self.client,
            "client.id": self.transactional_id,
            "transactional.id": self.transactional_id,
            "transaction.timeout.ms": self.transaction_timeout_ms,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 2,
            "message.max.bytes": PRODUCED_MAX_BYTES,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 2_097_151,
        }


def _kafka(tp: TopicPartition, offset: int | None = None) -> KafkaTopicPartition:
    if offset is None:
        return KafkaTopicPartition(tp.topic, tp.partition)
    return KafkaTopicPartition(tp.topic, tp.partition, offset)


def _ours(tp: KafkaTopicPartition) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)


def _within(tp: TopicPartition, committed: int, low: int, high: int) -> int:
    """Where to go on: at the committed offset, or at the start where there is none or the log no longer holds it."""
    if low <= committed <= high:
        return committed
    if committed >= 0:
        log.error(
            "input.expired", topic=tp.topic, partition=tp.partition, committed=committed, log_start=low, log_end=high,
            meaning="retention or a new topic of that name took records that were never worked",
        )  # fmt: skip
    return low


def _persist(ask: Callable[[], dict[TopicPartition, int]], what: str) -> dict[TopicPartition, int]:
    """Ask again while leaders are being chosen, as for a topic just made, or a broker is slow to answer. Blocks.

    Raises ``LogUnavailable`` when it is never answered.
    """
    deadline = time.monotonic() + _PERSIST_S
    while True:
        try:
            return ask()
        except (KafkaException, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{what}: {error}") from error
        time.sleep(_RETRY_S)


class KafkaLog:
    """Connects lazily: the producer on ``subscribe``, which blocks until transactions of a former self are ended."""

    def __init__(self, settings: KafkaSettings, failpoint: Failpoint) -> None:
        self._settings = settings
        self._failpoint = failpoint
        self._consumer = Consumer(settings.consumer())
        self._admin = AdminClient(dict(settings.client))
        self._producer: Producer | None = None
        self._listener: Listener | None = None
        self._assigned: set[TopicPartition] = set()
        self._closing = False
        self._ends: dict[TopicPartition, int] = {}
        self._next_look_at_ends = 0.0
        self._eager = settings.group_protocol == "classic"

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        self._listener = listener
        self._producer = self._new_producer()
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    # --- assignment ---

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
        """Committed offsets first: under read_committed they are only answered once they are stable."""
        if self._closing:
            return  # nothing is answered any more, and the consumer gives these back itself
        start = self.committed(map(_ours, partitions))
        positioned = [_kafka(tp, offset) for tp, offset in start.items()]
        if self._eager:
            consumer.assign(positioned)
        else:
            consumer.incremental_assign(positioned)
        if positioned:
            consumer.pause(positioned)
        self._assigned |= start.keys()
        if self._listener is not None:
            self._listener.assigned(start)

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
        self._let_go(consumer, partitions, lost=False)

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
        self._let_go(consumer, partitions, lost=True)

    def _let_go(self, consumer: Consumer, partitions: list[KafkaTopicPartition], *, lost: bool) -> None:
        gone = [_ours(tp) for tp in partitions]
        self._assigned -= set(gone)
        if self._listener is not None:
            (self._listener.lost if lost else self._listener.revoked)(gone)
        if self._eager:
            consumer.unassign()
        else:
            consumer.incremental_unassign(partitions)

    # --- reading ---

    def poll(self, max_messages: int, wait_s: float) -> Polled:
        """Raises ``LogUnavailable`` never: what librdkafka reports and retries itself is only logged."""
        polled = self._consumer.consume(max_messages, wait_s)
        messages = cast(list[Message], [message for message in polled if message.error() is None])
        ends: dict[TopicPartition, int] = {}
        for message in polled if len(messages) < len(polled) else ():
            error = message.error()
            if error is None:
                continue
            if error.code() == KafkaError._PARTITION_EOF:
                ends[TopicPartition(message.topic() or "", message.partition() or 0)] = message.offset() or 0
            else:
                self._handle(error)
        self._look_at_ends()
        return Polled(messages, self._still_ends(messages, ends))

    def _still_ends(self, messages: list[Message], ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        """An end that later messages of the same poll went past is none."""
        if not ends:
            return ends
        last = {(m.topic(), m.partition()): m.offset() or 0 for m in messages}
        return {tp: end for tp, end in ends.items() if last.get(tp, -1) < end}

    def _handle(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise KafkaException(error)
        log.warning("consumer.error", group=self._settings.group, error=error.str(), code=error.name())

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        held = [_kafka(tp) for tp in partitions if tp in self._assigned]
        if held:
            self._consumer.pause(held)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        held = [_kafka(tp) for tp in partitions if tp in self._assigned]
        if held:
            self._consumer.resume(held)
            self._wake(held[0])

    def _wake(self, partition: KafkaTopicPartition) -> None:
        """A fetcher that had nothing to fetch sleeps for up to a second, whatever is resumed; a question ends that."""
        with suppress(KafkaException):
            self._consumer.get_watermark_offsets(partition, _RETRY_S, cached=False)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        for tp, offset in positions.items():
            if tp in self._assigned:
                self._consumer.seek(_kafka(tp, offset))

    def end_offsets(self) -> dict[TopicPartition, int]:
        """As of half a second ago; asks nobody, so that any thread may call it: the consumer lets one thread in at a
        time, and the polling thread is nearly always in."""
        return self._ends

    def _look_at_ends(self) -> None:
        now = time.monotonic()
        if now >= self._next_look_at_ends:
            self._next_look_at_ends = now + _ENDS_EVERY_S
            self._ends = dict(self._known_ends())

    def _known_ends(self) -> Iterator[tuple[TopicPartition, int]]:
        for tp in self._assigned:
            try:
                _, high = self._consumer.get_watermark_offsets(_kafka(tp), cached=True)
            except KafkaException:
                continue  # nothing was fetched yet
            if high >= 0:
                yield tp, high

    # --- offsets ---

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Raises ``LogUnavailable`` when they cannot be had within the time a dead worker's transaction may take."""
        wanted = list(partitions)
        if not wanted:
            return {}
        answered = self._ask_committed(wanted)
        lows = self._list_offsets(wanted, OffsetSpec.earliest())
        highs = self._list_offsets(wanted, OffsetSpec.latest())
        return {tp: _within(tp, answered[tp], lows[tp], highs[tp]) for tp in wanted}

    def _ask_committed(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        def ask() -> dict[TopicPartition, int]:
            answer = self._consumer.committed([_kafka(tp) for tp in wanted], timeout=_ASK_S)
            for tp in answer:
                if tp.error is not None:  # not to be taken for a partition without an offset
                    raise KafkaException(tp.error)
            return {_ours(tp): tp.offset for tp in answer}

        return _persist(ask, f"committed offsets of group {self._settings.group}")

    def _list_offsets(self, partitions: Iterable[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        """Ends are high watermarks: the last stable offset trails commits until their markers land."""
        wanted = {_kafka(tp): spec for tp in partitions}

        def ask() -> dict[TopicPartition, int]:
            futures = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ASK_S
            )
            try:
                return {_ours(tp): future.result(_ASK_S).offset for tp, future in futures.items()}
            except KafkaException:
                self._learn_leaders({tp.topic for tp in wanted})
                raise

        return _persist(ask, f"offsets of {', '.join(sorted({tp.topic for tp in wanted}))}")

    def _learn_leaders(self, topics: Iterable[str]) -> None:
        """A client that once heard of no leader believes it for minutes, unless it asks again."""
        for topic in topics:
            with suppress(KafkaException):
                self._admin.list_topics(topic, _ASK_S)

    def replay(self, start: Mapping[TopicPartition, int | None], cancelled: Callable[[], bool]) -> KafkaReplay:
        lows = self._list_offsets(start, OffsetSpec.earliest())
        highs = self._list_offsets(start, OffsetSpec.latest())
        for tp, offset in start.items():
            if offset is not None and not lows[tp] <= offset <= highs[tp]:
                raise OffsetOutOfRange(
                    f"{tp.topic}/{tp.partition}: stored offset {offset}, the log holds {lows[tp]} to {highs[tp]}"
                )
        positions = {tp: lows[tp] if offset is None else offset for tp, offset in start.items()}
        return KafkaReplay(self._settings.client, positions, highs, cancelled)

    # --- the transaction ---

    def commit(
        self,
        outputs: Iterable[Outgoing],
        changes: Mapping[TopicPartition, Sequence[tuple[bytes | None, bytes | None]]],
        offsets: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        if not offsets.keys() <= self._assigned:
            raise Aborted(f"not assigned any more: {sorted(offsets.keys() - self._assigned)}")
        producer = self._producer
        assert producer is not None, "subscribe first"
        reached: dict[TopicPartition, int] = {}
        self._failpoint(Point.BEFORE_PRODUCE)
        self._attempt(producer.begin_transaction)
        self._produce(producer, outputs)
        self._produce_changes(producer, changes, reached)
        self._failpoint_after(Point.AFTER_PRODUCE, producer)
        positions = [_kafka(tp, offset) for tp, offset in offsets.items()]
        self._attempt(
            lambda: producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata(), _ASK_S)
        )
        self._failpoint(Point.AFTER_SEND_OFFSETS)
        self._attempt(producer.commit_transaction)
        return reached

    def _failpoint_after(self, point: Point, producer: Producer) -> None:
        producer.poll(0)
        self._failpoint(point)

    def _produce(self, producer: Producer, outputs: Iterable[Outgoing]) -> None:
        produce: Callable[..., None] = producer.produce
        for out in outputs:
            partition = -1 if out.partition is None else out.partition
            while True:
                try:
                    produce(out.topic, out.value, out.key, partition, None, None, out.timestamp or 0, out.headers)
                    break
                except BufferError:
                    producer.poll(_RETRY_S)
                except KafkaException as error:
                    self._give_up(error)

    def _produce_changes(
        self,
        producer: Producer,
        changes: Mapping[TopicPartition, Sequence[tuple[bytes | None, bytes | None]]],
        reached: dict[TopicPartition, int],
    ) -> None:
        """Only the last record of a changelog partition asks for its offset: a callback each would cost too much."""

        def delivered(error: KafkaError | None, message: KafkaMessage) -> None:
            if error is None:
                reached[TopicPartition(message.topic() or "", message.partition() or 0)] = (message.offset() or 0) + 1

        for tp, records in changes.items():
            last = len(records) - 1
            for index, (key, value) in enumerate(records):
                callback = delivered if index == last else None
                while True:
                    try:
                        producer.produce(tp.topic, value, key, tp.partition, callback)
                        break
                    except BufferError:
                        producer.poll(_RETRY_S)
                    except KafkaException as error:
                        self._give_up(error)

    def _attempt(self, call: Callable[[], object]) -> None:
        """Repeat a transaction call while the broker says so, within the transaction's own time."""
        deadline = time.monotonic() + 2 * self._settings.transaction_timeout_ms / 1000
        while True:
            try:
                call()
                return
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if cause.txn_requires_abort() or not cause.retriable() or time.monotonic() > deadline:
                    self._give_up(error)
                time.sleep(_RETRY_S)

    def _give_up(self, error: KafkaException) -> None:
        """A produce into a transaction that has failed already is only told of a wrong state: abort, too."""
        cause: KafkaError = error.args[0]
        if not cause.txn_requires_abort() and cause.code() != KafkaError._STATE:
            raise OutcomeUnknown(f"{cause.name()}: {cause.str()}") from error
        self._abort()
        raise Aborted(f"{cause.name()}: {cause.str()}") from error

    def _abort(self) -> None:
        assert self._producer is not None
        try:
            self._producer.abort_transaction()
        except KafkaException as error:
            raise OutcomeUnknown(f"abort failed: {error}") from error

    def _new_producer(self) -> Producer:
        producer = Producer(self._settings.producer())
        deadline = time.monotonic() + 4 * self._settings.transaction_timeout_ms / 1000
        while True:
            try:
                producer.init_transactions(_ASK_S)
                return producer
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if not cause.retriable() or time.monotonic() > deadline:
                    raise LogUnavailable(f"transactional.id {self._settings.transactional_id}: {error}") from error
                time.sleep(_RETRY_S)

    def rebuild(self) -> Mapping[TopicPartition, int]:
        if self._producer is not None:
            self._producer.purge()
        self._producer = self._new_producer()
        return self.committed(self._assigned)

    def close(self) -> None:
        """Leaves the group at once, so that others need not wait for the session timeout."""
        self._closing = True
        self._consumer.close()
        self._producer = None


class KafkaReplay:
    """Reads changelog partitions under read_committed until their end of partition reaches the high watermark asked."""

    def __init__(
        self,
        client: Mapping[str, Any],
        start: Mapping[TopicPartition, int],
        targets: Mapping[TopicPartition, int],
        cancelled: Callable[[], bool],
    ) -> None:
        self._client = client
        self._start = dict(start)
        self._targets = targets
        self._cancelled = cancelled
        self._left = sum(max(0, targets[tp] - offset) for tp, offset in start.items())

    def remaining(self) -> int:
        return max(0, self._left)

    def chunks(self) -> Iterator[Sequence[Message]]:
        todo = {tp for tp, offset in self._start.items() if offset < self._targets[tp]}
        if not todo:
            return
        consumer = Consumer({**self._client, **REPLAY_CONFIG, "group.id": "replay"})
        try:
            consumer.assign([_kafka(tp, self._start[tp]) for tp in todo])
            while todo and not self._cancelled():
                polled = consumer.consume(_REPLAY_CHUNK, _REPLAY_POLL_S)
                messages = [message for message in polled if message.error() is None]
                if messages:
                    self._left -= len(messages)
                    yield cast(list[Message], messages)
                if len(messages) < len(polled):
                    todo -= self._ended(polled)
        finally:
            consumer.close()

    def _ended(self, polled: Iterable[KafkaMessage]) -> set[TopicPartition]:
        """Partitions whose end was reached and lies at the target or beyond. Raises what the others report."""
        ended = set()
        for message in polled:
            error, tp = message.error(), TopicPartition(message.topic() or "", message.partition() or 0)
            if error is None:
                continue
            if error.code() == KafkaError._PARTITION_EOF:
                if (message.offset() or 0) >= self._targets[tp]:
                    ended.add(tp)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise OffsetOutOfRange(f"{tp.topic}/{tp.partition}: {error.str()}")
            elif not error.retriable():
                raise LogUnavailable(error.str())
        return ended
