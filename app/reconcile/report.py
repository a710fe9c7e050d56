"""What a reconciliation says in the end: figures for people, and every difference."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents import topics
from app.reconcile.book import Book
from app.reconcile.findings import Difference, Findings, Kind
from app.reconcile.history import History


@dataclass(frozen=True, slots=True)
class Report:
    """Figures count since the beginning of the topics.

    ``events`` are the messages of the input topics, ``distinct`` the valid events among them (repeats and what became
    a dead letter not counted). ``lost``, ``duplicated`` and ``wrong`` count differences, all of them; ``differences``
    has the first 1,000. ``wrong_positions`` are positions with any difference in their ledger or row. ``triggers``
    were opened, ``triggers_cancelled`` withdrawn. ``positions_below`` have usable stock at or below their reorder
    level. ``unverifiable`` says by rule what retention or compaction left no evidence for.
    """

    events: int
    distinct: int
    lost: int
    duplicated: int
    wrong: int
    wrong_positions: int
    positions: int
    positions_below: int
    orders: int
    triggers: int
    triggers_cancelled: int
    postings: int
    notices: int
    exceptions: Mapping[str, int]
    dead_letters: Mapping[str, int]
    parked: int
    ledger_entries: int
    unverifiable: Mapping[str, int]
    differences_by_rule: Mapping[str, int]
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether the books balance."""
        return not (self.lost or self.duplicated or self.wrong)

    def figures(self) -> list[tuple[str, int]]:
        """Every figure with its name in words; those by kind, reason or rule one by one."""
        named = [
            ("messages on the input topics", self.events),
            ("distinct valid events", self.distinct),
            ("ledger entries", self.ledger_entries),
            ("positions", self.positions),
            ("positions at or below their reorder level", self.positions_below),
            ("purchase orders", self.orders),
            ("triggers opened", self.triggers),
            ("triggers withdrawn", self.triggers_cancelled),
            ("postings", self.postings),
            ("consignment notices", self.notices),
            ("parked events", self.parked),
        ]
        named += [(f"exceptions {kind}", count) for kind, count in self.exceptions.items()]
        named += [(f"dead letters {reason}", count) for reason, count in self.dead_letters.items()]
        return named + [(f"could not be checked: {rule}", count) for rule, count in self.unverifiable.items()]

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON, with ``ok``."""
        figures = {name: getattr(self, name) for name in self.__slots__ if name != "differences"}
        return {"ok": self.ok, **figures, "differences": list(self.differences)}


def report_of(history: History, findings: Findings, books: Mapping[str, Book], now: int) -> Report:
    """``now`` (ms, UTC) says which lots have expired."""
    return Report(
        events=sum(history.messages[topic.name] for topic in topics.INPUTS),
        distinct=_distinct(history),
        lost=findings.total(Kind.LOST),
        duplicated=findings.total(Kind.DOUBLED),
        wrong=findings.total(Kind.WRONG),
        wrong_positions=len(findings.wrong_positions),
        positions=len(history.positions),
        positions_below=sum(_is_below(history, book, now) for book in books.values()),
        orders=len(history.orders),
        triggers=sum(trigger.status == "OPEN" for trigger in history.triggers),
        triggers_cancelled=sum(trigger.status == "CANCELLED" for trigger in history.triggers),
        postings=len(history.postings),
        notices=len(history.notices),
        exceptions=_counted(raised.kind for raised in history.raised),
        dead_letters=_counted(letter.reason for letter in history.dead_letters),
        parked=len(history.parked),
        ledger_entries=len(history.entries) + len(history.order_entries),
        unverifiable=_counted(rule.value for rule in findings.unverifiable.elements()),
        differences_by_rule=_by_rule(findings),
        differences=tuple(findings.kept),
    )


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def _distinct(history: History) -> int:
    dead = {letter.place for letter in history.dead_letters}
    inputs = {topic.name for topic in topics.INPUTS}
    return sum(
        any(sent.flaw is None and sent.place not in dead for sent in copies)
        for (topic, _), copies in history.events.items()
        if topic in inputs
    )


def _is_below(history: History, book: Book, now: int) -> bool:
    policy = history.policies.latest(book.key)
    if policy is None or policy.consigned or policy.reorder_point is None:
        return False
    return book.usable(now) <= policy.reorder_point


def _counted(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _by_rule(findings: Findings) -> dict[str, int]:
    return {f"{kind} {rule}": count for (kind, rule), count in sorted(findings.counts.items())}
