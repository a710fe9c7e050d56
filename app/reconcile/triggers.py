"""Rule: triggers are those that follow from the ledger, and no others.

Replayed in the order of the entries: at inventory position <= s, with nothing requested, a trigger opens for
``multiple * ceil(max(S - position, minimum order) / multiple)``; an order that names it closes it; it is withdrawn
where without it the position is above s. Usable stock is what has not expired on the day of the decision.
"""

from __future__ import annotations

from typing import NamedTuple

from agents import topics
from app.reconcile.findings import Rule
from app.reconcile.history import Policy, Trigger
from app.reconcile.turn import Turn


class Expected(NamedTuple):
    """What a trigger must say."""

    status: str
    trigger_id: str
    quantity: int
    inventory_position: int
    reorder_point: int
    order_up_to: int


def check_triggers(turn: Turn) -> None:
    """The triggers of one entry, which the book has already taken over. Raises ``Compacted``."""
    if turn.cause is None or turn.may_lack(turn.entry, topics.triggers.name):
        turn.findings.cannot_tell(Rule.TRIGGER)
        _catch_up(turn)
        return
    requested = _left_requested(turn)
    expected = _next(turn, turn.policy(), requested)
    if expected is not None and expected.status == "OPEN":
        turn.book.episode += 1
    _compare(turn, expected)
    after = requested if expected is None else expected.quantity if expected.status == "OPEN" else 0
    turn.expect(Rule.TRIGGER, "requested", after, turn.entry.requested)


def _catch_up(turn: Turn) -> None:
    """Count the episodes on where what is left of an entry does not say whether it had to open one."""
    opened = [trigger.trigger_id for trigger in turn.triggers if trigger.status == "OPEN"]
    if opened:
        turn.book.episode = int(opened[0].rpartition("#")[2])
    elif turn.entry.requested > 0 and turn.entry.requested_change:
        turn.book.episode += 1


def _left_requested(turn: Turn) -> int:
    """What is still asked for once the event's own order is known."""
    cause, before = turn.cause, turn.entry.requested - turn.entry.requested_change
    ordered = cause is not None and cause.kind == "ORDERED" and cause.trigger_id == _trigger_id(turn)
    return 0 if ordered else before


def _trigger_id(turn: Turn, episode: int = 0) -> str:
    return f"{turn.book.key}#{turn.book.episode + episode}"


def _next(turn: Turn, policy: Policy | None, requested: int) -> Expected | None:
    """The trigger that the state after the entry asks for."""
    if policy is None or policy.consigned or policy.reorder_point is None or policy.order_up_to is None:
        return None
    book = turn.book
    supply = book.usable(turn.entry.decided_at) + book.on_order + book.in_transit
    levels = (supply, policy.reorder_point, policy.order_up_to)
    if requested and supply > policy.reorder_point:
        return Expected("CANCELLED", _trigger_id(turn), requested, *levels)
    if requested or supply > policy.reorder_point:
        return None
    return Expected("OPEN", _trigger_id(turn, 1), _quantity(policy, policy.order_up_to - supply), *levels)


def _quantity(policy: Policy, short: int) -> int:
    lots = -(-max(short, policy.minimum_order) // policy.order_multiple)
    return lots * policy.order_multiple


def _compare(turn: Turn, expected: Expected | None) -> None:
    found = [_said(trigger) for trigger in turn.triggers if trigger.key == turn.book.key]
    name = f"{turn.book.key} entry {turn.entry.number} ({turn.entry.causation_id})"
    if expected is None:
        for extra in found:
            turn.expect(Rule.TRIGGER, "triggers", "none", extra)
    elif not found:
        turn.findings.lost(Rule.TRIGGER, "a trigger", name, expected, position=turn.book.key)
    else:
        turn.expect(Rule.TRIGGER, "the trigger", expected, found[0])


def _said(trigger: Trigger) -> Expected:
    return Expected(
        trigger.status,
        trigger.trigger_id,
        trigger.quantity,
        trigger.inventory_position,
        trigger.reorder_point,
        trigger.order_up_to,
    )
