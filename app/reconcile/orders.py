"""Rules about one purchase order: its numbers, its sums, its row, and the steps that it told to inventory.

What is open of a line is on order at its position, for our own stock. So each change of what is open is told there, as
an order (``ORDERED``) or as what a put-away clears; and whatever came is put away, once, where it was received.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from agents import topics
from app.reconcile.findings import Findings, Rule
from app.reconcile.history import (
    Compacted,
    History,
    Item,
    Order,
    OrderEntry,
    OrderLine,
    OrderLineRow,
    OrderRow,
    Receipt,
    ReceiptLine,
    Step,
    version_of,
)
from app.reconcile.outcomes import Outcomes
from app.reconcile.positions import by_key, check_numbers

STOCK: Final = "STOCK"
_KEPT: Final = Decimal("0.0001")
_At = tuple[int, str]  # line and position


@dataclass(slots=True)
class _Line:
    """One line as the ledger and the order's own events give it; ``factor`` is pinned when its unit was first seen."""

    ordered: int = 0
    received: int = 0
    open: int = 0
    position: str = ""
    item: str = ""
    uom: str = ""
    factor: Fraction = Fraction(0)
    unit_price: Decimal = Decimal(0)
    trigger_id: str | None = None


@dataclass(slots=True)
class _Book:
    """One order's books while its ledger is read."""

    key: str
    history: History
    outcomes: Outcomes
    findings: Findings
    lines: dict[int, _Line] = field(default_factory=dict)
    revision: int = 0
    order_type: str = STOCK
    currency: str = ""
    cancelled: bool = False
    blind: bool = False  # what it was told is gone in part: from there on only the ledger's own sums can be checked
    deliveries: set[tuple[str, str, int]] = field(default_factory=set)

    def expect(self, entry: OrderEntry, what: str, expected: object, found: object, rule: Rule = Rule.ORDER) -> None:
        if expected != found:
            name = f"{entry.key} entry {entry.number} ({entry.kind} {entry.causation_id})"
            self.findings.wrong(rule, what, name, expected, found)

    def item(self, entry: OrderEntry, item: str) -> Item | None:
        """The item as of the entry's master version. Raises ``Compacted``."""
        return self.history.items.at(item, version_of(entry.master_version, topics.items.name))

    def factor(self, entry: OrderEntry, item: str, uom: str) -> Fraction:
        """Base units in one ``uom``; 0 where that is not known. Raises ``Compacted``."""
        known = self.item(entry, item)
        return known.factors.get(uom, Fraction(0)) if known else Fraction(0)

    def open(self) -> Counter[_At]:
        """What must be on order at each line's position."""
        if self.order_type != STOCK:
            return Counter()
        return Counter({(number, line.position): line.open for number, line in self.lines.items()})

    def status(self) -> str:
        if self.revision == 0:
            return "UNANNOUNCED"
        if self.cancelled:
            return "CANCELLED"
        if not any(line.received for line in self.lines.values()):
            return "OPEN"
        return "PARTIALLY_RECEIVED" if any(line.open for line in self.lines.values()) else "RECEIVED"


def check_orders(outcomes: Outcomes, findings: Findings) -> None:
    """Every order's ledger from end to end, then its row."""
    history, ledgers = outcomes.history, by_key(outcomes.history.order_entries)
    for key, ledger in ledgers.items():
        sound = check_numbers(key, ledger, findings, None)
        book = _Book(key, history, outcomes, findings)
        for entry in ledger[:sound]:
            _check_entry(book, entry)
        for _ in ledger[sound:]:
            findings.cannot_tell(Rule.SUMS)
        _check_row(book, ledger[-1], history.orders.get(key), complete=sound == len(ledger))
    for key in history.orders.keys() - ledgers.keys():
        findings.wrong(Rule.TABLE, "a row without any ledger entry", key, "no row", "a row")


