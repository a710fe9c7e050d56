"""Stock that is used, given back or adjusted: what leaves the lots, what it costs, and who is told."""

from __future__ import annotations

from app.domain import money
from app.domain.draft import Draft
from app.domain.findings import find_expired, find_formulary, find_inactive
from app.domain.positions import History, LotKey
from app.domain.records import ClinicalUsage, NoticeType, PostingType, StockMovement
from app.domain.units import to_base


def use(draft: Draft, event: ClinicalUsage | StockMovement, _: History) -> None:
    """Something leaves for use: for a patient (usage), or to a department (issue)."""
    quantity = to_base(event.quantity, event.uom, draft.facts.item)
    taken = draft.take(event.lot, quantity, getattr(event, "owner", None))
    _consume(draft, event, quantity, {key: -part for key, part in taken.items()})
    find_expired(draft)
    find_formulary(draft)
    find_inactive(draft)


def give_back(draft: Draft, event: StockMovement, _: History) -> None:
    """Something unused returns to stock from where it was issued to."""
    quantity = to_base(event.quantity, event.uom, draft.facts.item)
    _consume(draft, event, -quantity, {draft.lot_key(event.lot, event.owner): quantity})


def adjust(draft: Draft, event: StockMovement, _: History) -> None:
    """Stock was found, lost, broken or disposed of; consigned stock changes its quantity alone."""
    change = to_base(event.quantity, event.uom, draft.facts.item)
    deltas = _adjusted(draft, event, change)
    if _owner(deltas) is None:
        _book(draft, PostingType.ADJUSTMENT, draft.facts.location.cost_center, -change, deltas)
    else:
        _move(draft, deltas)


def _adjusted(draft: Draft, event: StockMovement, change: int) -> dict[LotKey, int]:
    if change > 0:
        return {draft.lot_key(event.lot, event.owner): change}
    return {key: -part for key, part in draft.take(event.lot, -change, event.owner).items()}


def _consume(draft: Draft, event: ClinicalUsage | StockMovement, used: int, deltas: dict[LotKey, int]) -> None:
    cost_center = event.cost_center or draft.facts.location.cost_center
    owner = _owner(deltas)
    if owner is None:
        _book(draft, PostingType.CONSUMPTION, cost_center, used, deltas)
    else:
        _bill(draft, owner, cost_center, used, deltas)


def _owner(deltas: dict[LotKey, int]) -> str | None:
    """All lots of one event are of one owner."""
    return next(iter(deltas))[1]


def _book(draft: Draft, posting: PostingType, cost_center: str, out: int, deltas: dict[LotKey, int]) -> None:
    """Owned stock goes out (or in, where ``out`` is negative) at its cost, and finance is told."""
    amount = draft.cost(out)
    _move(draft, deltas)
    draft.post(posting, cost_center, out, amount, lot=draft.only_lot())
    draft.offset(-out, -amount)
    draft.amount, draft.posting, draft.cost_center = amount, posting, cost_center


def _bill(draft: Draft, owner: str, cost_center: str, used: int, deltas: dict[LotKey, int]) -> None:
    """Consigned stock was used: the supplier bills it at the standard cost and brings new stock; we own neither."""
    amount = money.posted(money.times(draft.facts.item.standard_cost, used))
    _move(draft, deltas)
    draft.post(PostingType.BILL_ONLY, cost_center, used, amount, lot=draft.only_lot(), supplier=owner)
    for key, delta in deltas.items():
        draft.notify(NoticeType.USED if delta < 0 else NoticeType.REVERSED, key, abs(delta))
    draft.amount, draft.posting, draft.cost_center = amount, PostingType.BILL_ONLY, cost_center


def _move(draft: Draft, deltas: dict[LotKey, int]) -> None:
    event = draft.event
    for key, delta in deltas.items():
        draft.move(key, delta, event.expiry_date if key[0] == event.lot else None)
