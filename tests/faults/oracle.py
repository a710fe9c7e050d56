"""Says what is wrong with a drained run of the tally pipeline, from Kafka and the stores' files alone.

What is right follows from the input topics: each distinct deposit has one receipt, each bad one a dead letter, and an
account's receipts add up. Everything is read under read_committed to the high watermark, so a transaction that hangs
is found as well. Each finding is one sentence; none means that nothing was lost, doubled or wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import IsolationLevel, Message

from app.runtime.partitioner import partition_for
from app.runtime.state.store import Store, StoreResources
from tests.engine.tally import Tally
from tests.engine.topics import Broker, Place

Coordinates = tuple[str, int, int]

PROBE = b"probe"  # key and value of the record that is written to see whether it can be read
_SEGMENT_HEADER, _ID_BYTES, _ROW_BYTES = 8, 16, 24


@dataclass(frozen=True, slots=True)
class Given:
    """One distinct deposit of the input: its first message."""

    topic: str
    partition: int
    offset: int
    event_id: str
    account: str
    amount: int
    note: str

    @property
    def is_dead(self) -> bool:
        return self.note.startswith("raise")

    @property
    def is_late(self) -> bool:
        """It may be worked after what follows it: parked, or on its way from another partition."""
        return self.note.startswith("wait")


@dataclass(frozen=True, slots=True)
class Run:
    """What is judged. ``stores``: state directories of all workers there were; none of them runs any more."""

    broker: Broker
    tally: Tally
    partitions: int
    stores: Sequence[Path]

    def places(self, *topics: str) -> list[Place]:
        return [(topic, number) for topic in topics for number in range(self.partitions)]

    def read(self, *topics: str) -> list[Message]:
        return self.broker.read(self.places(*topics))


def findings(run: Run) -> list[str]:
    """All that is wrong with the run. Blocks while it reads."""
    given, broken = inputs(run)
    return [
        *receipt_findings(run, given),
        *dead_letter_findings(run, given, broken),
        *table_findings(run, given),
        *segment_findings(run, given),
        *offset_findings(run),
        *store_findings(run),
        *hanging_findings(run),
    ]


def inputs(run: Run) -> tuple[list[Given], dict[Coordinates, Message]]:
    """The distinct deposits, and the messages that are none."""
    given: dict[tuple[str, str], Given] = {}
    broken: dict[Coordinates, Message] = {}
    for message in run.read(run.tally.deposits.name, run.tally.transfers.name):
        fields = _fields(message)
        if fields is None:
            broken[_coordinates(message)] = message
            continue
        topic, partition, offset = _coordinates(message)
        known = (topic, fields["event_id"])
        given.setdefault(
            known,
            Given(
                topic,
                partition,
                offset,
                fields["event_id"],
                fields["account"],
                fields["amount"],
                fields.get("note", ""),
            ),
        )
    return list(given.values()), broken


def _fields(message: Message) -> dict[str, Any] | None:
    try:
        return dict(orjson.loads(message.value() or b""))
    except orjson.JSONDecodeError:
        return None


def _coordinates(message: Message) -> Coordinates:
    return message.topic() or "", message.partition() or 0, message.offset() or 0


# --- outputs ---


def receipt_findings(run: Run, given: Iterable[Given]) -> Iterator[str]:
    """One receipt for each deposit, running balances that add up, and each topic's order kept."""
    expected = {event.event_id: event for event in given if not event.is_dead}
    messages = run.read(run.tally.receipts.name)
    told = [orjson.loads(message.value() or b"") for message in messages if message.key() != PROBE]
    yield from _counted("receipt", expected, (receipt["event_id"].removesuffix("#0") for receipt in told))
    running: dict[str, int] = defaultdict(int)
    for receipt in told:
        event = expected.get(receipt["event_id"].removesuffix("#0"))
        account, balance = receipt["account"], receipt["balance"]
        running[account] += event.amount if event else 0
        if balance != running[account]:
            yield f"receipt {receipt['event_id']}: balance {balance}, by replay {running[account]}"
            running[account] = balance
    yield from _order_findings(run, expected, [receipt["event_id"].removesuffix("#0") for receipt in told])


def _counted(what: str, expected: Iterable[object], found: Iterable[object]) -> Iterator[str]:
    """The difference of two multisets; ``expected`` has each once."""
    want, have = Counter(iter(expected)), Counter(found)
    for name, count in (want - have).items():
        yield f"{what} {name}: lost ({count} too few)"
    for name, count in (have - want).items():
        yield f"{what} {name}: doubled or from nowhere ({count} too many)"


def _order_findings(run: Run, expected: Mapping[str, Given], told: Iterable[str]) -> Iterator[str]:
    reached: dict[tuple[str, str], int] = {}
    for event_id in told:
        event = expected.get(event_id)
        if event is None or event.is_late or event.partition != partition_for(event.account.encode(), run.partitions):
            continue
        if event.offset < reached.get((event.topic, event.account), -1):
            yield f"receipt {event_id}: told after that of a later deposit of {event.account}"
        reached[event.topic, event.account] = event.offset


def dead_letter_findings(run: Run, given: Iterable[Given], broken: Mapping[Coordinates, Message]) -> Iterator[str]:
    """One dead letter for each message that cannot be worked, with its bytes."""
    letters = [orjson.loads(message.value() or b"") for message in run.read(run.tally.dead_letters.name)]
    raised = {(event.topic, event.partition, event.offset) for event in given if event.is_dead}
    yield from _counted(
        "dead letter", raised | broken.keys(), ((row["topic"], row["partition"], row["offset"]) for row in letters)
    )
    for row in letters:
        original = broken.get((row["topic"], row["partition"], row["offset"]))
        if original is not None and (row["value"] or "").encode("latin-1") != (original.value() or b""):
            yield f"dead letter of {_coordinates(original)}: not its bytes"


