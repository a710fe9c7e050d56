"""What may be wrong with an event that is applied all the same: found here, raised at the end of the draft."""

from __future__ import annotations

from typing import Any

from app.domain.draft import Draft
from app.domain.positions import DAY_MS, HORIZON_MS, UNKNOWN_LOT, day_of
from app.domain.records import ExceptionKind


def find_shortages(draft: Draft) -> None:
    """A lot that the event took below zero; the UNKNOWN lot is what no lot covers.

    One that was below zero already is somebody's work already: only the step below zero is raised.
    """
    for change in draft.lot_changes:
        if change.balance >= 0 or change.change >= 0 or change.balance - change.change < 0:
            continue
        if change.lot == UNKNOWN_LOT:
            draft.find(
                ExceptionKind.UNCOVERED_QUANTITY,
                f"quantity is not covered by any lot, {-change.balance} in all; expected stock to cover it",
            )
        else:
            draft.find(
                ExceptionKind.NEGATIVE_BALANCE,
                f"balance of lot {change.lot!r} is {change.balance} after {change.change:+d}; expected at least 0",
            )


def find_age(draft: Draft) -> None:
    """So late that a count of that time may be forgotten: the balance deserves a look."""
    if draft.event.occurred_at >= draft.source.decided_at - HORIZON_MS:
        return
    draft.find(
        ExceptionKind.BEYOND_HORIZON,
        f"occurred_at is {day_of(draft.event.occurred_at)}, decided on {draft.today}; expected at most "
        f"{HORIZON_MS // DAY_MS} days between them, older counts may be forgotten",
    )


def find_formulary(draft: Draft) -> None:
    """The item is not kept at the location, or is off its formulary."""
    kept = draft.facts.kept
    if kept is None or not kept.on_formulary:
        what = "not kept at the location" if kept is None else "off the location's formulary"
        draft.find(ExceptionKind.OFF_FORMULARY, f"item {draft.event.item!r} is {what}; expected one on it")


def find_inactive(draft: Draft) -> None:
    """Item, location or cost center is put to new use though it is inactive."""
    facts = draft.facts
    if facts.item.active and facts.location.active and (facts.cost_center is None or facts.cost_center.active):
        return
    named: tuple[tuple[str, Any], ...] = (
        ("item", facts.item),
        ("location", facts.location),
        ("cost_center", facts.cost_center),
    )
    for field, record in named:
        if record is not None and not record.active:
            draft.find(
                ExceptionKind.INACTIVE_REFERENCE, f"{field} {getattr(record, field)!r} is inactive; expected active"
            )


def find_expired(draft: Draft) -> None:
    """A lot was used after the day of its expiry."""
    day = day_of(draft.event.occurred_at)
    for change in draft.lot_changes:
        if change.expiry_date is not None and change.expiry_date < day:
            draft.find(
                ExceptionKind.EXPIRED_LOT,
                f"lot {change.lot!r} expired on {change.expiry_date}, used on {day}; expected a lot that had not",
            )
