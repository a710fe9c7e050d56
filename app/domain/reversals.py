"""Taking back an event: everything it did is undone at the place in time where it was done."""

from __future__ import annotations

from app.domain.decisions import Awaited, Refused
from app.domain.draft import Draft
from app.domain.outputs import output_id
from app.domain.positions import Change, History
from app.domain.records import (
    ClinicalUsage,
    ExceptionKind,
    MovementKind,
    NoticeType,
    PostingType,
    StockMovement,
)
from app.domain.supply import carry


def reverse(draft: Draft, event: ClinicalUsage | StockMovement, history: History) -> None:
    """Restore lots, value and cost of the original, as a whole; a lot counted since keeps its balance.

    The reversal stands where its original stands, so that a count later than the original has seen both or neither.
    Raises Awaited where the original is not known yet, Refused where it was reversed before or is a count.
    """
    original = _original(draft, event.reverses or "", history)
    draft.reversed, draft.mark = original, original.mark
    draft.amount, draft.posting, draft.cost_center = -original.amount, original.posting, original.cost_center
    draft.transfer_id, draft.sent_to = original.transfer_id, original.sent_to
    for key, delta in original.deltas:
        draft.move(key, -delta)
    _restore_value(draft, original)
    if original.posting is PostingType.BILL_ONLY:
        _renotify(draft, original)
    if original.transfer_id is not None:
        _restore_transfer(draft, original, original.transfer_id)


def _original(draft: Draft, reverses: str, history: History) -> Change:
    original = history.find(draft.source.topic, reverses)
    if original is None:
        message = f"reverses is {reverses!r}; expected an event applied to the same position in the last 30 days"
        raise Awaited(f"event:{reverses}", Refused(ExceptionKind.REVERSAL_WITHOUT_ORIGINAL, message))
    if original.reversed_by is not None:
        raise Refused(
            ExceptionKind.ALREADY_REVERSED,
            f"reverses is {reverses!r}, reversed before by {original.reversed_by!r}; expected one reversal",
        )
    if original.kind == MovementKind.COUNT:
        raise Refused(
            ExceptionKind.REVERSAL_WITHOUT_ORIGINAL,
            f"reverses is {reverses!r}, a count; expected a usage or movement, a count is corrected by another count",
        )
    return original


def _restore_value(draft: Draft, original: Change) -> None:
    """Post what was posted with the opposite sign; a transfer's value comes back without a posting."""
    quantity = sum(delta for _, delta in original.deltas)
    if original.posting is None:
        draft.value += original.amount
    else:
        draft.post(
            original.posting,
            original.cost_center or draft.facts.location.cost_center,
            quantity,
            -original.amount,
            lot=draft.only_lot(),
            supplier=original.deltas[0][0][1],
            reverses=output_id(original.topic, original.event_id, 1),
        )
    draft.offset(-quantity, original.amount)


def _renotify(draft: Draft, original: Change) -> None:
    for place, (key, delta) in enumerate(original.deltas, start=2):
        notice_type = NoticeType.REVERSED if delta < 0 else NoticeType.USED
        draft.notify(notice_type, key, abs(delta), reverses=output_id(original.topic, original.event_id, place))


def _restore_transfer(draft: Draft, original: Change, transfer_id: str) -> None:
    """What was sent is not on its way after all; what had arrived is on its way again."""
    quantity = sum(delta for _, delta in original.deltas)
    owner = original.deltas[0][0][1]
    if original.sent_to is None:
        carry(draft, transfer_id, owner, quantity, -original.amount)
    else:
        draft.send(original.sent_to, transfer_id, owner, quantity, -original.amount)
