"""Counts: what somebody saw is true from then on, whenever the news of it arrives."""

from __future__ import annotations

from app.domain.decisions import Refused
from app.domain.draft import Draft
from app.domain.positions import HORIZON_MS, History, LotKey, Mark, day_of
from app.domain.records import CountedLot, ExceptionKind, LedgerEffect, MovementKind, PostingType, StockMovement
from app.domain.units import to_base


def count(draft: Draft, event: StockMovement, history: History) -> None:
    """Set each counted lot to what was seen plus the changes that occurred since; a full count also empties the rest.

    A lot that was counted later keeps its balance. The variance of owned stock is posted at its cost. Raises Refused
    BEYOND_HORIZON for a count so old that the changes since are no longer all known.
    """
    _check_age(draft)
    seen = {_key(draft, lot): lot for lot in event.counted}
    quantities = {key: to_base(lot.quantity, event.uom, draft.facts.item) for key, lot in seen.items()}
    since = changes_since(draft.mark, history)
    for key, quantity in quantities.items():
        draft.recount(key, quantity + since.get(key, 0), seen[key].expiry_date)
    if event.full_count:
        _empty_the_rest(draft, seen, since)
    if not draft.deltas and not event.full_count:
        draft.effect = LedgerEffect.SUPERSEDED
    _book_variance(draft)


def _check_age(draft: Draft) -> None:
    occurred_at, decided_at = draft.event.occurred_at, draft.source.decided_at
    if occurred_at < decided_at - HORIZON_MS:
        raise Refused(
            ExceptionKind.BEYOND_HORIZON,
            f"occurred_at is {day_of(occurred_at)}, decided on {day_of(decided_at)}; expected a count at most "
            "30 days old, the changes since are not all known",
        )


def _key(draft: Draft, counted: CountedLot) -> LotKey:
    return draft.lot_key(counted.lot, counted.owner)


def changes_since(mark: Mark, history: History) -> dict[LotKey, int]:
    """Per lot, the sum of what occurred after ``mark``. Counts are no changes: they set, where they apply at all."""
    since: dict[LotKey, int] = {}
    for change in history.all():
        if change.mark <= mark or change.kind == MovementKind.COUNT:
            continue
        for key, delta in change.deltas:
            since[key] = since.get(key, 0) + delta
    return since


def _empty_the_rest(draft: Draft, seen: dict[LotKey, CountedLot], since: dict[LotKey, int]) -> None:
    before = draft.full_count
    if before is not None and draft.mark <= before:
        if not draft.deltas:
            draft.effect = LedgerEffect.SUPERSEDED
        return
    for key in [key for key in draft.lots if key not in seen]:
        draft.recount(key, since.get(key, 0))
    draft.full_count = draft.mark


def _book_variance(draft: Draft) -> None:
    variance = draft.on_hand - draft.before.on_hand
    if not variance:
        return
    draft.amount = draft.cost(-variance)
    draft.posting, draft.cost_center = PostingType.ADJUSTMENT, draft.facts.location.cost_center
    draft.post(draft.posting, draft.cost_center, -variance, draft.amount, lot=draft.only_lot())
