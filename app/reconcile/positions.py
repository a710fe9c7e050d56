"""Rules about one position: its numbers, its sums, its row, and at each entry what that entry's event must do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Final, TypeVar

from app.reconcile.amounts import check_amounts
from app.reconcile.book import Book
from app.reconcile.effects import check_effects, remember
from app.reconcile.findings import Findings, Rule
from app.reconcile.history import AnyEntry, Compacted, Entry, PositionRow
from app.reconcile.outcomes import Outcomes
from app.reconcile.triggers import check_triggers
from app.reconcile.turn import Turn

E = TypeVar("E", bound=AnyEntry)


def by_key(entries: Iterable[E]) -> dict[str, list[E]]:
    """Each key's entries in the order of their numbers."""
    found: defaultdict[str, list[E]] = defaultdict(list)
    for entry in entries:
        found[entry.key].append(entry)
    for ledger in found.values():
        ledger.sort(key=attrgetter("number"))
    return dict(found)


def check_numbers(key: str, ledger: Sequence[AnyEntry], findings: Findings, position: str | None) -> int:
    """1, 2, 3 … without gap or repeat. Returns how many entries come before the first fault."""
    numbers = [entry.number for entry in ledger]
    if numbers == list(range(1, len(numbers) + 1)):
        return len(numbers)
    missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
    for number in missing:
        findings.lost(Rule.NUMBERS, f"ledger entry {number}", key, 1, 0, position)
    for earlier, later in pairwise(ledger):
        if earlier.number == later.number:
            ids = f"{earlier.event_id}, {later.event_id}"
            findings.doubled(Rule.NUMBERS, f"ledger entry {later.number}", key, 1, ids, position)
    if numbers[0] < 1:
        findings.wrong(Rule.NUMBERS, "the first number", key, 1, numbers[0], position)
    return next(place for place, number in enumerate([*numbers, None]) if number != place + 1)


def check_positions(outcomes: Outcomes, findings: Findings) -> dict[str, Book]:
    """Every position's ledger from end to end, then its row. Returns the books as they stand at the end."""
    history, books = outcomes.history, {}
    for key, ledger in by_key(history.entries).items():
        sound = check_numbers(key, ledger, findings, key)
        books[key] = _walk(key, ledger[:sound], outcomes, findings)
        # Behind a missing entry no state is known: say how much could not be looked at, instead of guessing.
        for _ in ledger[sound:]:
            findings.cannot_tell(Rule.SUMS)
        _check_row(ledger[-1], books[key] if sound == len(ledger) else None, history.positions.get(key), findings)
    for key in history.positions.keys() - books.keys():
        findings.wrong(Rule.TABLE, "a row without any ledger entry", key, "no row", "a row", key)
    return books


def _walk(key: str, ledger: Iterable[Entry], outcomes: Outcomes, findings: Findings) -> Book:
    book = Book(key)
    for entry in ledger:
        turn = Turn.of(book, entry, outcomes, findings)
        _check_sums(turn)
        for rule, check in _BEFORE.items():
            _attempt(rule, check, turn)
        remember(turn)
        book.believe(entry)
        _attempt(Rule.TRIGGER, check_triggers, turn)
    return book


def _attempt(rule: Rule, check: Callable[[Turn], None], turn: Turn) -> None:
    try:
        check(turn)
    except Compacted:
        turn.findings.cannot_tell(rule)


_BEFORE: Final[dict[Rule, Callable[[Turn], None]]] = {Rule.QUANTITY: check_effects, Rule.AMOUNT: check_amounts}


def _check_sums(turn: Turn) -> None:
    """Each state after an entry is the state before it and its change."""
    book, entry = turn.book, turn.entry
    balances = dict(book.lots)
    for lot in entry.lots:
        before = balances.get(lot.lot, 0)
        turn.expect(Rule.SUMS, f"balance of lot {_shown(lot.lot)}", before + lot.change, lot.balance)
        balances[lot.lot] = lot.balance
    owned = sum(lot.change for lot in entry.lots if lot.lot[1] is None)
    turn.expect(Rule.SUMS, "on hand", book.on_hand + owned, entry.on_hand)
    turn.expect(Rule.SUMS, "requested", book.requested + entry.requested_change, entry.requested)
    turn.expect(Rule.SUMS, "on order", book.on_order + entry.on_order_change, entry.on_order)
    turn.expect(Rule.SUMS, "in transit", book.in_transit + entry.in_transit_change, entry.in_transit)
    turn.expect(Rule.SUMS, "value", book.value + entry.value_change, entry.value)
    turn.expect(Rule.SUMS, "currency", book.currency or entry.currency, entry.currency)


def _check_row(last: Entry, book: Book | None, row: PositionRow | None, findings: Findings) -> None:
    """The table is what the last entry says, and of the lots what all entries say."""
    key = last.key
    if row is None:
        findings.lost(Rule.TABLE, "the row", key, f"entry {last.number}", "no row", key)
        return
    for name in ("number", "requested", "on_order", "in_transit", "value"):
        expected, found = getattr(last, name), getattr(row, name)
        if expected != found:
            findings.wrong(Rule.TABLE, f"{name} in the row", key, expected, found, key)
    if book is None:
        return
    for lot in sorted(book.lots.keys() | row.lots.keys(), key=_shown):
        expected, found = book.lots.get(lot, 0), row.lots.get(lot, 0)
        if expected != found:
            findings.wrong(Rule.TABLE, f"balance of lot {_shown(lot)} in the row", key, expected, found, key)


def _shown(lot: tuple[str, str | None]) -> str:
    return lot[0] if lot[1] is None else f"{lot[0]} of {lot[1]}"