# --- tables and offsets ---


def folded(messages: Iterable[Message]) -> dict[bytes, bytes]:
    """A compacted topic's last value of each key."""
    last = {message.key() or b"": message.value() for message in messages}
    return {key: value for key, value in last.items() if value is not None}


def table_findings(run: Run, given: Iterable[Given]) -> Iterator[str]:
    """The changelogs, folded, are the replay of the input."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    marks: dict[str, bool] = {}
    for event in given:
        if event.is_dead:
            continue
        sums[event.account][0] += event.amount
        sums[event.account][1] += 1
        if event.note.startswith("provides event:"):
            marks[event.note.removeprefix("provides event:")] = True
    pipeline = run.tally.pipeline
    yield from _differing("balance", sums, _decoded(run, pipeline.changelog("balances")))
    yield from _differing("mark", marks, _decoded(run, pipeline.changelog("marks")))
    yield from _differing("parked", {}, _decoded(run, pipeline.parked_changelog))


def _decoded(run: Run, changelog: str) -> dict[str, Any]:
    """A table's rows; a key that two partitions have is shown with both values, which none ought to be."""
    found: dict[str, Any] = {}
    for place in run.places(changelog):
        for key, value in folded(run.broker.read([place])).items():
            name, row = key.decode(), orjson.loads(value)
            found[name] = row if name not in found else ["twice", found[name], row]
    return found


def _differing(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            yield f"{what} {key!r}: {found.get(key)} in the changelog, by replay {expected.get(key)}"


def segment_findings(run: Run, given: Iterable[Given]) -> Iterator[str]:
    """Each id was remembered in one transaction, but for those among the dead letters."""
    expected = [_digest(event) for event in given if not event.is_dead]
    rows = [row for message in run.read(run.tally.pipeline.dedup_changelog) for row in _rows(message.value() or b"")]
    yield from _counted("remembered id", expected, (key for key, body in rows if body != bytes(len(body))))


def _digest(event: Given) -> bytes:
    return blake2b(f"{event.topic}\0{event.event_id}".encode(), digest_size=_ID_BYTES).digest()


def _rows(segment: bytes) -> Iterator[tuple[bytes, bytes]]:
    for at in range(_SEGMENT_HEADER, len(segment), _ROW_BYTES):
        yield segment[at : at + _ID_BYTES], segment[at + _ID_BYTES : at + _ROW_BYTES]


def offset_findings(run: Run) -> Iterator[str]:
    """The group has committed the end of every input partition."""
    places = run.places(*run.tally.pipeline.inputs)
    committed, ends = run.broker.committed(run.tally.pipeline.name, places), run.broker.ends(places)
    for place, end in ends.items():
        if end and committed[place] != end:
            yield f"{place}: committed {committed[place]}, its end is {end}"


def hanging_findings(run: Run) -> Iterator[str]:
    """No transaction is left open: the last stable offset is the end, and a plain record written now can be read."""
    pipeline = run.tally.pipeline
    places = run.places(run.tally.receipts.name, run.tally.dead_letters.name, pipeline.rekeyed, *pipeline.changelogs)
    stable = run.broker.ends(places, IsolationLevel.READ_COMMITTED)
    hanging = {place: end for place, end in run.broker.ends(places).items() if stable[place] != end}
    if hanging:
        yield from (f"{place}: stable to {stable[place]}, its end is {end}" for place, end in hanging.items())
        return
    probes = run.places(run.tally.receipts.name)
    for topic, number in probes:
        run.broker.producer.produce(topic, PROBE, PROBE, number)
    run.broker.producer.flush()
    answered = {(m.topic(), m.partition()) for m in run.broker.read(probes) if m.key() == PROBE}
    yield from _counted("probe", probes, answered)


# --- what lies on disk ---


def store_findings(run: Run) -> Iterator[str]:
    """Every store, also a former owner's, holds exactly its changelogs up to the offset that it says."""
    resources = StoreResources(8 << 20, 8 << 20)
    for directory in run.stores:
        for path in sorted(directory.glob("[0-9]*")):
            store = Store(path, [table.name for table in run.tally.pipeline.tables], resources)
            try:
                yield from _one_store_findings(run, store, int(path.name))
            finally:
                store.close()


def _one_store_findings(run: Run, store: Store, partition: int) -> Iterator[str]:
    pipeline = run.tally.pipeline
    for table in pipeline.tables:
        name = pipeline.changelog(table.name)
        there = folded(_up_to(run, (name, partition), store.offset(name) or 0))
        if dict(store.column(table.name).scan(b"")) != there:
            yield f"{store.path}: table {table.name} is not its changelog up to {store.offset(name)}"
    segments = _up_to(run, (pipeline.dedup_changelog, partition), store.offset(pipeline.dedup_changelog) or 0)
    ids = {key: body for message in segments for key, body in _rows(message.value() or b"")}
    kept = {
        key: body for name in store.columns() if name.startswith("dedup-") for key, body in store.column(name).scan(b"")
    }
    if kept != ids:
        yield f"{store.path}: its ids are not the segments up to {store.offset(pipeline.dedup_changelog)}"


def _up_to(run: Run, place: Place, offset: int) -> Iterator[Message]:
    return (message for message in run.broker.read([place]) if (message.offset() or 0) < offset)
