"""From messages to events: decode, send on what lies on the wrong partition, drop repeats, take back what was parked.

What cannot become an event becomes a dead letter in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from app.metrics import Metrics
from app.runtime.agents import Agent
from app.runtime.batch import Event, Work, trace_headers
from app.runtime.codec import Codec, Decoded
from app.runtime.dead_letters import Reason
from app.runtime.dedup import BODY_BYTES, id_digest, id_hasher
from app.runtime.errors import Undecodable
from app.runtime.home import Home
from app.runtime.intake import Row, row_message, row_source
from app.runtime.log import Headers, Message, Outgoing, Recorded, TopicPartition
from app.runtime.parking import Parked
from app.runtime.partitioner import partition_for
from app.runtime.pipeline import Pipeline
from app.runtime.topics import Topic

ORIGIN_HEADER = "wardstock-origin"  # "<topic>/<partition>/<offset>" of a message sent on to its key's partition
_KEY_CACHE_ENTRIES = 1_000_000

# A parked row to be tried again, at its home; True: it is overdue.
Returned = tuple[Home, Parked, bool]


@dataclass(frozen=True, slots=True)
class _Source:
    """What is needed to turn one topic's messages into events, looked up once."""

    topic: Topic
    agent: Agent
    decode: Callable[[bytes], Decoded]
    digest: Callable[[str], bytes]


class Decoding:
    """For one pipeline, whose inputs have ``partitions`` partitions each. Not thread-safe."""

    def __init__(self, pipeline: Pipeline, codec: Codec, metrics: Metrics, partitions: int) -> None:
        self._pipeline = pipeline
        self._partitions = partitions
        self._rekeyed = metrics.rekeyed
        self._repeats = metrics.dedup_hits.labels(pipeline.name)
        self._conflicts = metrics.conflicts.labels(pipeline.name)
        self._sources = {
            name: _Source(topic, agent, codec.decoder(topic), id_hasher(name))
            for name, (topic, agent) in pipeline.sources.items()
        }
        self._key_partitions: dict[str, int] = {}

    def agent_of(self, topic: Topic) -> Agent:
        return self._sources[topic.name].agent

    def events(self, rows: Sequence[Row], home: Home, work: Work) -> list[Event]:
        """The new events among ``rows``, in their order. Raises ``RegistryUnavailable``: then try again later."""
        events: list[Event] = []
        sources, key_partitions, number = self._sources, self._key_partitions, home.partition
        seen, fresh = home.dedup.seen, home.dedup.fresh
        for _, polled, tp in rows:
            message: Message = polled
            source = sources.get(tp.topic)
            if source is None:
                message = _as_first_read(message, tp)
                source = sources[message.topic() or ""]
            topic = source.topic
            try:
                record, body = source.decode(message.value() or b"")
            except Undecodable as error:
                self._bury(topic, home, message, error, work)
                continue
            key = topic.key_of(record)
            event = Event(topic, home, key, record, message)
            partition = key_partitions.get(key)
            if partition is None:
                partition = self._partition_of(key)
            if partition != number:
                work.outputs.append(self._send_on(event, work))
                continue
            if topic.id_of is not None:
                event.digest = digest = source.digest(topic.id_of(record))
                content = blake2b(body, digest_size=BODY_BYTES).digest()
                known = seen(digest)
                if known is not None:
                    self._known(event, known == content, source, work)
                    continue
                fresh[digest] = content
            events.append(event)
        return events

    def _bury(self, topic: Topic, home: Home, message: Message, error: Undecodable, work: Work) -> None:
        reason, detail = error.reason, error.detail
        if not message.value():
            reason, detail = Reason.EMPTY_VALUE, "value: got nothing, expected an event"
        event = Event(topic, home, "", None, message)
        work.dead.append(event.dead_letter(self._pipeline.name, reason, detail))

    def _partition_of(self, key: str) -> int:
        """murmur2 costs microseconds in Python, and keys come again and again."""
        if len(self._key_partitions) > _KEY_CACHE_ENTRIES:
            self._key_partitions.clear()
        partition = self._key_partitions[key] = partition_for(key.encode(), self._partitions)
        return partition

    def _send_on(self, event: Event, work: Work) -> Outgoing:
        self._rekeyed.labels(self._pipeline.name, event.topic.name).inc()
        origin = (ORIGIN_HEADER, f"{event.topic.name}/{event.partition}/{event.offset}".encode())
        kept = [header for header in event.headers or () if header[0] != ORIGIN_HEADER]
        value, stamp = event.message.value(), work.stamp(event.timestamp)
        return Outgoing(self._pipeline.rekeyed, event.key.encode(), value, [*kept, origin], None, stamp)

    def _known(self, event: Event, same: bool, source: _Source, work: Work) -> None:
        """A repeat is dropped; another event under the same id is its agent's to name."""
        if same:
            self._repeats.inc()
            return
        self._conflicts.inc()
        topic, record = source.agent.conflict(event)
        value, key = work.encoder(topic)(record), topic.key_of(record).encode()
        stamp = work.stamp(event.timestamp)
        work.outputs.append(Outgoing(topic.name, key, value, trace_headers(event.headers), None, stamp))

    def returned(self, rows: Iterable[Returned], work: Work) -> list[Event]:
        """The events of parked rows; their ids are known already."""
        events = []
        for home, row, overdue in rows:
            source = self._sources[row.topic]
            message = Recorded(
                row.topic, row.partition, row.offset, row.timestamp, row.key, row.value, list(row.headers)
            )
            try:
                record = source.decode(row.value).record
            except Undecodable as error:
                self._bury(source.topic, home, message, error, work)
                continue
            digest = id_digest(row.topic, row.event_id)
            key = source.topic.key_of(record)
            events.append(Event(source.topic, home, key, record, message, digest, row.parked_at, overdue))
        return events


def passed(rows: Mapping[int, Sequence[Row]]) -> dict[TopicPartition, int]:
    """The offset after the last row of each topic's partition."""
    last: dict[TopicPartition, Message] = {}
    for part in rows.values():
        last.update(zip(map(row_source, part), map(row_message, part), strict=True))
    return {tp: (message.offset() or 0) + 1 for tp, message in last.items()}


def _as_first_read(message: Message, tp: TopicPartition) -> Message:
    """A message that was sent on, as it was where it had been read first: coordinates and own headers."""
    headers: Headers = message.headers() or []
    for name, value in headers:
        if name == ORIGIN_HEADER and value is not None:
            topic, partition, offset = value.decode().rsplit("/", 2)
            kept = [header for header in headers if header[0] != ORIGIN_HEADER]
            stamp = message.timestamp()[1]
            return Recorded(topic, int(partition), int(offset), stamp, message.key(), message.value(), kept)
    raise LookupError(
        f"{tp.topic}/{tp.partition}/{message.offset()} has no {ORIGIN_HEADER} header: only the engine writes there"
    )
