"""What commands ask of a cluster: topics made and compared, offsets, and topics read to their end.

Every call blocks on the network, for at most ``timeout_s``. A cluster that does not answer raises
:class:`app.errors.Unreachable`. Nothing here joins a consumer group or writes a record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    DescribeClusterResult,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from app.config import Settings
from app.errors import Conflict, Unreachable
from app.runtime.dead_letters import DeadLetter
from app.runtime.pipeline import Pipeline
from app.runtime.topics import DAY_MS, FOREVER, Cleanup, Topic

T = TypeVar("T")

TIMEOUT_S = 10.0
# A dead letter or a parked event wraps a message that may itself be as large as a topic allows (1 MiB).
WRAPPING_BYTES = 2 * 1024 * 1024
_COMPARED = ("cleanup.policy", "retention.ms")
# A leader is being chosen, or a broker does not know yet that it is one: so it is right after a topic was made.
_ELECTING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._NOENT,
    }
)
_NO_ANSWER = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)

_log = logging.getLogger("wardstock.kafka")


# --- what topics ought to be -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it ought to be on the cluster; ``config`` has the settings that differ from the broker's defaults."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact of a topic that is not as declared. ``what`` is ``topic``, ``partitions`` or a topic setting's name."""

    topic: str
    what: str
    expected: str
    found: str | None  # None: there is none

    def __str__(self) -> str:
        return f"{self.topic}: {self.what} is {self.found or 'missing'}; expected {self.expected}"


def declared_topics(settings: Settings, topics: Iterable[Topic], pipelines: Iterable[Pipeline]) -> list[TopicSpec]:
    """All topics of an installation: those declared in code, and what the engine keeps for each pipeline."""
    internal = [spec for pipeline in pipelines for spec in internal_topics(settings, pipeline)]
    return [spec_of(topic, settings) for topic in topics] + internal


def internal_topics(settings: Settings, pipeline: Pipeline) -> list[TopicSpec]:
    """What the engine keeps for one pipeline: its tables' changelogs, remembered ids, rekeyed messages.

    All have as many partitions as the pipeline's inputs.
    """
    changelogs = [_changelog(pipeline.changelog(table.name), settings) for table in pipeline.tables]
    return [*changelogs, _dedup(pipeline.dedup_changelog, settings), _rekeyed(pipeline.rekeyed, settings)]


def spec_of(topic: Topic, settings: Settings) -> TopicSpec:
    """The specification of a topic declared in code, in an installation with these settings."""
    return _spec(
        topic.name,
        settings,
        cleanup=topic.cleanup,
        retention_ms=topic.retention_ms,
        partitions=topic.partitions or settings.partitions,
        wraps_messages=topic.record is DeadLetter,
    )


def _changelog(name: str, settings: Settings) -> TopicSpec:
    """A table's changelog: compacted, so that it holds each key's last value for good."""
    return _spec(name, settings, cleanup=Cleanup.COMPACT, retention_ms=FOREVER, wraps_messages=True)


