"""One ledger entry's turn to be checked: the state before it, its event, and what it put out."""

from __future__ import annotations

from dataclasses import dataclass

from agents import topics
from app.reconcile.book import Book, Mark
from app.reconcile.findings import Findings, Rule
from app.reconcile.history import Entry, Item, Notice, Policy, Posting, Step, Trigger, version_of
from app.reconcile.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Turn:
    """``cause`` is None where retention removed the event, ``original`` where the entry reverses nothing known."""

    book: Book
    entry: Entry
    cause: Step | None
    original: Entry | None
    postings: list[Posting]
    notices: list[Notice]
    triggers: list[Trigger]
    steps: list[Step]
    original_postings: list[Posting]
    findings: Findings
    _outcomes: Outcomes

    @classmethod
    def of(cls, book: Book, entry: Entry, outcomes: Outcomes, findings: Findings) -> Turn:
        sent = outcomes.cause_of(entry)
        original = outcomes.reversed_by(entry) if entry.reverses else None
        return cls(
            book,
            entry,
            sent.record if sent and isinstance(sent.record, Step) else None,
            original,
            outcomes.postings_of(entry),
            outcomes.notices_of(entry),
            outcomes.triggers_of(entry),
            outcomes.steps_of(entry),
            outcomes.postings_of(original) if original else [],
            findings,
            outcomes,
        )

    @property
    def root(self) -> Entry:
        """The entry that it reverses in the end, through reversals of reversals; else itself."""
        return self._outcomes.root_of(self.entry) if self.original else self.entry

    @property
    def mark(self) -> Mark:
        """Where its changes stand among those of a lot; a reversal stands where its original stands, unless a count."""
        root = self.root
        stands = self.entry if root.kind == "COUNT" else root
        return stands.occurred_at, stands.causation_id

    def may_lack(self, entry: Entry, *names: str) -> bool:
        """Whether retention may have removed what ``entry`` put out to these topics."""
        kept_since = self._outcomes.history.kept_since
        return any(entry.decided_at < kept_since.get(name, 0) for name in names)

    def cause_of(self, entry: Entry) -> Step | None:
        """The event of another entry; None where retention removed it."""
        sent = self._outcomes.cause_of(entry)
        return sent.record if sent and isinstance(sent.record, Step) else None

    def item(self) -> Item | None:
        """The item as of the entry's master version. Raises ``Compacted``."""
        name = self.entry.key.rsplit("|", 1)[1]
        return self._outcomes.history.items.at(name, version_of(self.entry.master_version, topics.items.name))

    def policy(self) -> Policy | None:
        """The position's policy as of the entry's master version. Raises ``Compacted``."""
        version = version_of(self.entry.master_version, topics.item_locations.name)
        return self._outcomes.history.policies.at(self.entry.key, version)

    def base(self, quantity: int, uom: str | None) -> int | None:
        """The quantity in base units; None where that is no whole number, or the unit unknown. Raises ``Compacted``."""
        if uom is None:
            return quantity
        item = self.item()
        factor = item.factors.get(uom) if item else None
        exact = None if factor is None else quantity * factor
        return exact.numerator if exact is not None and exact.denominator == 1 else None

    def expect(self, rule: Rule, what: str, expected: object, found: object) -> None:
        """Write down a difference unless the two are equal."""
        if expected != found:
            name = f"{self.entry.key} entry {self.entry.number} ({self.entry.kind} {self.entry.causation_id})"
            self.findings.wrong(rule, what, name, expected, found, self.entry.key)
