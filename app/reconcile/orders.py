"""Rules about one purchase order: its numbers, its sums, its row, and the steps that it told to inventory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from agents import topics
from app.reconcile.findings import Findings, Rule
from app.reconcile.history import (
    Compacted,
    History,
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


@dataclass(slots=True)
class _Line:
    ordered: int = 0
    received: int = 0
    open: int = 0


@dataclass(slots=True)
class _Turn:
    """One order's books, and the entry to be checked against them."""

    history: History
    findings: Findings
    key: str
    lines: dict[int, _Line] = field(default_factory=dict)
    factors: dict[int, Fraction] = field(default_factory=dict)  # pinned when a line was first seen
    order_type: str = "STOCK"

    def expect(self, entry: OrderEntry, what: str, expected: object, found: object, rule: Rule = Rule.ORDER) -> None:
        if expected != found:
            name = f"{entry.key} entry {entry.number} ({entry.kind} {entry.causation_id})"
            self.findings.wrong(rule, what, name, expected, found)

    def factor(self, entry: OrderEntry, item: str, uom: str) -> Fraction | None:
        """Base units in one ``uom`` as of the entry's master version; None where unknown. Raises ``Compacted``."""
        known = self.history.items.at(item, version_of(entry.master_version, topics.items.name))
        return known.factors.get(uom) if known else None


def check_orders(history: History, findings: Findings) -> None:
    """Every order's ledger from end to end, then its row."""
    outcomes, ledgers = Outcomes.of(history), by_key(history.order_entries)
    for key, ledger in ledgers.items():
        sound = check_numbers(key, ledger, findings, None)
        turn = _Turn(history, findings, key)
        for entry in ledger[:sound]:
            _check_entry(turn, entry, outcomes)
        for _ in ledger[sound:]:
            findings.cannot_tell(Rule.SUMS)
        _check_row(turn, ledger[-1], history.orders.get(key), complete=sound == len(ledger))
    for key in history.orders.keys() - ledgers.keys():
        findings.wrong(Rule.TABLE, "a row without any ledger entry", key, "no row", "a row")


def _check_entry(turn: _Turn, entry: OrderEntry, outcomes: Outcomes) -> None:
    sent, steps = outcomes.cause_of(entry), outcomes.steps_of(entry)
    before = {number: line.open for number, line in turn.lines.items()}
    _check_sums(turn, entry)
    if sent is None:
        turn.findings.cannot_tell(Rule.ORDER)
        return
    try:
        if isinstance(sent.record, Order):
            _check_order(turn, entry, sent.record, steps, before)
        elif isinstance(sent.record, Receipt):
            _check_receipt(turn, entry, sent.record, steps, before)
    except Compacted:
        turn.findings.cannot_tell(Rule.ORDER)


def _check_sums(turn: _Turn, entry: OrderEntry) -> None:
    for change in entry.lines:
        line = turn.lines.setdefault(change.line, _Line())
        line.ordered += change.ordered_change
        line.received += change.received_change
        line.open = change.open_quantity
        expected = max(line.ordered - line.received, 0)
        turn.expect(entry, f"open quantity of line {change.line}", expected, change.open_quantity, Rule.SUMS)


# --- orders ---


def _check_order(turn: _Turn, entry: OrderEntry, order: Order, steps: list[Step], before: dict[int, int]) -> None:
    if entry.effect == "SUPERSEDED":
        turn.expect(entry, "what an older revision changes", (0, 0), (len(entry.lines), len(steps)))
        return
    turn.order_type = order.order_type
    wanted = {line.line: line for line in order.lines} if order.status == "OPEN" else {}
    for line in wanted.values():
        _check_ordered(turn, entry, line)
    _check_left_out(turn, entry, wanted.keys())
    _check_ordered_steps(turn, entry, steps, before, wanted)


def _check_ordered(turn: _Turn, entry: OrderEntry, line: OrderLine) -> None:
    factor = turn.factors.setdefault(line.line, turn.factor(entry, line.item, line.uom) or Fraction(0))
    books = turn.lines.get(line.line, _Line())
    turn.expect(entry, f"ordered on line {line.line}", line.quantity * factor, books.ordered)


