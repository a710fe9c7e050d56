"""Rules: which lots a quantity comes from, and whose they are.

A lot that is here under one owner is that owner's; else it is whose stock the location keeps. Without a lot, what
expires first goes first, of what has not expired, and what no lot covers comes from the lot ``UNKNOWN``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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


def _check_taken(turn: Turn, cause: Step, quantity: int, lots: list[LotKey]) -> None:
    if cause.lot is not None:
        turn.expect(Rule.LOT, "lots", [key_of(turn, cause.lot, cause.owner)], lots)
        return
    owner = cause.owner or expected_owner(turn)
    turn.expect(Rule.LOT, "owner of lots", {owner}, {key[1] for key in lots})
    if all(lot.change for lot in turn.entry.lots):
        expected = _by_expiry(turn, _first_out(turn, owner, quantity))
        found = _by_expiry(turn, {lot.lot: -lot.change for lot in turn.entry.lots})
        turn.expect(Rule.LOT, "taken by expiry, first expired first out", expected, found)


def _expiry(turn: Turn, lot: LotKey) -> date:
    return turn.book.expiries.get(lot) or date.max


def _cover(turn: Turn, lot: LotKey) -> int:
    """What may be taken of a lot without its being named."""
    expired = is_expired(turn.book.expiries.get(lot), day_of(turn.entry.decided_at))
    return 0 if expired else max(turn.book.lots.get(lot, 0), 0)


def _first_out(turn: Turn, owner: str | None, quantity: int) -> Counter[LotKey]:
    taken: Counter[LotKey] = Counter()
    own = [lot for lot in turn.book.lots if lot[1] == owner]
    for lot in sorted(own, key=lambda lot: _expiry(turn, lot)):
        taken[lot] = min(quantity, _cover(turn, lot))
        quantity -= taken[lot]
    taken[UNKNOWN, owner] += quantity
    return taken


def _by_expiry(turn: Turn, taken: Mapping[LotKey, int]) -> dict[date | str, int]:
    """Among lots that expire on one day it is the engine's choice; what no lot covers counts by itself."""
    parts: Counter[date | str] = Counter()
    for lot, quantity in taken.items():
        covered = min(quantity, _cover(turn, lot))
        parts[_expiry(turn, lot)] += covered
        parts[lot[0]] += quantity - covered
    return dict(+parts)
