"""Rule: every event that arrived ended in exactly one place, and what could not be worked is kept as it came.

The fate of a message is found by its coordinates, which ledgers, exceptions, parked rows and dead letters all name;
a message that went on to another partition keeps those of where it was first read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.reconcile.findings import Findings, Rule
from app.reconcile.history import AnyEntry, DeadLetter, Entry, EventKey, History, Message, Place, Sent

_CONFLICT = "ID_CONFLICT"


@dataclass(slots=True)
class _Fates:
    """What became of each message, by where it lies: one item for each time that something became of it."""

    decided: defaultdict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    conflicts: Counter[Place] = field(default_factory=Counter)
    dead: set[Place] = field(default_factory=set)


def check_arrivals(history: History, findings: Findings) -> None:
    """Valid events against their fates, then dead letters against the messages they must hold."""
    fates = _fates_of(history)
    for event, copies in history.events.items():
        _check_event(event, copies, fates, findings)
    _check_dead_letters(history, findings)
    _check_nothing_invented(history, fates, findings)
    for entry in history.ledgers():
        _check_source(entry, history, findings)


def _fates_of(history: History) -> _Fates:
    fates = _Fates(dead={letter.place for letter in history.dead_letters})
    for entry in history.ledgers():
        fates.decided[entry.source].append(f"ledger entry {entry.event_id}")
    for place in history.parked:
        fates.decided[place].append("parked")
    _refusals(history, fates)
    return fates


def _refusals(history: History, fates: _Fates) -> None:
    """Several exceptions may refuse one event, one for each of its lines; the same one twice is a doubled effect."""
    refused: defaultdict[Place, list[str]] = defaultdict(list)
    for raised in history.raised:
        if raised.kind == _CONFLICT:
            fates.conflicts[raised.source] += 1
        elif not raised.applied:
            refused[raised.source].append(raised.event_id)
    for place, ids in refused.items():
        times = max(Counter(ids).values())
        fates.decided[place].extend([f"refused by {ids[0]}"] * times)


def _check_event(event: EventKey, copies: list[Sent], fates: _Fates, findings: Findings) -> None:
    """One event id of one topic, with all messages that carry it."""
    workable = [sent for sent in copies if sent.flaw is None and sent.place not in fates.dead]
    decided = [(sent, fate) for sent in copies for fate in fates.decided.get(sent.place, ())]
    name = f"{event[0]}:{event[1]}"
    if not decided:
        if workable:
            findings.lost(Rule.APPLIED_ONCE, "a valid event that nothing came of", name, "one fate", _places(workable))
        return
    if len(decided) > 1:
        fates_found = ", ".join(f"{sent.place}: {fate}" for sent, fate in decided)
        findings.doubled(Rule.APPLIED_ONCE, "an event that took effect more than once", name, "one fate", fates_found)
    accepted = decided[0][0]
    _check_accepted(name, accepted, fates, findings)
    _check_first(name, accepted, workable, findings)
    for sent in workable:
        _check_conflict(sent, accepted, fates, findings)


def _check_accepted(name: str, accepted: Sent, fates: _Fates, findings: Findings) -> None:
    if accepted.flaw is not None:
        findings.wrong(Rule.APPLIED_ONCE, f"{accepted.place}: not valid ({accepted.flaw})", name, "no effect", "one")
    if accepted.place in fates.dead:
        findings.doubled(Rule.APPLIED_ONCE, f"{accepted.place}: has a dead letter as well", name, "one fate", "two")


def _check_first(name: str, accepted: Sent, workable: list[Sent], findings: Findings) -> None:
    """Of the messages with one id, the first counts (within a partition; between partitions there is no order)."""
    earlier = [
        sent
        for sent in workable
        if sent.place.partition == accepted.place.partition and sent.place.offset < accepted.place.offset
    ]
    if earlier:
        findings.wrong(Rule.ID_CONFLICT, "a later message was applied", name, earlier[0].place, accepted.place)


def _check_conflict(sent: Sent, accepted: Sent, fates: _Fates, findings: Findings) -> None:
    expected, found = int(sent.body != accepted.body), fates.conflicts.get(sent.place, 0)
    name = f"{sent.place} ({sent.event_id})"
    what = f"exceptions for an id that {accepted.place} has with {'another' if expected else 'the same'} body"
    if found < expected:
        findings.lost(Rule.ID_CONFLICT, what, name, expected, found)
    elif found > expected and expected:
        findings.doubled(Rule.ID_CONFLICT, what, name, expected, found)
    elif found > expected:
        findings.wrong(Rule.ID_CONFLICT, what, name, expected, found)


def _check_dead_letters(history: History, findings: Findings) -> None:
    letters: defaultdict[Place, list[DeadLetter]] = defaultdict(list)
    for letter in history.dead_letters:
        letters[letter.place].append(letter)
    for place, found in letters.items():
        if len(found) > 1:
            findings.doubled(Rule.DEAD_LETTER, "dead letters of one message", place, 1, len(found))
        _check_letter(found[0], history, findings)
    for place, why in _must_be_dead(history):
        if place not in letters:
            findings.lost(Rule.DEAD_LETTER, f"a message that cannot be worked ({why})", place, "one dead letter")


def _must_be_dead(history: History) -> Iterable[tuple[Place, str]]:
    yield from history.unreadable.items()
    yield from ((sent.place, sent.flaw) for sent in history.sent.values() if sent.flaw is not None)


def _check_letter(letter: DeadLetter, history: History, findings: Findings) -> None:
    original = history.originals.get(letter.place)
    if original is None:
        _invented(letter.place, "a dead letter", history, findings)
        return
    for part in ("value", "key", "headers", "timestamp"):
        expected, found = getattr(original, part), getattr(letter.original, part)
        if expected != found:
            findings.wrong(Rule.DEAD_LETTER, f"{part} is not as it came", letter.place, repr(expected), repr(found))
    expected_reason = _reason(letter, history, original)
    if letter.reason != expected_reason:
        findings.wrong(Rule.DEAD_LETTER, "the reason", letter.place, expected_reason, letter.reason)


def _reason(letter: DeadLetter, history: History, original: Message) -> str:
    if letter.place in history.unreadable:
        return history.unreadable[letter.place]
    return "INVALID" if history.sent[original.place].flaw else "AGENT_ERROR"


def _check_nothing_invented(history: History, fates: _Fates, findings: Findings) -> None:
    for place, what in fates.decided.items():
        if place in history.unreadable:
            findings.wrong(Rule.APPLIED_ONCE, "an unreadable message took effect", place, "a dead letter", what[0])
        elif place not in history.sent:
            _invented(place, what[0], history, findings)
    for place in fates.conflicts:
        if place not in history.sent:
            _invented(place, "an id conflict", history, findings)


def _invented(place: Place, what: str, history: History, findings: Findings) -> None:
    """Retention removes inputs long before ledgers: what is below the log's start cannot be told."""
    if place.offset < history.low.get((place.topic, place.partition), 0):
        findings.cannot_tell(Rule.APPLIED_ONCE)
    else:
        findings.wrong(Rule.APPLIED_ONCE, f"{what} names a message that does not exist", place, "a message", "none")


def _check_source(entry: AnyEntry, history: History, findings: Findings) -> None:
    """An entry must say of its event what the event says of itself."""
    sent = history.sent.get(entry.source)
    if sent is None:
        return
    record = sent.record
    expected = (sent.event_id, f"{entry.source.topic}/{sent.event_id}#0", sent.timestamp, record.key, record.kind)
    found = (entry.causation_id, entry.event_id, entry.decided_at, entry.key, entry.kind)
    if expected != found:
        findings.wrong(
            Rule.APPLIED_ONCE, f"the entry of {entry.source}", entry.event_id, expected, found, _position(entry)
        )


def _position(entry: AnyEntry) -> str | None:
    return entry.key if isinstance(entry, Entry) else None


def _places(sent: list[Sent]) -> str:
    return f"nothing (at {', '.join(str(one.place) for one in sent)})"
