"""One event at work on one purchase order: what it changes, whom it tells, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from app.domain.decisions import Source
from app.domain.exceptions import raised
from app.domain.orders import Order, OrderLine, Place, status_of
from app.domain.outputs import Output, address, output_id
from app.domain.records import (
    ExceptionKind,
    Inbound,
    InboundKind,
    Item,
    LedgerEffect,
    OrderLedgerEntry,
    OrderLineChange,
    PurchaseOrder,
    Receipt,
)
from app.domain.reference import Reference

OrderEvent: TypeAlias = PurchaseOrder | Receipt


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """As inventory's Decision: ``order`` None leaves it as it is, ``missing`` asks for parking under that name."""

    order: Order | None = None
    outputs: tuple[Output, ...] = ()
    missing: str | None = None


@dataclass(slots=True)
class OrderDraft:
    """Gathers what an event does to an order; never outlives the decision that it is made for."""

    event: OrderEvent
    source: Source
    order: Order
    reference: Reference
    lines: dict[int, OrderLine] = field(init=False)
    steps: list[Inbound] = field(default_factory=list)
    found: list[tuple[ExceptionKind, str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = dict(self.order.lines)

    def item(self, name: str) -> Item:
        """An item of one of the event's lines, all of which were looked up before."""
        item = self.reference.item(name)
        assert item is not None
        return item

    def find(self, kind: ExceptionKind, message: str, about: object = None) -> None:
        """Note an exception; ``about`` is the line concerned, where it is one."""
        self.found.append((kind, message, about))

    def tell(self, kind: InboundKind, place: Place, quantity: int, **what: object) -> None:
        """Tell a position of one step; the rest of the step's fields are in ``what``."""
        event = self.event
        facility, location, item = place
        step = Inbound(
            event_id=output_id(self.source.topic, event.event_id, len(self.steps) + 1),
            occurred_at=event.occurred_at,
            recorded_at=self.source.decided_at,
            source_system="wardstock",
            correlation_id=event.correlation_id,
            causation_id=event.event_id,
            kind=kind,
            facility=facility,
            location=location,
            item=item,
            quantity=quantity,
            **what,  # type: ignore[arg-type]
        )
        self.steps.append(step)

    def order_at(self, line: OrderLine, change: int, trigger_id: str | None = None) -> None:
        """Tell the line's position that so much more (or less) is on order, and which request that answers."""
        if change or trigger_id is not None:
            self.tell(
                InboundKind.ORDERED,
                line.place,
                change,
                trigger_id=trigger_id,
                po_number=self.order.po_number,
                po_line=line.line,
            )

    def exceptions(self, *, first: int, applied: bool) -> list[Output]:
        """What was noted, as exceptions with places from ``first`` on."""
        return [
            raised(
                kind,
                message,
                event=self.event,
                source=self.source,
                event_id=output_id(self.source.topic, self.event.event_id, place),
                version=self.reference.version,
                applied=applied,
                about=about,
            )
            for place, (kind, message, about) in enumerate(self.found, start=first)
        ]

    def close(self, kind: str, after: Order, effect: LedgerEffect = LedgerEffect.APPLIED) -> OrderDecision:
        """The order after the event, its ledger entry, and all that the event caused."""
        after = replace(after, number=self.order.number + 1, lines=self.lines)
        after = replace(after, status=status_of(after))
        others: list[Output] = [*self.steps, *self.exceptions(first=len(self.steps) + 1, applied=True)]
        return OrderDecision(after, (self._entry(kind, after, effect, others), *others))

    def _entry(self, kind: str, after: Order, effect: LedgerEffect, others: Iterable[Output]) -> OrderLedgerEntry:
        event, source = self.event, self.source
        return OrderLedgerEntry(
            event_id=output_id(source.topic, event.event_id, 0),
            occurred_at=event.occurred_at,
            decided_at=source.decided_at,
            correlation_id=event.correlation_id,
            causation_id=event.event_id,
            master_version=self.reference.version,
            po_number=after.po_number,
            number=after.number,
            kind=kind,
            effect=effect,
            source_topic=source.topic,
            source_partition=source.partition,
            source_offset=source.offset,
            lines=tuple(self._line_changes()),
            status=after.status,
            caused=tuple(map(address, others)),
        )

    def _line_changes(self) -> Iterable[OrderLineChange]:
        for number, line in self.lines.items():
            before = self.order.lines.get(number)
            ordered, received = (before.ordered, before.received) if before else (0, 0)
            if before is None or (line.ordered, line.received) != (ordered, received):
                yield OrderLineChange(number, line.ordered - ordered, line.received - received, line.open)
