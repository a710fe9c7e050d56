"""Between the engine and the domain: how an event is told to a rule, and how what the rule says goes out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from agents import topics
from app.domain.decisions import Source
from app.domain.exceptions import id_conflict as conflicting
from app.domain.outputs import TOPICS, Output
from app.runtime.batch import Batch, Event
from app.runtime.topics import Topic
from tables.master import reference

_TOPIC_OF: Final[dict[type[Any], Topic]] = {
    record: topic for topic in topics.ALL for record, name in TOPICS.items() if topic.name == name
}


def source_of(event: Event) -> Source:
    """Where the event was first read, and when it counts as decided: its record timestamp."""
    return Source(event.topic.name, event.partition, event.offset, event.timestamp, event.overdue)


def publish(batch: Batch, outputs: Iterable[Output]) -> None:
    """Emit each output to the topic of its type, in order."""
    for output in outputs:
        batch.emit(_TOPIC_OF[type(output)], output)


def id_conflict(event: Event) -> tuple[Topic, Any]:
    """What to emit for an event whose id came before with other content."""
    return topics.exceptions, conflicting(event.value, source_of(event), reference.version)
