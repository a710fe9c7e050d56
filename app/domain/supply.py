"""Stock that is on its way and stock that arrives: orders, put-aways and transfers."""

from __future__ import annotations

from decimal import Decimal

from app.domain import money
from app.domain.draft import Draft
from app.domain.findings import find_inactive
from app.domain.positions import UNKNOWN_LOT, History, Transit
from app.domain.records import Inbound, PostingType, StockMovement
from app.domain.units import to_base


def order(draft: Draft, event: Inbound, _: History) -> None:
    """A PO line names the position: what it answers is no longer requested but on order, in one step."""
    if draft.requested and event.trigger_id == draft.trigger_id():
        draft.requested = 0
    draft.on_order += event.quantity


def put_away(draft: Draft, event: Inbound, _: History) -> None:
    """Received stock is put away: on order falls and on hand rises in one event."""
    draft.move((event.lot or UNKNOWN_LOT, event.owner), event.quantity, event.expiry_date, received=True)
    find_inactive(draft)
    if event.owner is None:
        draft.on_order -= event.on_order_cleared
        _receive(draft, event.quantity, _worth(draft, event))


def _worth(draft: Draft, event: Inbound) -> Decimal:
    """What was paid; at standard cost where that is not known, or was paid in another currency."""
    if event.amount is None or event.currency not in (None, draft.before.currency):
        return money.kept(money.times(draft.facts.item.standard_cost, event.quantity))
    return money.kept(event.amount)


def _receive(draft: Draft, quantity: int, amount: Decimal) -> None:
    """Owned stock arrived with its value, after the lots were moved."""
    draft.value += amount
    draft.amount = -amount
    draft.offset(quantity, amount)
    _revalue(draft, quantity, amount)


def _revalue(draft: Draft, quantity: int, amount: Decimal) -> None:
    """Where nothing was on hand before, the unit cost is that of what arrived.

    What had been issued below zero was posted at a guessed cost; the difference to the real one is posted now, as
    Odoo does when stock arrives for quantities sold short (``_run_fifo_vacuum``).
    """
    if draft.before.on_hand > 0 or draft.late:
        return
    draft.last_cost = money.unit_cost(amount, quantity)
    difference = money.posted(draft.value - money.share(amount, draft.on_hand, quantity))
    if difference:
        draft.post(PostingType.ADJUSTMENT, draft.facts.location.cost_center, 0, difference)


# --- transfers -------------------------------------------------------------------------------------------------------


def leave(draft: Draft, event: StockMovement, _: History) -> None:
    """Stock leaves for another location, with its value; nothing is consumed, so nothing is posted."""
    quantity = to_base(event.quantity, event.uom, draft.facts.item)
    taken = draft.take(event.lot, quantity, event.owner)
    owner = next(iter(taken))[1]
    amount = draft.cost(quantity) if owner is None else money.ZERO
    for key, part in taken.items():
        draft.move(key, -part, event.expiry_date if key[0] == event.lot else None)
    draft.value -= amount
    draft.offset(-quantity, -amount)
    draft.amount, draft.transfer_id = amount, event.transfer_id
    draft.sent_to = (event.other_facility or "", event.other_location or "")
    draft.send(draft.sent_to, event.transfer_id or "", owner, quantity, amount)


def announce(draft: Draft, event: Inbound, _: History) -> None:
    """Another position sent stock here: it is in transit, with its value, until it arrives."""
    carry(draft, event.transfer_id or "", event.owner, event.quantity, event.amount or money.ZERO)


def arrive(draft: Draft, event: StockMovement, _: History) -> None:
    """Stock arrives from another location: transit falls and the lot rises, the value in proportion."""
    quantity = to_base(event.quantity, event.uom, draft.facts.item)
    transfer_id = event.transfer_id or ""
    transit = next((t for t in draft.transits if t.transfer_id == transfer_id), None)
    key = draft.lot_key(event.lot, event.owner or (transit.owner if transit else None))
    amount = money.ZERO if key[1] else _carried(draft, transit, quantity)
    draft.move(key, quantity, event.expiry_date, received=True)
    draft.transfer_id = transfer_id
    find_inactive(draft)
    if key[1] is None:
        _receive(draft, quantity, amount)
    carry(draft, transfer_id, key[1], -quantity, -amount)


def _carried(draft: Draft, transit: Transit | None, quantity: int) -> Decimal:
    """The transit's value in proportion; what was not (yet) sent is worth what a unit costs here."""
    if transit is None or transit.quantity <= 0:
        return draft.cost(quantity)
    covered = min(quantity, transit.quantity)
    value = money.kept(money.share(transit.value, covered, transit.quantity))
    return value if covered == quantity else value + draft.cost(quantity - covered)


def carry(draft: Draft, transfer_id: str, owner: str | None, quantity: int, value: Decimal) -> None:
    """Add to what is in transit under a transfer; where that comes to nothing, its residual value joins the stock's."""
    others = []
    for transit in draft.transits:
        if (transit.transfer_id, transit.owner) == (transfer_id, owner):
            quantity, value = quantity + transit.quantity, value + transit.value
        else:
            others.append(transit)
    if quantity:
        draft.transits = (*others, Transit(transfer_id, owner, quantity, value))
        return
    draft.transits = tuple(others)
    draft.value += value