def _check_left_out(turn: _Turn, entry: OrderEntry, wanted: Iterable[int]) -> None:
    """A line that a revision leaves out, or a cancelled order's, has nothing open any more."""
    for number in turn.lines.keys() - set(wanted):
        turn.expect(entry, f"open quantity of cancelled line {number}", 0, turn.lines[number].open)


def _check_ordered_steps(
    turn: _Turn, entry: OrderEntry, steps: list[Step], before: dict[int, int], wanted: dict[int, OrderLine]
) -> None:
    """Inventory hears of each change of what is open, unless the order is not for our own stock."""
    told: Counter[int] = Counter()
    for step in steps:
        turn.expect(entry, "kind of step", "ORDERED", step.kind)
        told[step.po_line or 0] += step.quantity
        line = wanted.get(step.po_line or 0)
        if line is not None:
            turn.expect(entry, f"position of line {line.line}", line.position, step.key)
    for number, line_books in turn.lines.items():
        change = line_books.open - before.get(number, 0) if turn.order_type == "STOCK" else 0
        turn.expect(entry, f"ORDERED told for line {number}", change, told[number])


# --- receipts ---


def _check_receipt(turn: _Turn, entry: OrderEntry, receipt: Receipt, steps: list[Step], before: dict[int, int]) -> None:
    cleared: Counter[int] = Counter()
    received: Counter[int] = Counter()
    for step in steps:
        turn.expect(entry, "kind of step", "PUT_AWAY", step.kind)
        cleared[step.po_line or 0] += step.on_order_cleared
        received[step.po_line or 0] += step.quantity
    for change in entry.lines:
        turn.expect(entry, f"PUT_AWAY told for line {change.line}", change.received_change, received[change.line])
        closed = before.get(change.line, 0) - change.open_quantity if turn.order_type == "STOCK" else 0
        turn.expect(entry, f"on order cleared for line {change.line}", closed, cleared[change.line])
    _check_delivered(turn, entry, receipt, steps)


def _check_delivered(turn: _Turn, entry: OrderEntry, receipt: Receipt, steps: list[Step]) -> None:
    """Each line of the delivery note is put away where it says, in full; a line seen before is not."""
    told = Counter((step.key, Fraction(step.quantity)) for step in steps)
    delivered = Counter((line.position, _delivered(turn, entry, line)) for line in receipt.lines)
    for (position, quantity), times in (told - delivered).items():
        turn.expect(entry, f"PUT_AWAY of {quantity} at {position}", 0, times)
    repeated = len(receipt.lines) - len(steps)
    turn.expect(entry, "lines put away or raised as repeated", True, repeated <= _raised_repeats(turn, entry))


def _delivered(turn: _Turn, entry: OrderEntry, line: ReceiptLine) -> Fraction:
    return line.quantity * (turn.factor(entry, line.item, line.uom) or Fraction(0))


def _raised_repeats(turn: _Turn, entry: OrderEntry) -> int:
    return sum(
        raised.kind == "REPEATED_DELIVERY_NOTE" and raised.source == entry.source for raised in turn.history.raised
    )


# --- the table ---


def _check_row(turn: _Turn, last: OrderEntry, row: OrderRow | None, *, complete: bool) -> None:
    if row is None:
        turn.findings.lost(Rule.TABLE, "the row", turn.key, f"entry {last.number}", "no row")
        return
    turn.expect(last, "number and status in the row", (last.number, last.status), (row.number, row.status), Rule.TABLE)
    if not complete:
        return
    for number in sorted(turn.lines.keys() | row.lines.keys()):
        line, found = turn.lines.get(number, _Line()), row.lines.get(number, OrderLineRow(0, 0, 0))
        expected = OrderLineRow(line.ordered, line.received, line.open)
        turn.expect(last, f"line {number} in the row", expected, found, Rule.TABLE)