def _check_entry(book: _Book, entry: OrderEntry) -> None:
    sent, steps, before = book.outcomes.cause_of(entry), book.outcomes.steps_of(entry), book.open()
    _check_sums(book, entry)
    book.blind = book.blind or sent is None or entry.decided_at < book.history.kept_since.get(topics.inbound.name, 0)
    if sent is None or book.blind:
        book.findings.cannot_tell(Rule.ORDER)
        return
    try:
        if isinstance(sent.record, Order):
            _check_order(book, entry, sent.record, steps, before)
        elif isinstance(sent.record, Receipt):
            _check_receipt(book, entry, sent.record, steps, before)
    except Compacted:
        book.blind = True
        book.findings.cannot_tell(Rule.ORDER)
        return
    book.expect(entry, "status", book.status(), entry.status)


def _check_sums(book: _Book, entry: OrderEntry) -> None:
    for change in entry.lines:
        line = book.lines.setdefault(change.line, _Line())
        line.ordered += change.ordered_change
        line.received += change.received_change
        line.open = change.open_quantity
        expected = max(line.ordered - line.received, 0)
        book.expect(entry, f"open quantity of line {change.line}", expected, change.open_quantity, Rule.SUMS)


def _told(steps: Iterable[Step]) -> Counter[_At]:
    """What positions were told of on order, by line and position."""
    told: Counter[_At] = Counter()
    for step in steps:
        change = step.quantity if step.kind == "ORDERED" else -step.on_order_cleared
        told[step.po_line or 0, step.key] += change
    return told


def _check_told(book: _Book, entry: OrderEntry, steps: list[Step], before: Counter[_At]) -> None:
    """What each position was told equals the change of what is open there."""
    told, now = _told(steps), book.open()
    for at in sorted(before.keys() | now.keys() | told.keys()):
        expected = now[at] - before[at]
        book.expect(entry, f"on order told for line {at[0]} at {at[1]}", expected, told[at])


# --- orders ---


def _check_order(book: _Book, entry: OrderEntry, order: Order, steps: list[Step], before: Counter[_At]) -> None:
    superseded = order.revision <= book.revision
    book.expect(entry, "effect", "SUPERSEDED" if superseded else "APPLIED", entry.effect)
    if superseded:
        book.expect(entry, "lines and steps of an older revision", (0, 0), (len(entry.lines), len(steps)))
        return
    wanted = {line.line: line for line in order.lines} if order.status == "OPEN" else {}
    expected = Counter(line.trigger_id for line in wanted.values() if _answers(book, line))
    book.revision, book.order_type, book.currency = order.revision, order.order_type, order.currency
    book.cancelled = order.status == "CANCELLED"
    for line in wanted.values():
        _place(book, entry, line)
    for number in book.lines.keys() - wanted.keys():
        book.expect(entry, f"open quantity of cancelled line {number}", 0, book.lines[number].open)
    _check_told(book, entry, steps, before)
    book.expect(entry, "kinds of steps", {"ORDERED"} if steps else set(), {step.kind for step in steps})
    found = Counter(step.trigger_id for step in steps if step.trigger_id is not None)
    if order.order_type == STOCK:
        book.expect(entry, "triggers answered", expected, found)


def _answers(book: _Book, line: OrderLine) -> bool:
    """Whether a line names a trigger that it did not name before, or names it at another position."""
    known = book.lines.get(line.line)
    if known is None or known.position != line.position:
        return line.trigger_id is not None
    return line.trigger_id is not None and known.trigger_id != line.trigger_id


def _place(book: _Book, entry: OrderEntry, line: OrderLine) -> None:
    """Take a line over as the order has it, and compare the ledger's figure."""
    known = book.lines.setdefault(line.line, _Line())
    if (known.item, known.uom) != (line.item, line.uom):
        known.item, known.uom, known.factor = line.item, line.uom, book.factor(entry, line.item, line.uom)
    known.position, known.unit_price, known.trigger_id = line.position, line.unit_price, line.trigger_id
    book.expect(entry, f"ordered on line {line.line}", line.quantity * known.factor, known.ordered)


