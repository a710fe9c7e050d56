"""The job that both sides do: drop repeated usages, keep the position of each key, post each usage to finance.

Everything here is shared, so that the two differ in nothing but what carries the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from agents.topics import dead_letters
from app.contracts.codec import AvroCodec
from app.contracts.registry import LocalRegistry
from app.contracts.schemas import schema_text, subject_of
from app.runtime.agents import agent
from app.runtime.batch import Batches, Event
from app.runtime.pipeline import Pipeline
from app.runtime.state.table import Table
from app.runtime.topics import Topic

TABLE: Final = "positions"
_SCHEMAS: Final = Path(__file__).parent / "schemas"


@dataclass(frozen=True, slots=True)
class Usage:
    """Something was used on a ward. Times in ms since the epoch, quantity in base units."""

    event_id: str
    occurred_at: int
    recorded_at: int
    facility: str
    location: str
    item: str
    quantity: int
    cost_center: str


@dataclass(frozen=True, slots=True)
class Posting:
    """What one usage means for finance; ``number`` and ``on_hand`` are its position's after it."""

    event_id: str
    occurred_at: int
    facility: str
    location: str
    item: str
    quantity: int
    cost_center: str
    number: int
    on_hand: int


@dataclass(frozen=True, slots=True)
class Position:
    """``used`` sums all usages; ``on_hand`` starts at 0, so that it ends below."""

    number: int
    on_hand: int
    used: int
    last_event_id: str
    last_occurred_at: int


NOTHING: Final = Position(0, 0, 0, "", 0)


def key_of(record: Any) -> str:
    return f"{record.facility}|{record.location}|{record.item}"


def dump(position: Position) -> bytes:
    return orjson.dumps(
        {
            "number": position.number,
            "on_hand": position.on_hand,
            "used": position.used,
            "last_event_id": position.last_event_id,
            "last_occurred_at": position.last_occurred_at,
        }
    )


def load(raw: bytes) -> Position:
    return Position(**orjson.loads(raw))


def decide(position: Position, usage: Usage) -> tuple[Position, Posting]:
    """The rule: one more usage of this position, and the posting that follows."""
    number, on_hand = position.number + 1, position.on_hand - usage.quantity
    posting = Posting(
        f"{usage.event_id}#0", usage.occurred_at, usage.facility, usage.location, usage.item, usage.quantity,
        usage.cost_center, number, on_hand,
    )  # fmt: skip
    return Position(number, on_hand, position.used + usage.quantity, usage.event_id, usage.occurred_at), posting


@dataclass(frozen=True, slots=True)
class Job:
    """One run's place on the cluster: it reads ``usage``, all other topics are its own and begin with its name."""

    name: str
    usage: Topic
    postings: Topic
    pipeline: Pipeline


def job(name: str, usage_topic: str) -> Job:
    """The job called ``name`` on the usages in ``usage_topic``, as a pipeline of the engine."""
    usage = Topic(usage_topic, Usage, "position", key_of, "bench", ("bench",), id_of=lambda u: str(u.event_id))
    postings = Topic(f"{name}.postings", Posting, "position", key_of, "bench", ("bench",))
    letters = Topic(f"{name}.dead-letters", dead_letters.record, dead_letters.key, dead_letters.key_of, "bench", ())
    positions: Table[Position] = Table(TABLE, dump=dump, load=load)

    def conflict(event: Event) -> tuple[Topic, Any]:
        raise ValueError(f"{event.key}: two usages have the id {event.value.event_id}; the bench makes no such events")

    @agent(usage, owns=(positions,), conflict=conflict)
    async def keep_positions(batches: Batches) -> None:
        async for batch in batches:
            for event in batch:
                position, posting = decide(positions.get(event.key) or NOTHING, event.value)
                positions.put(event.key, position)
                batch.emit(postings, posting)

    return Job(name, usage, postings, Pipeline(name, (keep_positions,), letters))


# --- contracts -------------------------------------------------------------------------------------------------------


def text_of(topic: Topic) -> str:
    """The topic's Avro schema: this package's own, the product's for dead letters."""
    if topic.record is dead_letters.record:
        return schema_text(dead_letters)
    return (_SCHEMAS / f"{topic.record.__name__}.avsc").read_text(encoding="utf-8")


def codec_of(work: Job) -> AvroCodec:
    """The product's codec. Its registry is in memory, so that nothing is left in a real one.

    Every process registers the same schemas in the same order, so all of them mean the same by an id.
    """
    registry, topics = LocalRegistry(), (work.usage, work.postings, work.pipeline.dead_letters)
    for topic in topics:
        registry.register(subject_of(topic), text_of(topic))
    return AvroCodec(registry, topics, text_of)