def _dedup(name: str, settings: Settings) -> TopicSpec:
    """Segments of remembered event ids: kept for the horizon and the bucket (half a horizon) still open at its end."""
    horizon_ms = settings.dedup_horizon_days * DAY_MS
    return _spec(name, settings, cleanup=Cleanup.DELETE, retention_ms=horizon_ms + horizon_ms // 2)


def _rekeyed(name: str, settings: Settings) -> TopicSpec:
    """Messages on their way to the partition where their key belongs."""
    return _spec(name, settings, cleanup=Cleanup.DELETE, retention_ms=14 * DAY_MS, wraps_messages=True)


def _spec(
    name: str,
    settings: Settings,
    *,
    cleanup: Cleanup,
    retention_ms: int,
    partitions: int = 0,
    wraps_messages: bool = False,
) -> TopicSpec:
    config = {"cleanup.policy": cleanup.value, "retention.ms": str(retention_ms)}
    if wraps_messages:
        config["max.message.bytes"] = str(WRAPPING_BYTES)
    if settings.replication_factor >= 3:
        # With acks=all a commit then survives the loss of a broker, and one broker may be down for maintenance.
        config["min.insync.replicas"] = str(settings.replication_factor - 1)
    return TopicSpec(name, partitions or settings.partitions, settings.replication_factor, config)


# --- the cluster -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offsets:
    """Of one partition: first record still there, next after the last stable one, next after the last one."""

    start: int
    stable: int
    end: int


class Cluster:
    """An answering cluster. Holds its AdminClient: a future of one that is no longer referenced never completes."""

    def __init__(self, settings: Settings, timeout_s: float | None = None) -> None:
        """``timeout_s`` bounds each call (``TIMEOUT_S``).

        Raises :class:`Unreachable` where no broker answers, ConfigError where none is configured.
        """
        self._settings = settings
        self._timeout_s = timeout_s or TIMEOUT_S
        self.address = settings.bootstrap()
        self._admin = AdminClient(
            {**settings.client_config(), "socket.timeout.ms": int(self._timeout_s * 1000)}, logger=_log
        )
        self.metadata()

    def metadata(self) -> ClusterMetadata:
        """Brokers and topics, as they are now."""
        with _answering(self.address):
            return self._admin.list_topics(timeout=self._timeout_s)

    def describe(self) -> DescribeClusterResult:
        with _answering(self.address):
            return cast(DescribeClusterResult, self._result(self._admin.describe_cluster(**self._limits)))

    def broker_config(self) -> dict[str, str]:
        """The settings of one broker. Raises KafkaException where this user may not read them."""
        resource = ConfigResource(ResourceType.BROKER, str(self.describe().nodes[0].id))
        futures = self._admin.describe_configs([resource], **self._limits)
        with _answering(self.address):
            return _values(self._result(futures[resource]))

    def partitions(self) -> dict[str, int]:
        """Every topic on the cluster and how many partitions it has."""
        return {name: len(topic.partitions) for name, topic in self.metadata().topics.items()}

    def size(self, topic: str) -> int:
        """How many partitions a topic has. Raises :class:`Conflict` where it is not there."""
        partitions = self.partitions().get(topic)
        if partitions is None:
            raise Conflict(f"there is no topic {topic} at {self.address}", "make all topics: `wardstock topics create`")
        return partitions

    def compare(self, specs: Sequence[TopicSpec]) -> list[Difference]:
        """What is not as declared, topic by topic; a missing topic is one difference."""
        there = self.partitions()
        configs = self._configs([spec.name for spec in specs if spec.name in there])
        return [
            difference
            for spec in specs
            for difference in _differences(spec, there.get(spec.name), configs.get(spec.name, {}))
        ]

    def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Makes the topics that are not there; gives the names of those made, and waits until they can be used.

        Raises KafkaException where the cluster refuses one.
        """
        there = self.partitions()
        missing = [spec for spec in specs if spec.name not in there]
        if not missing:
            return []
        futures = self._admin.create_topics([_new_topic(spec) for spec in missing], **self._limits)
        with _answering(self.address):
            made = [name for name, future in futures.items() if self._made(future)]
        self._wait_for(missing)
        return sorted(made)

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, Offsets]:
        """Start, stable end and end of each partition. The end counts transactions that are still open, too."""
        places = [TopicPartition(topic, partition) for partition in partitions]
        first = self._list_offsets(places, OffsetSpec.earliest())
        stable = self._list_offsets(places, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)
        last = self._list_offsets(places, OffsetSpec.latest())
        return {place[1]: Offsets(first[place], stable[place], last[place]) for place in first}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Each partition's first offset whose record is not older than ``timestamp_ms``; its end where none is."""
        places = [TopicPartition(topic, partition) for partition in range(self.size(topic))]
        found = self._list_offsets(places, OffsetSpec.for_timestamp(timestamp_ms))
        last = self._list_offsets(places, OffsetSpec.latest())
        return {place[1]: offset if offset >= 0 else last[place] for place, offset in found.items()}

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """The offsets that a consumer group has committed, by topic and partition; empty for an unknown group."""
        futures = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], **self._limits)
        with _answering(self.address):
            result: ConsumerGroupTopicPartitions = self._result(futures[group])
        found = result.topic_partitions or []
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def read(
        self,
        topic: str,
        partitions: Iterable[int] | None = None,
        *,
        starts: Mapping[int, int] | None = None,
        patience_s: float = 2.0,
    ) -> Iterator[Message]:
        """The committed records of a topic, from its start (or ``starts``) to the end it has now; blocks between them.

        A transaction that is open at the end is waited for, but no longer than ``patience_s``. Order holds within a
        partition only. Raises :class:`Unreachable` where the broker falls silent, :class:`Conflict` for a topic that
        is not there.
        """
        offsets = self.offsets(topic, range(self.size(topic)) if partitions is None else partitions)
        begins = {p: max((starts or {}).get(p, at.start), at.start) for p, at in offsets.items()}
        targets = {p: at.end for p, at in offsets.items() if begins[p] < at.end}
        if not targets:
            return
        consumer = Consumer(self._reader_config(), logger=_log)
        try:
            consumer.assign([TopicPartition(topic, p, begins[p]) for p in targets])
            yield from _Reading(consumer, targets, patience_s, self._timeout_s, self.address).records()
        finally:
            consumer.close()

    def _reader_config(self) -> dict[str, str | int | bool]:
        return {
            **self._settings.client_config(),
            "group.id": f"{self._settings.app_id}-cli",  # required by librdkafka; never joined, never committed to
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
        }

    @property
    def _limits(self) -> dict[str, Any]:
        return {"request_timeout": self._timeout_s}

    def _result(self, future: Future[T]) -> T:
        return future.result(timeout=self._timeout_s)

    def _made(self, future: Future[None]) -> bool:
        try:
            self._result(future)
        except KafkaException as refused:
            if refused.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker: fine
                raise
            return False
        return True

    def _wait_for(self, specs: Sequence[TopicSpec]) -> None:
        """Until every partition has a leader that knows it is one."""
        deadline = time.monotonic() + self._timeout_s
        while {spec.name for spec in specs} - _led(self.metadata()):
            if time.monotonic() > deadline:
                raise Unreachable(f"topics were made at {self.address}, but have no leader yet", "try again")
            time.sleep(0.05)
        places = [TopicPartition(spec.name, partition) for spec in specs for partition in range(spec.partitions)]
        self._list_offsets(places, OffsetSpec.earliest())

    def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        futures = self._admin.describe_configs(resources, **self._limits)
        with _answering(self.address):
            return {resource.name: _values(self._result(future)) for resource, future in futures.items()}

    def _list_offsets(
        self,
        places: Sequence[TopicPartition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[tuple[str, int], int]:
        deadline = time.monotonic() + self._timeout_s
        while True:
            futures = self._admin.list_offsets(dict.fromkeys(places, spec), isolation_level=isolation, **self._limits)
            try:
                with _answering(self.address):
                    return {(at.topic, at.partition): self._result(future).offset for at, future in futures.items()}
            except KafkaException as refused:
                if refused.args[0].code() not in _ELECTING or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


def _new_topic(spec: TopicSpec) -> NewTopic:
    return NewTopic(
        spec.name, num_partitions=spec.partitions, replication_factor=spec.replication, config=dict(spec.config)
    )


def _led(metadata: ClusterMetadata) -> set[str]:
    return {
        name
        for name, topic in metadata.topics.items()
        if topic.partitions and all(partition.leader >= 0 for partition in topic.partitions.values())
    }


def _values(entries: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry.value for name, entry in entries.items()}


def _differences(spec: TopicSpec, partitions: int | None, config: Mapping[str, str]) -> Iterator[Difference]:
    if partitions is None:
        yield Difference(spec.name, "topic", "to be there", None)
        return
    if partitions != spec.partitions:
        yield Difference(spec.name, "partitions", str(spec.partitions), str(partitions))
    for name in _COMPARED:
        if config.get(name) != spec.config[name]:
            yield Difference(spec.name, name, spec.config[name], config.get(name))


class _Reading:
    """Partitions on their way to their targets: the offsets that were their ends when the reading began."""

    def __init__(
        self, consumer: Consumer, targets: dict[int, int], patience_s: float, timeout_s: float, address: str
    ) -> None:
        self._consumer = consumer
        self._targets = targets
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._address = address
        self._at_end: set[int] = set()  # nothing committed follows, though the target may not be reached
        self._heard = time.monotonic()

    def records(self) -> Iterator[Message]:
        while self._targets and not self._waited_enough():
            for message in self._consumer.consume(1_000, timeout=0.1):
                if self._is_record(message):
                    yield message

    def _is_record(self, message: Message) -> bool:
        partition, offset, error = cast(int, message.partition()), cast(int, message.offset()), message.error()
        if error is None:
            self._heard = time.monotonic()
            self._at_end.discard(partition)
            self._reach(partition, offset + 1)
            return True
        if error.code() != KafkaError._PARTITION_EOF:
            raise Unreachable(f"reading from {self._address} failed: {error.str()}", "try again")
        self._at_end.add(partition)
        self._reach(partition, offset)
        return False

    def _reach(self, partition: int, offset: int) -> None:
        if offset >= self._targets.get(partition, offset + 1):
            del self._targets[partition]

    def _waited_enough(self) -> bool:
        silence = time.monotonic() - self._heard
        if silence > self._timeout_s:
            raise Unreachable(f"{self._address} sent nothing for {self._timeout_s:.0f} s", "try again")
        return silence > self._patience_s and self._at_end.issuperset(self._targets)


class _answering:  # noqa: N801 reads as `with _answering(address):`
    """Turns librdkafka's ways of getting no answer into :class:`Unreachable`."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise self._silent("no answer in time") from None
        if isinstance(error, KafkaException) and error.args[0].code() in _NO_ANSWER:
            raise self._silent(error.args[0].str()) from None

    def _silent(self, detail: str) -> Unreachable:
        return Unreachable(
            f"no Kafka answers at {self._address} ({detail})",
            "check WARDSTOCK_BOOTSTRAP_SERVERS and WARDSTOCK_KAFKA, or start one with `wardstock up`; "
            "`wardstock doctor` checks everything",
        )