# --- receipts ---


def _check_receipt(book: _Book, entry: OrderEntry, receipt: Receipt, steps: list[Step], before: Counter[_At]) -> None:
    _check_told(book, entry, steps, before)
    book.expect(entry, "effect", "APPLIED", entry.effect)
    put_away = [step for step in steps if step.kind == "PUT_AWAY"]
    _check_received(book, entry, put_away)
    _check_delivered(book, entry, receipt, put_away)
    for step in put_away:
        _check_worth(book, entry, step)


def _check_received(book: _Book, entry: OrderEntry, put_away: list[Step]) -> None:
    """What a line received was put away; a bill-only order moves no stock."""
    told = Counter[int]()
    for step in put_away:
        if step.po_line is not None:
            told[step.po_line] += step.quantity
    received = {change.line: change.received_change for change in entry.lines if change.received_change}
    moved = {} if book.order_type == "BILL_ONLY" else received
    book.expect(entry, "PUT_AWAY told, by line", moved, dict(told))


def _check_delivered(book: _Book, entry: OrderEntry, receipt: Receipt, put_away: list[Step]) -> None:
    """Each line of the delivery note is put away where it says, in full; one that came before is not."""
    left, repeated = list(put_away), 0
    for line in receipt.lines:
        delivery = (receipt.supplier, receipt.delivery_note, line.line)
        if delivery in book.deliveries:
            repeated += 1
            continue
        book.deliveries.add(delivery)
        found = next((step for step in left if _is_of(book, entry, step, line)), None)
        if found is not None:
            left.remove(found)
        elif book.order_type != "BILL_ONLY":
            book.expect(entry, f"PUT_AWAY of delivery line {line.line}", f"{line.quantity} {line.uom}", "none")
    for step in left:
        book.expect(entry, "PUT_AWAY of nothing delivered", "none", f"{step.quantity} at {step.key}")
    book.expect(entry, "exceptions for repeated delivery lines", repeated, book.outcomes.repeats_of(entry))


def _is_of(book: _Book, entry: OrderEntry, step: Step, line: ReceiptLine) -> bool:
    if (step.key, step.lot) != (line.position, line.lot):
        return False
    matched = book.lines.get(step.po_line) if step.po_line is not None else None
    pinned = matched is not None and matched.uom == line.uom
    factor = matched.factor if matched and pinned else book.factor(entry, line.item, line.uom)
    return step.quantity == line.quantity * factor


def _check_worth(book: _Book, entry: OrderEntry, step: Step) -> None:
    """Stock of ours is worth what its line pays, to four places; what that is in another currency is not known."""
    line = book.lines.get(step.po_line) if step.po_line is not None else None
    item = book.item(entry, step.key.rsplit("|", 1)[1])
    if line is None or item is None or step.owner is not None or not line.factor:
        book.expect(entry, f"amount of {step.quantity} at {step.key}", None, step.amount)
        return
    worth = line.unit_price * step.quantity * line.factor.denominator / line.factor.numerator
    expected = worth.quantize(_KEPT, ROUND_HALF_UP) if item.currency == book.currency else None
    book.expect(entry, f"amount of {step.quantity} at {step.key}", expected, step.amount)


# --- the table ---


def _check_row(book: _Book, last: OrderEntry, row: OrderRow | None, *, complete: bool) -> None:
    if row is None:
        book.findings.lost(Rule.TABLE, "the row", book.key, f"entry {last.number}", "no row")
        return
    book.expect(last, "number and status in the row", (last.number, last.status), (row.number, row.status), Rule.TABLE)
    if not complete:
        return
    for number in sorted(book.lines.keys() | row.lines.keys()):
        line, found = book.lines.get(number, _Line()), row.lines.get(number, OrderLineRow(0, 0, 0))
        expected = OrderLineRow(line.ordered, line.received, line.open)
        book.expect(last, f"line {number} in the row", expected, found, Rule.TABLE)
