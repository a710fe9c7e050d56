"""The simulated suppliers: what they bring, and what the receiving dock records of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents import topics
from app.domain.records import PurchaseOrderLine, Receipt, ReceiptLine
from app.simulate.messages import Published, message
from app.simulate.orders import Order
from app.simulate.shelves import Batch, Shelf
from app.simulate.stage import Stage

DOCK = "receiving"


class Deliveries:
    """Makes the receipt of an order's lines, and puts on the shelves what it brings.

    Each method gives None where nothing is left to bring.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def full(self, order: Order, now: int, note: str | None = None) -> Published | None:
        return self._receive(order, order.lines, now, order.po_number, note)

    def part(self, order: Order, now: int) -> Published | None:
        part = [replace(line, quantity=(line.quantity + 1) // 2) for line in order.lines]
        return self._receive(order, part, now, order.po_number)

    def rest(self, order: Order, now: int) -> Published | None:
        rest = [replace(line, quantity=line.quantity // 2) for line in order.lines if line.quantity > 1]
        return self._receive(order, rest, now, order.po_number)

    def more(self, order: Order, now: int) -> Published | None:
        more = [replace(line, quantity=line.quantity + 1 + line.quantity // 10) for line in order.lines]
        return self._receive(order, more, now, order.po_number)

    def nameless(self, order: Order, now: int) -> Published | None:
        """All of it, on a delivery note that names no order."""
        return self._receive(order, order.lines, now, None)

    def wrong(self, order: Order, now: int) -> Published | None:
        """Under the first line comes another item of the same location, in its own base unit."""
        if not order.lines:
            return None
        first, *others = order.lines
        return self._receive(order, (self._mistaken(first), *others), now, order.po_number)

    def _mistaken(self, line: PurchaseOrderLine) -> PurchaseOrderLine:
        here = [s for s in self._stage.shelves if _is_at(s, line) and s.stocked.item.item != line.item]
        if not here:
            return line
        item = self._stage.rng.choice(here).stocked.item
        return replace(line, item=item.item, uom=item.base_uom)

    def again(self, order: Order, now: int, note: str) -> Published | None:
        """The same delivery note from another clerk: no shelf gets fuller by it."""
        return self._receipt(order, self._receipt_lines(order.lines, now), now, order.po_number, note)

    def _receive(
        self, order: Order, lines: Sequence[PurchaseOrderLine], now: int, po_number: str | None, note: str | None = None
    ) -> Published | None:
        received = self._receipt_lines(lines, now)
        for line in received:
            self._put_away(line)
        for request in order.requests:
            request.shelf.expected = False
        return self._receipt(order, received, now, po_number, note or self._stage.new_id("DN"))

    def _receipt_lines(self, lines: Sequence[PurchaseOrderLine], now: int) -> tuple[ReceiptLine, ...]:
        parts = [(line, quantity) for line in lines for quantity in self._lots(line.quantity)]
        return tuple(self._receipt_line(n, line, quantity, now) for n, (line, quantity) in enumerate(parts, start=1))

    def _lots(self, quantity: int) -> tuple[int, ...]:
        """Now and then a line comes in two lots."""
        if quantity < 2 or self._stage.rng.random() > 0.15:
            return (quantity,)
        return quantity // 2, quantity - quantity // 2

    def _receipt_line(self, number: int, line: PurchaseOrderLine, quantity: int, now: int) -> ReceiptLine:
        batch = self._stage.new_batch(now)
        return ReceiptLine(
            line=number,
            item=line.item,
            facility=line.facility,
            location=line.location,
            quantity=quantity,
            uom=line.uom,
            po_line=line.line,
            lot=batch.lot,
            expiry_date=batch.expiry_date,
        )

    def _put_away(self, line: ReceiptLine) -> None:
        shelf = self._stage.shelves.get(topics.position_key(line))
        if shelf is None or line.lot is None:
            return
        factors = {c.uom: c.numerator for c in shelf.stocked.item.conversions}
        shelf.put(Batch(line.lot, line.expiry_date), line.quantity * factors.get(line.uom, 1))

    def _receipt(
        self, order: Order, lines: tuple[ReceiptLine, ...], now: int, po_number: str | None, note: str
    ) -> Published | None:
        if not lines:
            return None
        named = lines if po_number else tuple(replace(line, po_line=None) for line in lines)
        record = Receipt(
            event_id=self._stage.new_id("R"),
            occurred_at=self._stage.occurred(now),
            recorded_at=now,
            source_system=DOCK,
            correlation_id=order.po_number,
            supplier=order.supplier,
            delivery_note=note,
            lines=named,
            po_number=po_number,
        )
        return message(topics.receipts, record, now)


def _is_at(shelf: Shelf, line: PurchaseOrderLine) -> bool:
    place = shelf.stocked.location
    return (place.facility, place.location) == (line.facility, line.location)
