"""Rules: what an entry changed is what its event says, times the unit's factor; counts and reversals by the lot.

A lot's balance is its last count plus the changes that occurred after it, in whatever order they arrived. So a change
that occurred before the last count must be nothing, and a count must leave its own figure plus the later changes.
"""

from __future__ import annotations

from typing import Final

from app.reconcile.findings import Rule
from app.reconcile.history import LotKey, Step
from app.reconcile.lots import check_lots, key_of
from app.reconcile.turn import Turn

OUTWARD: Final = frozenset({"USAGE", "ISSUE", "TRANSFER_OUT"})
REVERSALS: Final = frozenset({"USAGE_REVERSAL", "REVERSAL"})
HORIZON_MS: Final = 30 * 24 * 60 * 60 * 1000
WITHOUT_LOTS: Final = frozenset({"ORDERED", "TRANSFER_SENT"})


def check_effects(turn: Turn) -> None:
    """Lots, on order and in transit of one entry. Raises ``Compacted`` where its master data are gone."""
    kind, cause = turn.entry.kind, turn.cause
    if cause is None:
        turn.findings.cannot_tell(Rule.QUANTITY)
        return
    turn.expect(Rule.QUANTITY, "when it occurred", cause.occurred_at, turn.entry.occurred_at)
    if kind == "COUNT":
        _check_count(turn, cause)
    elif kind in REVERSALS:
        _check_reversal(turn, cause)
    elif kind in WITHOUT_LOTS:
        turn.expect(Rule.QUANTITY, "lots changed", 0, len(turn.entry.lots))
    else:
        _check_quantity(turn, cause)
    _check_effect(turn, cause)
    _check_on_order(turn, cause)
    _check_in_transit(turn, cause)


def nominal(turn: Turn, cause: Step) -> int | None:
    """The change of stock that the event stands for, in base units; None where it has no whole number of them."""
    base = turn.base(cause.quantity, cause.uom)
    return -base if base is not None and cause.kind in OUTWARD else base


def remember(turn: Turn) -> None:
    """Put the entry's changes and counts on its lots' timelines, for the entries to come."""
    book, mark = turn.book, turn.mark
    if turn.entry.kind != "COUNT":
        for lot in turn.entry.lots:
            book.timelines[lot.lot].add(mark, lot.change)
        return
    for lot in turn.entry.lots:
        timeline = book.timelines[lot.lot]
        timeline.counted = max(timeline.counted, mark)
    if turn.cause is None:
        book.unknown_count = max(book.unknown_count, mark)
    elif turn.cause.full_count:
        book.full_count = max(book.full_count, mark)


def _check_quantity(turn: Turn, cause: Step) -> None:
    expected = nominal(turn, cause)
    if expected is None:
        turn.expect(Rule.QUANTITY, f"{cause.quantity} {cause.uom}", "a whole number of base units", "applied")
        return
    check_lots(turn, cause, expected)
    late = [lot for lot in turn.entry.lots if turn.mark <= turn.book.counted(lot.lot)]
    if is_forgotten(turn):
        turn.findings.cannot_tell(Rule.COUNT)
        return
    for lot in late:
        turn.expect(Rule.COUNT, f"lot {lot.lot[0]}: change from before its last count", 0, lot.change)
    found = sum(lot.change for lot in turn.entry.lots)
    if not late:
        turn.expect(Rule.QUANTITY, "change of stock", expected, found)
    elif len(late) < len(turn.entry.lots) and not 0 < found / expected < 1:
        turn.expect(Rule.QUANTITY, "change of stock", f"a part of {expected}", found)


def _check_effect(turn: Turn, cause: Step) -> None:
    if is_forgotten(turn):
        return
    late = [turn.mark <= turn.book.counted(lot.lot) for lot in turn.entry.lots]
    if cause.kind != "COUNT":
        expected = "BEFORE_COUNT" if late and all(late) else "APPLIED"
    elif cause.full_count and turn.mark > turn.book.full_count:
        expected = "APPLIED"
    else:
        expected = "SUPERSEDED" if all(late) else "APPLIED"
    turn.expect(Rule.COUNT, "effect", expected, turn.entry.effect)


def is_forgotten(turn: Turn) -> bool:
    """So old that nobody knows which counts came after it: an engine need not, or their messages are gone."""
    return turn.mark[0] < turn.entry.decided_at - HORIZON_MS or turn.mark <= turn.book.unknown_count


def _check_reversal(turn: Turn, cause: Step) -> None:
    turn.expect(Rule.REVERSAL, "what it reverses", cause.reverses, turn.entry.reverses)
    if turn.original is None:
        turn.findings.lost(
            Rule.REVERSAL, f"the entry of {cause.reverses}, which was reversed", turn.entry.event_id, 1, 0
        )
        return
    expected = {lot.lot: 0 if turn.mark <= turn.book.counted(lot.lot) else -lot.change for lot in turn.original.lots}
    turn.expect(Rule.REVERSAL, "changes given back", expected, {lot.lot: lot.change for lot in turn.entry.lots})


def _check_count(turn: Turn, cause: Step) -> None:
    if is_forgotten(turn):
        turn.findings.cannot_tell(Rule.COUNT)
        return
    changed = {lot.lot: lot for lot in turn.entry.lots}
    counted: set[LotKey] = set()
    for row in cause.counted:
        key = key_of(turn, row.lot, row.owner)
        counted.add(key)
        quantity = turn.base(row.quantity, cause.uom)
        if quantity is None:
            turn.expect(Rule.QUANTITY, f"{row.quantity} {cause.uom}", "a whole number of base units", "applied")
        else:
            _check_counted(turn, key, quantity)
    unlisted = [lot for lot in turn.book.lots if lot not in counted] if cause.full_count else []
    for key in unlisted:
        _check_counted(turn, key, 0)
    strays = changed.keys() - counted - set(unlisted)
    turn.expect(Rule.COUNT, "lots that were not counted", [], sorted(map(str, strays)))


def _check_counted(turn: Turn, key: LotKey, quantity: int) -> None:
    before = turn.book.lots.get(key, 0)
    found = next((lot.balance for lot in turn.entry.lots if lot.lot == key), before)
    superseded = turn.mark <= turn.book.counted(key)
    expected = before if superseded else quantity + turn.book.timelines[key].after(turn.mark)
    turn.expect(Rule.COUNT, f"balance of lot {key[0]}", expected, found)


def _check_on_order(turn: Turn, cause: Step) -> None:
    cleared = 0 if cause.owner else -cause.on_order_cleared  # consigned stock is in no owned figure
    expected = {"ORDERED": cause.quantity, "PUT_AWAY": cleared}.get(cause.kind, 0)
    turn.expect(Rule.QUANTITY, "change of on order", expected, turn.entry.on_order_change)


def _check_in_transit(turn: Turn, cause: Step) -> None:
    if cause.kind in REVERSALS:
        expected = -turn.original.in_transit_change if turn.original else turn.entry.in_transit_change
    elif cause.kind == "TRANSFER_SENT":
        expected = 0 if cause.owner else cause.quantity
    elif cause.kind == "TRANSFER_IN" and all(lot.lot[1] is None for lot in turn.entry.lots):
        expected = -(nominal(turn, cause) or 0)
    else:
        expected = 0
    turn.expect(Rule.TRANSFER, "change of in transit", expected, turn.entry.in_transit_change)
