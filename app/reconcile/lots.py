"""Rules: which lots a quantity comes from, and whose they are.

A lot that is here under one owner is that owner's; else it is whose stock the location keeps. Without a lot, what
expires first goes first, of what has not expired, and what no lot covers comes from the lot ``UNKNOWN``.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Final

from app.reconcile.book import day_of, is_expired
from app.reconcile.findings import Rule
from app.reconcile.history import LotKey, Step
from app.reconcile.turn import Turn

UNKNOWN: Final = "UNKNOWN"
_OUT: Final = frozenset({"USAGE", "ISSUE", "TRANSFER_OUT"})


def check_lots(turn: Turn, cause: Step, change: int) -> None:
    """``change`` is the change of stock that the event stands for. Raises ``Compacted``."""
    found = [lot.lot for lot in turn.entry.lots]
    if cause.kind in _OUT or (cause.kind == "ADJUSTMENT" and change < 0):
        _check_taken(turn, cause, -change, found)
    elif cause.kind == "PUT_AWAY":
        turn.expect(Rule.LOT, "lots", [(cause.lot or UNKNOWN, cause.owner)], found)
    elif cause.kind != "TRANSFER_IN" or cause.owner is not None:
        turn.expect(Rule.LOT, "lots", [key_of(turn, cause.lot or UNKNOWN, cause.owner)], found)
    else:
        turn.expect(Rule.LOT, "lots", [cause.lot or UNKNOWN], [name for name, _ in found])


def key_of(turn: Turn, lot: str, owner: str | None) -> LotKey:
    """The lot that a name means at this position. Raises ``Compacted``."""
    if owner is not None:
        return lot, owner
    expected, known = expected_owner(turn), {key[1] for key in turn.book.lots if key[0] == lot}
    return lot, expected if len(known) != 1 or expected in known else known.pop()


def expected_owner(turn: Turn) -> str | None:
    """Whose stock the location keeps: a supplier, or None for its own. Raises ``Compacted``."""
    policy = turn.policy()
    if policy is None or not policy.consigned:
        return None
    item = turn.item()
    return policy.consignor or (item.supplier if item else None)


def _check_taken(turn: Turn, cause: Step, quantity: int, found: list[LotKey]) -> None:
    if cause.lot is not None:
        turn.expect(Rule.LOT, "lots", [key_of(turn, cause.lot, cause.owner)], found)
        return
    owner = cause.owner or expected_owner(turn)
    turn.expect(Rule.LOT, "owner of lots", {owner}, {key[1] for key in found})
    if all(lot.change for lot in turn.entry.lots):
        taken = Counter({_expiry(turn, lot.lot): 0 for lot in turn.entry.lots})
        for lot in turn.entry.lots:
            taken[_expiry(turn, lot.lot)] -= lot.change
        turn.expect(Rule.LOT, "taken by expiry, first expired first out", _first_out(turn, owner, quantity), taken)


def _expiry(turn: Turn, lot: LotKey) -> date | str:
    """By what a lot has its turn; ties are the engine's choice. What no lot covers is a turn of its own."""
    if lot[0] == UNKNOWN and turn.book.lots.get(lot, 0) <= 0:
        return UNKNOWN
    return turn.book.expiries.get(lot) or date.max


def _first_out(turn: Turn, owner: str | None, quantity: int) -> Counter[date | str]:
    book, today = turn.book, day_of(turn.entry.decided_at)
    usable = sorted(
        (book.expiries.get(lot) or date.max, balance)
        for lot, balance in book.lots.items()
        if lot[1] == owner and balance > 0 and not is_expired(book.expiries.get(lot), today)
    )
    taken: Counter[date | str] = Counter()
    for expiry, balance in usable:
        part = min(quantity, balance)
        taken[expiry] += part
        quantity -= part
    taken[UNKNOWN] += quantity
    return +taken
