"""Differences between what was found and what must be: collected, counted in full, kept up to a cap."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

KEPT = 1_000  # differences with their details; a broken run may have millions


class Kind(StrEnum):
    """What is wrong with the books: something is missing, is there once too often, or is not what it must be."""

    LOST = "lost"
    DOUBLED = "doubled"
    WRONG = "wrong"


class Rule(StrEnum):
    """Which rule a difference breaks."""

    APPLIED_ONCE = "applied-once"  # a valid event ends in one ledger entry, exception, parked row or dead letter
    ID_CONFLICT = "id-conflict"  # the same id with another body raises one exception for each such message
    DEAD_LETTER = "dead-letter"  # a message that cannot be worked is kept byte for byte, once
    READABLE = "readable"  # every output can be decoded
    NUMBERS = "ledger-numbers"  # 1, 2, 3 … per key
    SUMS = "ledger-sums"  # changes add up to the state after each entry
    TABLE = "table"  # the last entry of a key is its row in the table
    QUANTITY = "quantity"  # what an event changed is its quantity times the unit's factor
    LOT = "lot"  # the lot named, else first expired first out; of the right owner
    COUNT = "count"  # a lot's balance is its last count plus the changes after it
    REVERSAL = "reversal"  # a reversal gives back what its original took
    CAUSED = "caused"  # ledger entries and outputs name each other, one to one
    AMOUNT = "amount"  # postings add up to the change of value, in whole cents
    TRANSFER = "transfer"  # what leaves one position arrives at the other
    TRIGGER = "trigger"  # triggers are those that the ledger and the policies give
    ORDER = "order"  # steps told to inventory are those that the order ledger says


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. ``key`` is a table's key, an event id, or topic/partition/offset, as ``what`` says."""

    kind: Kind
    rule: Rule
    what: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.kind} [{self.rule}] {self.key}: {self.what}; expected {self.expected}, found {self.found}"


class Findings:
    """Where the rules write down what they find."""

    def __init__(self) -> None:
        self.kept: list[Difference] = []
        self.counts: Counter[tuple[Kind, Rule]] = Counter()
        self.unverifiable: Counter[Rule] = Counter()
        self.wrong_positions: set[str] = set()

    def lost(
        self,
        rule: Rule,
        what: str,
        key: object,
        expected: object,
        found: object = "nothing",
        position: str | None = None,
    ) -> None:
        """Something that must be there is not. ``position`` is the key of the position that is wrong for it."""
        self._keep(Difference(Kind.LOST, rule, what, str(key), str(expected), str(found)), position)

    def doubled(
        self, rule: Rule, what: str, key: object, expected: object, found: object, position: str | None = None
    ) -> None:
        """Something is there more often than it must be."""
        self._keep(Difference(Kind.DOUBLED, rule, what, str(key), str(expected), str(found)), position)

    def wrong(
        self, rule: Rule, what: str, key: object, expected: object, found: object, position: str | None = None
    ) -> None:
        """Something is not what it must be."""
        self._keep(Difference(Kind.WRONG, rule, what, str(key), str(expected), str(found)), position)

    def cannot_tell(self, rule: Rule) -> None:
        """Count something that retention or compaction made impossible to check."""
        self.unverifiable[rule] += 1

    def total(self, kind: Kind) -> int:
        return sum(count for (found, _), count in self.counts.items() if found is kind)

    def _keep(self, difference: Difference, position: str | None) -> None:
        self.counts[difference.kind, difference.rule] += 1
        if position is not None:
            self.wrong_positions.add(position)
        if len(self.kept) < KEPT:
            self.kept.append(difference)
