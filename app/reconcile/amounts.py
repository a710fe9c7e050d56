"""Rules: postings are whole cents and add up, with what came in, to the change of quantity and of value.

For every entry: change of owned stock = what came in − what was posted, in quantity as in value. What comes in is a
put-away's or a transfer's; what is posted for billing alone (``BILL_ONLY``) concerns the supplier's stock instead.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from agents import topics
from app.reconcile.effects import nominal
from app.reconcile.findings import Rule
from app.reconcile.history import Posting, Step
from app.reconcile.turn import Turn

_CENT: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)
_USED: Final = ("USAGE", "ISSUE", "RETURN")
_TOLD: Final = (topics.postings.name, topics.notices.name, topics.inbound.name)


def check_amounts(turn: Turn) -> None:
    """Postings and notices of one entry. Raises ``Compacted`` where its master data are gone."""
    if turn.cause is None or turn.may_lack(turn.entry, *_TOLD):
        turn.findings.cannot_tell(Rule.AMOUNT)
        return
    for posting in turn.postings:
        _check_posting(turn, posting)
    owned = [posting for posting in turn.postings if posting.posting_type != "BILL_ONLY"]
    _check_quantities(turn, turn.cause, owned)
    _check_value(turn, turn.cause, owned)
    _check_use(turn, turn.cause)
    _check_given_back(turn)
    _check_cost(turn, turn.cause)
    _check_notices(turn)


def _check_posting(turn: Turn, posting: Posting) -> None:
    name = posting.event_id
    turn.expect(Rule.AMOUNT, f"amount of {name}, in whole cents", cents(posting.amount), posting.amount)
    turn.expect(Rule.AMOUNT, f"currency of {name}", turn.entry.currency, posting.currency)
    turn.expect(Rule.AMOUNT, f"position of {name}", turn.entry.key, posting.key)
    if posting.amount * posting.quantity < 0:
        turn.expect(Rule.AMOUNT, f"sign of {name}", "that of its quantity", f"{posting.quantity}, {posting.amount}")


def cents(amount: Decimal) -> Decimal:
    """Rounded half up to two places."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _check_quantities(turn: Turn, cause: Step, owned: list[Posting]) -> None:
    changed = sum(lot.change for lot in turn.entry.lots if lot.lot[1] is None)
    came = _came_in(turn, cause)
    if came is not None:
        posted = sum(posting.quantity for posting in owned)
        turn.expect(Rule.AMOUNT, "posted quantity: came in - change of owned stock", came - changed, posted)


def _came_in(turn: Turn, cause: Step) -> int | None:
    """Owned quantity that came (or, negative, went) without a posting; None where that cannot be known."""
    if any(lot.lot[1] is not None for lot in turn.entry.lots):
        return 0
    if cause.kind in ("PUT_AWAY", "TRANSFER_IN", "TRANSFER_OUT"):
        return nominal(turn, cause)
    if cause.kind != "REVERSAL" or turn.original is None:
        return 0
    return _sent_back(turn)


def _sent_back(turn: Turn) -> int | None:
    """A reversal of a transfer sends its quantity the other way; of anything else it posts what it moves."""
    if turn.root.kind == "TRANSFER_OUT":
        return -sum(step.quantity for step in turn.steps)
    if turn.root.kind == "TRANSFER_IN" and turn.original is not None:
        return turn.original.in_transit_change
    return 0


def _check_value(turn: Turn, cause: Step, owned: list[Posting]) -> None:
    came = _value_in(turn, cause)
    posted = sum((posting.amount for posting in owned), _ZERO)
    if came is not None:
        turn.expect(Rule.AMOUNT, "change of value: came in - posted", came - posted, turn.entry.value_change)
    else:
        _check_transit(turn, cause, turn.entry.value_change + posted)


def _value_in(turn: Turn, cause: Step) -> Decimal | None:
    """Value that came in without a posting; None where a transfer's own account gives it."""
    if cause.kind == "PUT_AWAY":
        return _put_away_value(turn, cause)
    if _concerns_transit(turn, cause):
        return None
    sent = (step.amount or _ZERO for step in turn.steps if step.owner is None)
    return -sum(sent, _ZERO)


def _put_away_value(turn: Turn, cause: Step) -> Decimal | None:
    if cause.owner is not None:
        return _ZERO
    if cause.amount is not None and cause.currency in (None, turn.entry.currency):
        return cause.amount
    item = turn.item()
    return None if item is None else item.standard_cost * cause.quantity


