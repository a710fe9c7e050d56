"""What each event does to an inventory position: (position, event, master data) → (position, outputs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from app.domain import consumption, counts, supply
from app.domain.decisions import Awaited, Refused, Source
from app.domain.draft import Draft, Facts, InventoryEvent
from app.domain.exceptions import refusal
from app.domain.findings import find_age, find_shortages
from app.domain.outputs import Output
from app.domain.positions import HORIZON_MS, SWEEP_MS, Change, History, Position
from app.domain.records import (
    ClinicalUsage,
    ExceptionKind,
    Inbound,
    InboundKind,
    MovementKind,
    StockMovement,
)
from app.domain.reference import Reference
from app.domain.reversals import reverse


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event does to one position.

    ``position`` is the new one; None leaves it as it is. ``changes`` are to be remembered, ``forgotten`` (names of
    changes) to be dropped. ``outputs`` go out in this order, a ledger entry first where the event was applied.
    ``missing`` names what the event lacks: nothing else is set, the event is to be parked under that name.
    ``released`` are names that other parked events may wait for.
    """

    position: Position | None = None
    changes: tuple[Change, ...] = ()
    forgotten: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    missing: str | None = None
    released: tuple[str, ...] = ()


def decide(
    event: InventoryEvent, source: Source, position: Position | None, history: History, reference: Reference
) -> Decision:
    """Decide one event of one position; the same arguments always give the same decision.

    ``position`` is None where nothing is known of it yet. An event that lacks master data or its original is to be
    parked (``missing``), or becomes an exception where ``source.overdue``.
    """
    try:
        facts = look_up(event, reference)
        return _apply(event, source, position or Position(facts.item.currency), history, facts)
    except Awaited as awaited:
        if not source.overdue:
            return Decision(missing=awaited.name)
        return _refuse(awaited.refused, event, source, reference)
    except Refused as refused:
        return _refuse(refused, event, source, reference)


def _refuse(refused: Refused, event: InventoryEvent, source: Source, reference: Reference) -> Decision:
    return Decision(outputs=(refusal(refused.kind, refused.message, event, source, reference.version),))


def _apply(event: InventoryEvent, source: Source, position: Position, history: History, facts: Facts) -> Decision:
    draft = Draft.of(event, source, position, facts)
    kind, rule = _rule_of(event)
    rule(draft, event, history)
    draft.replenish()
    find_shortages(draft)
    find_age(draft)
    draft.raise_found()
    after = draft.position()
    outputs = (draft.entry(kind, after), *draft.outputs)
    changes = _remembered(draft, kind)
    released = () if type(event) is Inbound else (f"event:{event.event_id}",)
    if source.decided_at - after.remembered_from < HORIZON_MS + SWEEP_MS:
        return Decision(after, changes, (), outputs, None, released)
    return Decision(_swept(after, source), changes, _beyond_horizon(history, source), outputs, None, released)


# --- what is known ---------------------------------------------------------------------------------------------------


def look_up(event: InventoryEvent, reference: Reference) -> Facts:
    """The master data of an event. Raises Awaited for an item, location or cost center that is not known (yet)."""
    item = reference.item(event.item)
    if item is None:
        raise _unknown("item", event.item, f"item:{event.item}")
    location = reference.location(event.facility, event.location)
    if location is None:
        raise _unknown("location", event.location, f"location:{event.facility}|{event.location}")
    named = _cost_center_of(event)
    cost_center = None if named is None else reference.cost_center(named)
    if named is not None and cost_center is None:
        raise _unknown("cost_center", named, f"cost-center:{named}")
    kept = reference.item_location(event.facility, event.location, event.item)
    return Facts(item, location, kept, cost_center, reference.version)


def _cost_center_of(event: InventoryEvent) -> str | None:
    """The cost center that the event names and needs; a reversal takes its original's."""
    if isinstance(event, Inbound) or event.reverses is not None:
        return None
    return event.cost_center


def _unknown(field: str, value: str, name: str) -> Awaited:
    message = f"{field} is {value!r}; expected one that the master data know"
    return Awaited(name, Refused(ExceptionKind.UNKNOWN_REFERENCE, message))


# --- the horizon -----------------------------------------------------------------------------------------------------


def _remembered(draft: Draft, kind: str) -> tuple[Change, ...]:
    if not draft.deltas and isinstance(draft.event, Inbound):
        return ()
    change = draft.change(kind)
    if draft.reversed is None:
        return (change,)
    return change, replace(draft.reversed, reversed_by=draft.event.event_id)


def _beyond_horizon(history: History, source: Source) -> tuple[str, ...]:
    oldest = source.decided_at - HORIZON_MS
    return tuple(c.name for c in history.all() if max(c.mark[0], c.decided_at) < oldest)


def _swept(position: Position, source: Source) -> Position:
    """Once in a while: forget empty lots to which nothing happened within the horizon."""
    oldest = source.decided_at - HORIZON_MS
    lots = {key: lot for key, lot in position.lots.items() if lot.balance or lot.touched_at >= oldest}
    return replace(position, lots=lots, remembered_from=oldest)


# --- which rule ------------------------------------------------------------------------------------------------------

Rule: TypeAlias = Callable[[Draft, Any, History], None]

_MOVEMENTS: Final[dict[MovementKind, Rule]] = {
    MovementKind.ISSUE: consumption.use,
    MovementKind.RETURN: consumption.give_back,
    MovementKind.TRANSFER_OUT: supply.leave,
    MovementKind.TRANSFER_IN: supply.arrive,
    MovementKind.ADJUSTMENT: consumption.adjust,
    MovementKind.COUNT: counts.count,
    MovementKind.REVERSAL: reverse,
}
_INBOUND: Final[dict[InboundKind, Rule]] = {
    InboundKind.ORDERED: supply.order,
    InboundKind.PUT_AWAY: supply.put_away,
    InboundKind.TRANSFER_SENT: supply.announce,
}


def _rule_of(event: InventoryEvent) -> tuple[str, Rule]:
    if isinstance(event, ClinicalUsage):
        return ("USAGE", consumption.use) if event.reverses is None else ("USAGE_REVERSAL", reverse)
    if isinstance(event, StockMovement):
        return event.kind.value, _MOVEMENTS[event.kind]
    return event.kind.value, _INBOUND[event.kind]
