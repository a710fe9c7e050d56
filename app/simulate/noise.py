"""What goes wrong between systems: repeats, conflicts, invalid and unreadable messages, wrong keys, wrong order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from app.domain.records import (
    ClinicalUsage,
    MovementKind,
    PurchaseOrder,
    Receipt,
    StockMovement,
)
from app.simulate.messages import Breakage, Nature, Published, message
from app.simulate.plan import MINUTE_MS, Shares
from app.simulate.stage import Stage

REMEMBERED = 4096  # published events from which repeats are drawn
RECENT = 40  # a retry storm repeats one of the last so many
RETRY_SHARE = 0.5  # of repeats; the others come any time later
HELD_BACK_MS = (MINUTE_MS, 30 * MINUTE_MS)


class Noise:
    """Spoils a stream of events in the shares asked for."""

    def __init__(self, stage: Stage, shares: Shares) -> None:
        self._stage = stage
        self._shares = shares
        self._published: list[Published] = []
        self._seen = 0

    def remember(self, event: Published) -> None:
        """Keep an event that was published, to repeat or contradict it later."""
        if len(self._published) < REMEMBERED:
            self._published.append(event)
        else:
            self._published[self._seen % REMEMBERED] = event
        self._seen += 1

    def extra(self, now: int) -> Published | None:
        """A message that no party of the system meant to send; None most of the time."""
        draw = self._stage.rng.random()
        if not self._published or draw >= self._shares.repeats + self._shares.invalid + self._shares.undecodable:
            return None
        if draw < self._shares.repeats:
            return self._repeat(now)
        if draw < self._shares.repeats + self._shares.invalid:
            return self._spoilt(now)
        return self._broken(now)

    def delay(self) -> int | None:
        """How long (ms) the message at hand is overtaken by others; None most of the time."""
        if self._stage.rng.random() >= self._shares.out_of_order:
            return None
        return self._stage.rng.randrange(*HELD_BACK_MS)

    def misplace(self, event: Published) -> Published:
        """The message, now and then without its key or under another."""
        if self._stage.rng.random() >= self._shares.misplaced:
            return event
        key = self._stage.rng.choice((None, event.record.event_id, event.record.source_system))
        return replace(event, key=key, misplaced=True)

    def _any(self) -> Published:
        return self._stage.rng.choice(self._published)

    def _repeat(self, now: int) -> Published:
        """Sent again as it was, or by a second interface at its own time."""
        again = self._recent() if self._stage.rng.random() < RETRY_SHARE else self._any()
        if self._stage.rng.random() < 0.5:
            return message(again.topic, again.record, now, Nature.REPEAT)
        return message(again.topic, replace(again.record, recorded_at=now), now, Nature.REPEAT)

    def _recent(self) -> Published:
        back = self._stage.rng.randint(1, min(RECENT, len(self._published)))
        return self._published[(self._seen - back) % len(self._published)]

    def _broken(self, now: int) -> Published:
        rng, like = self._stage.rng, self._any()
        return Published(like.topic, like.key, like.record, now, Nature.UNDECODABLE, rng.choice(list(Breakage)))

    def _spoilt(self, now: int) -> Published:
        like = self._any()
        spoil = self._stage.rng.choice(_SPOILERS[type(like.record)])
        record, nature = spoil(self._stage.rng, like.record)
        if nature is not Nature.CONFLICT:
            record = replace(record, event_id=self._stage.new_id("X"), recorded_at=now)
        return message(like.topic, record, now, nature)


# --- records that should not have been sent --------------------------------------------------------------------------

Spoil = Callable[[Random, Any], tuple[Any, Nature]]


def _field(nature: Nature, **values: Any) -> Spoil:
    return lambda _, record: (replace(record, **values), nature)


def _line(**values: Any) -> Spoil:
    """The first line of an order or receipt gets these values."""

    def spoil(_: Random, record: Any) -> tuple[Any, Nature]:
        first, *others = record.lines
        return replace(record, lines=(replace(first, **values), *others)), Nature.INVALID

    return spoil


def _more(_: Random, record: Any) -> tuple[Any, Nature]:
    return replace(record, quantity=record.quantity + 1), Nature.CONFLICT


def _other_reason(_: Random, movement: StockMovement) -> tuple[StockMovement, Nature]:
    return replace(movement, reason=f"{movement.reason or 'NONE'}, CORRECTED"), Nature.CONFLICT


def _one_more(_: Random, receipt: Receipt) -> tuple[Receipt, Nature]:
    """Not another note: without an order that is the key, and ids are known per partition."""
    first, *others = receipt.lines
    return replace(receipt, lines=(replace(first, quantity=first.quantity + 1), *others)), Nature.CONFLICT


def _other_currency(_: Random, order: PurchaseOrder) -> tuple[PurchaseOrder, Nature]:
    return replace(order, currency="EUR"), Nature.CONFLICT


def _unknown_item(rng: Random, record: Any) -> tuple[Any, Nature]:
    return replace(record, item=f"ITEM-{rng.randint(9000, 9999)}"), Nature.UNRESOLVED


def _nothing_to_reverse(rng: Random, usage: ClinicalUsage) -> tuple[ClinicalUsage, Nature]:
    """A second reversal of the same usage, or one of a usage that never was."""
    if usage.reverses:
        return usage, Nature.UNRESOLVED
    return replace(usage, reverses=f"U-LOST-{rng.randint(1, 10**9)}"), Nature.UNRESOLVED


def _count_of_nothing(_: Random, movement: StockMovement) -> tuple[StockMovement, Nature]:
    return replace(movement, kind=MovementKind.COUNT, counted=(), full_count=False), Nature.INVALID


def _transfer_without_id(_: Random, movement: StockMovement) -> tuple[StockMovement, Nature]:
    return replace(movement, kind=MovementKind.TRANSFER_OUT, quantity=1, transfer_id=None), Nature.INVALID


_ANY = (_field(Nature.INVALID, occurred_at=0),)
_POSITION = (
    _field(Nature.INVALID, facility=""),
    _field(Nature.INVALID, item="ITEM|0001"),
    _unknown_item,
)
_SPOILERS: dict[type, tuple[Spoil, ...]] = {
    ClinicalUsage: (
        *_ANY,
        *_POSITION,
        _more,
        _field(Nature.INVALID, quantity=0),
        _field(Nature.INVALID, quantity=-2),
        _field(Nature.UNRESOLVED, cost_center="CC-UNKNOWN"),
        _nothing_to_reverse,
    ),
    StockMovement: (*_ANY, *_POSITION, _other_reason, _count_of_nothing, _transfer_without_id),
    PurchaseOrder: (*_ANY, _line(quantity=0), _line(item=""), _field(Nature.INVALID, po_number=""), _other_currency),
    Receipt: (*_ANY, _line(quantity=-1), _line(location="|"), _one_more),
}