def _concerns_transit(turn: Turn, cause: Step) -> bool:
    return cause.kind == "TRANSFER_SENT" or turn.root.kind == "TRANSFER_IN"


def _check_transit(turn: Turn, cause: Step, came: Decimal) -> None:
    """What arrives of a transfer is worth what was sent, to the last cent, once all of it has arrived."""
    transfer = _transfer_of(turn, cause)
    if transfer is None:
        return
    quantity, value = turn.book.transits.get(transfer, (0, _ZERO))
    quantity += turn.entry.in_transit_change
    value += _announced(cause) - came
    turn.book.transits[transfer] = quantity, value
    if quantity == 0:
        turn.expect(Rule.TRANSFER, f"value left in transit of {transfer}", _ZERO, value)


def _announced(cause: Step) -> Decimal:
    return cause.amount or _ZERO if cause.kind == "TRANSFER_SENT" and cause.owner is None else _ZERO


def _transfer_of(turn: Turn, cause: Step) -> str | None:
    if cause.transfer_id is not None or turn.original is None:
        return cause.transfer_id
    began = turn.cause_of(turn.root)
    return began.transfer_id if began else None


def _check_given_back(turn: Turn) -> None:
    """A reversal gives back what its original posted, type by type, to the cent."""
    if turn.original is None or turn.original.kind == "COUNT":
        return
    if turn.may_lack(turn.original, topics.postings.name):
        turn.findings.cannot_tell(Rule.REVERSAL)
        return
    for posting_type in ("CONSUMPTION", "BILL_ONLY"):
        posted = _posted(turn.postings, posting_type)
        quantity, amount = _posted(turn.original_postings, posting_type)
        turn.expect(Rule.REVERSAL, f"{posting_type} given back", (-quantity, -amount), posted)


def _posted(postings: list[Posting], posting_type: str) -> tuple[int, Decimal]:
    found = [posting for posting in postings if posting.posting_type == posting_type]
    return sum(posting.quantity for posting in found), sum((posting.amount for posting in found), _ZERO)


def _check_use(turn: Turn, cause: Step) -> None:
    """What was used is posted in full, to whoever bears it, also where a count had already seen it."""
    if cause.kind not in _USED:
        return
    used = [p.quantity for p in turn.postings if p.posting_type in ("CONSUMPTION", "BILL_ONLY")]
    expected = nominal(turn, cause)
    turn.expect(Rule.AMOUNT, "quantity posted as used", None if expected is None else -expected, sum(used))


def _check_cost(turn: Turn, cause: Step) -> None:
    """Moving average while stock covers it: q of what is on hand has value * q / on hand, half up to the cent.

    Without stock the cost is the engine's estimate, of which only the sums are checked.
    """
    book = turn.book
    for posting in _at_cost(turn, cause):
        if book.value >= 0 and 0 < abs(posting.quantity) <= book.on_hand:
            expected = cents(book.value * posting.quantity / book.on_hand)
            turn.expect(Rule.AMOUNT, f"amount of {posting.event_id}", expected, posting.amount)
    item = turn.item() if cause.kind in _USED else None
    for posting in turn.postings:
        if item is not None and posting.posting_type == "BILL_ONLY":
            expected = cents(item.standard_cost * posting.quantity)
            turn.expect(Rule.AMOUNT, f"amount of {posting.event_id}", expected, posting.amount)


def _at_cost(turn: Turn, cause: Step) -> list[Posting]:
    """The postings of what moved at its cost; not those that take back what a count had seen."""
    if cause.kind in _USED:
        return [posting for posting in turn.postings if posting.posting_type == "CONSUMPTION"]
    return turn.postings if cause.kind in ("COUNT", "ADJUSTMENT") and len(turn.postings) == 1 else []


def _check_notices(turn: Turn) -> None:
    """The supplier is told of what it may bill, lot by lot, and of its balance after that."""
    billed = sum(posting.quantity for posting in turn.postings if posting.posting_type == "BILL_ONLY")
    told = sum(notice.quantity * (1 if notice.notice_type == "USED" else -1) for notice in turn.notices)
    turn.expect(Rule.AMOUNT, "quantity told to the supplier", billed, told)
    for notice in turn.notices:
        after = dict(turn.book.lots) | {lot.lot: lot.balance for lot in turn.entry.lots}
        expected = sum(balance for (_, owner), balance in after.items() if owner == notice.supplier)
        turn.expect(Rule.AMOUNT, f"balance in {notice.event_id}", expected, notice.balance)
