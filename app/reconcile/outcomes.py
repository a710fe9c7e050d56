"""What each event put out, found by what the ids of its outputs begin with: ``<topic>/<event id>``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from agents import topics
from app.reconcile.history import AnyEntry, Entry, History, Notice, Place, Posting, Raised, Sent, Step, Trigger


class _Output(Protocol):
    @property
    def event_id(self) -> str: ...


O = TypeVar("O", bound=_Output)  # noqa: E741  the letter of an output


def prefix_of(event_id: str) -> str:
    """What the ids of all outputs of one event share."""
    return event_id.rpartition("#")[0]


def _by_event(outputs: Iterable[O]) -> dict[str, list[O]]:
    once = {output.event_id: output for output in outputs}
    found: defaultdict[str, list[O]] = defaultdict(list)
    for output in once.values():
        found[prefix_of(output.event_id)].append(output)
    return dict(found)


def _repeats(raised: Iterable[Raised]) -> dict[Place, set[str]]:
    found: defaultdict[Place, set[str]] = defaultdict(set)
    for one in raised:
        if one.kind == "REPEATED_DELIVERY_NOTE":
            found[one.source].add(one.event_id)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Look-ups over a history; of an output that was found twice, the last."""

    history: History
    postings: dict[str, list[Posting]]
    notices: dict[str, list[Notice]]
    triggers: dict[str, list[Trigger]]
    steps: dict[str, list[Sent]]
    repeated: dict[Place, set[str]]
    entries: dict[str, Entry] = field(repr=False)

    @classmethod
    def of(cls, history: History) -> Outcomes:
        inbound = (copies[0] for (topic, _), copies in history.events.items() if topic == topics.inbound.name)
        return cls(
            history,
            _by_event(history.postings),
            _by_event(history.notices),
            _by_event(history.triggers),
            _by_event(inbound),
            _repeats(history.raised),
            {prefix_of(entry.event_id): entry for entry in history.entries},
        )

    def postings_of(self, entry: AnyEntry) -> list[Posting]:
        return self.postings.get(prefix_of(entry.event_id), [])

    def notices_of(self, entry: AnyEntry) -> list[Notice]:
        return self.notices.get(prefix_of(entry.event_id), [])

    def triggers_of(self, entry: AnyEntry) -> list[Trigger]:
        return self.triggers.get(prefix_of(entry.event_id), [])

    def steps_of(self, entry: AnyEntry) -> list[Step]:
        """What it told other positions."""
        sent = self.steps.get(prefix_of(entry.event_id), [])
        return [one.record for one in sent if isinstance(one.record, Step)]

    def repeats_of(self, entry: AnyEntry) -> int:
        """How many of its event's delivery lines were raised as seen before."""
        return len(self.repeated.get(entry.source, ()))

    def cause_of(self, entry: AnyEntry) -> Sent | None:
        """The event that ``entry`` applied; None where retention removed it, or it never was."""
        return self.history.sent.get(entry.source)

    def root_of(self, entry: Entry) -> Entry:
        """Where a chain of reversals began; ``entry`` itself where it reverses nothing known."""
        seen = {entry.event_id}
        while entry.reverses and (earlier := self.reversed_by(entry)) and earlier.event_id not in seen:
            entry = earlier
            seen.add(entry.event_id)
        return entry

    def reversed_by(self, entry: Entry) -> Entry | None:
        """The entry of what ``entry`` takes back: an event of the same topic."""
        return self.entries.get(f"{entry.source.topic}/{entry.reverses}")
