"""Rule: ledger entries and outputs name each other, one to one.

Each output that an entry says it caused is there once, and each output of a kind that only an applied event has is
named by one entry. Outputs carry the entry's name with their own place: ``<topic>/<event id>#<n>``, 0 is the entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from agents import topics
from app.reconcile.findings import Findings, Rule
from app.reconcile.history import AnyEntry, Entry, History
from app.reconcile.outcomes import prefix_of


def check_causes(history: History, findings: Findings) -> None:
    """Both directions, and the places in each entry's outputs."""
    found = Counter(_found(history))
    named: Counter[str] = Counter()
    for entry in history.ledgers():
        _check_names(entry, findings)
        named.update(entry.caused)
        for output in entry.caused:
            _check_there(entry, output, found, history, findings)
    for output, times in found.items():
        _check_once(output, times, named[output], findings)
    for place, why in history.unreadable_outputs:
        findings.wrong(Rule.READABLE, why, place, "a readable record", "none")


def _found(history: History) -> Iterable[str]:
    """Each output that an applied event must have named, as ledgers name it."""
    yield from (f"{topics.postings.name}:{posting.event_id}" for posting in history.postings)
    yield from (f"{topics.notices.name}:{notice.event_id}" for notice in history.notices)
    yield from (f"{topics.triggers.name}:{trigger.event_id}" for trigger in history.triggers)
    yield from (f"{topics.exceptions.name}:{raised.event_id}" for raised in history.raised if raised.applied)
    yield from (
        f"{topic}:{event_id}"
        for (topic, event_id), copies in history.events.items()
        if topic == topics.inbound.name
        for _ in copies
    )


def _check_names(entry: AnyEntry, findings: Findings) -> None:
    """All outputs of an entry, once each, with the places 1, 2, 3 …"""
    prefix = prefix_of(entry.event_id)
    expected = {f"{prefix}#{place}" for place in range(1, len(entry.caused) + 1)}
    found = [output.partition(":")[2] for output in entry.caused]
    if expected != set(found) or len(found) != len(expected):
        findings.wrong(Rule.CAUSED, "the names of its outputs", entry.event_id, sorted(expected), found, _at(entry))


def _check_there(entry: AnyEntry, output: str, found: Counter[str], history: History, findings: Findings) -> None:
    if output in found:
        return
    topic = output.partition(":")[0]
    if entry.decided_at < history.kept_since.get(topic, 0):
        findings.cannot_tell(Rule.CAUSED)
    else:
        findings.lost(Rule.CAUSED, f"{output}, which its ledger entry names", entry.event_id, 1, 0, _at(entry))


def _check_once(output: str, times: int, named: int, findings: Findings) -> None:
    if times > 1:
        findings.doubled(Rule.CAUSED, "an output", output, 1, times)
    if named == 0:
        findings.wrong(Rule.CAUSED, "an output that no ledger entry names", output, "one entry", "none")
    if named > 1:
        findings.doubled(Rule.CAUSED, "ledger entries that name one output", output, 1, named)


def _at(entry: AnyEntry) -> str | None:
    return entry.key if isinstance(entry, Entry) else None
