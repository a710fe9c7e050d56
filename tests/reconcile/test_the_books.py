"""Books that balance are found to balance; each way of spoiling them is found, as what it is."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest

from app.reconcile import Kind, Rule
from app.reconcile.check import check
from app.reconcile.findings import KEPT, Findings
from app.reconcile.report import Report
from tests.reconcile import books as b
from tests.reconcile.books import Bookkeeper, Log, Row
from tests.reconcile.conftest import STORE_GLOVES, WARD_GLOVES, a_day
from tests.reconcile.pure import NOW, history_of, report_on

Spoil = Callable[[Log], Any]


def test_a_day_of_every_kind_of_event_balances(books: Bookkeeper) -> None:
    report = report_on(books.settle())
    assert report.differences == ()
    assert report.ok
    assert report.unverifiable == {}


def test_the_report_counts_what_was_there(books: Bookkeeper) -> None:
    log = books.settle()
    report = report_on(log)
    assert report.events == sum(len(log.rows[topic]) for topic in (b.USAGE, b.MOVEMENTS, b.ORDERS, b.RECEIPTS))
    assert report.distinct == report.events - 4  # a repeat, a conflict, two dead letters
    assert report.postings == len(log.rows[b.POSTINGS])
    assert report.triggers + report.triggers_cancelled == len(log.rows[b.TRIGGERS])
    assert report.exceptions == {"ID_CONFLICT": 1, "INEXACT_QUANTITY": 1}
    assert report.dead_letters == {"BAD_FRAMING": 1, "INVALID": 1}
    assert (report.parked, report.positions, report.orders) == (1, 5, 3)


# --- spoiling ---


def drop(topic: str, **fields: object) -> Spoil:
    return lambda log: log.rows[topic].remove(one(log, topic, **fields))


def double(topic: str, **fields: object) -> Spoil:
    def spoil(log: Log) -> None:
        again(log, one(log, topic, **fields))

    return spoil


def again(log: Log, row: Row, **changes: object) -> None:
    record = None if row.record is None else {**row.record, **changes}
    key = None if row.key is None else row.key.decode()
    log.append(row.topic, key, row.timestamp, row.partition, record=record, raw=row.raw, headers=row.headers)


def alter(topic: str, change: Callable[[dict[str, Any]], Any], **fields: object) -> Spoil:
    def spoil(log: Log) -> None:
        record = one(log, topic, **fields).record
        assert record is not None
        change(record)

    return spoil


def alter_row(topic: str, key: str, change: Callable[[dict[str, Any]], Any]) -> Spoil:
    def spoil(log: Log) -> None:
        row = next(row for row in log.rows[topic] if row.key == key.encode())
        assert row.raw is not None
        content = orjson.loads(row.raw)
        change(content)
        row.raw = orjson.dumps(content)

    return spoil


def drop_row(topic: str, key: str) -> Spoil:
    return lambda log: log.rows[topic].remove(next(row for row in log.rows[topic] if row.key == key.encode()))


def one(log: Log, topic: str, **fields: object) -> Row:
    """The first message of ``topic`` whose record has these fields."""
    return next(
        row
        for row in log.rows[topic]
        if row.record is not None and all(row.record[name] == value for name, value in fields.items())
    )


def put(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda record: record.update(values)


def add(name: str, amount: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record[name] += amount

    return change


def lot(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["lots"][0].update(values)


def shift(*names: str, by: int) -> Callable[[dict[str, Any]], None]:
    """Changes a figure and its sum alike, so that the ledger still adds up."""

    def change(record: dict[str, Any]) -> None:
        for name in names:
            record[name] += by
        record["lots"][0]["change"] += by
        record["lots"][0]["balance"] += by

    return change


LOST, DOUBLED, WRONG = Kind.LOST, Kind.DOUBLED, Kind.WRONG
LAST_WARD_USAGE = {"kind": "USAGE", "effect": "BEFORE_COUNT"}

SPOILED: dict[str, tuple[Spoil, Kind, Rule]] = {
    # every event once
    "an input that nothing came of": (
        lambda log: again(log, one(log, b.USAGE), event_id="E-NEW"), LOST, Rule.APPLIED_ONCE),
    "a ledger entry lost": (drop(b.LEDGER, kind="ISSUE"), LOST, Rule.APPLIED_ONCE),
    "a ledger entry lost leaves a gap": (drop(b.LEDGER, kind="ISSUE"), LOST, Rule.NUMBERS),
    "a ledger entry doubled": (double(b.LEDGER, kind="ISSUE"), DOUBLED, Rule.APPLIED_ONCE),
    "a ledger number twice": (double(b.LEDGER, kind="ISSUE"), DOUBLED, Rule.NUMBERS),
    "an order entry lost": (drop(b.ORDER_LEDGER, kind="RECEIPT"), LOST, Rule.APPLIED_ONCE),
    "an event of the internal topic lost": (drop(b.LEDGER, kind="PUT_AWAY"), LOST, Rule.APPLIED_ONCE),
    "an entry for a message that is not there": (
        alter(b.LEDGER, add("source_offset", 1_000), kind="RETURN"), WRONG, Rule.APPLIED_ONCE),
    "an entry that names another key": (alter(b.LEDGER, put(item="OTHER"), kind="RETURN"), WRONG, Rule.APPLIED_ONCE),
    "an entry decided at another time": (alter(b.LEDGER, add("decided_at", 1), kind="RETURN"), WRONG,
                                         Rule.APPLIED_ONCE),
    "a refusal lost": (drop(b.EXCEPTIONS, kind="INEXACT_QUANTITY"), LOST, Rule.APPLIED_ONCE),
    "a refusal doubled": (double(b.EXCEPTIONS, kind="INEXACT_QUANTITY"), DOUBLED, Rule.APPLIED_ONCE),
    "a parked event lost": (lambda log: log.rows[b.PARKED_ROWS].clear(), LOST, Rule.APPLIED_ONCE),
    "a parked event applied as well": (
        lambda log: log.append(b.PARKED_ROWS, "H9", 0, raw=orjson.dumps(
            {"topic": b.USAGE, "partition": one(log, b.USAGE).partition, "offset": one(log, b.USAGE).offset})),
        DOUBLED, Rule.APPLIED_ONCE),
    # ids
    "an id conflict that nobody was told of": (drop(b.EXCEPTIONS, kind="ID_CONFLICT"), LOST, Rule.ID_CONFLICT),
    "an id conflict told twice": (double(b.EXCEPTIONS, kind="ID_CONFLICT"), DOUBLED, Rule.ID_CONFLICT),
    "a repeat taken for a conflict": (
        lambda log: again(log, one(log, b.EXCEPTIONS, kind="ID_CONFLICT"),
                          source_offset=one(log, b.USAGE).offset, source_partition=one(log, b.USAGE).partition),
        WRONG, Rule.ID_CONFLICT),
    "a later body applied instead of the first": (
        lambda log: one(log, b.LEDGER, kind="USAGE").record.update(  # type: ignore[union-attr]
            source_offset=one(log, b.USAGE, quantity=8).offset), WRONG, Rule.ID_CONFLICT),
    # dead letters
    "a dead letter lost": (drop(b.DEAD_LETTERS, reason="BAD_FRAMING"), LOST, Rule.DEAD_LETTER),
    "an invalid event's dead letter lost": (drop(b.DEAD_LETTERS, reason="INVALID"), LOST, Rule.DEAD_LETTER),
    "a dead letter doubled": (double(b.DEAD_LETTERS, reason="BAD_FRAMING"), DOUBLED, Rule.DEAD_LETTER),
    "a dead letter's bytes altered": (
        alter(b.DEAD_LETTERS, put(value=b"\x07oopS"), reason="BAD_FRAMING"), WRONG, Rule.DEAD_LETTER),
    "a dead letter's key altered": (
        alter(b.DEAD_LETTERS, put(key=None), reason="BAD_FRAMING"), WRONG, Rule.DEAD_LETTER),
    "a dead letter's header dropped": (
        alter(b.DEAD_LETTERS, put(headers=[]), reason="BAD_FRAMING"), WRONG, Rule.DEAD_LETTER),
    "a dead letter with another reason": (
        alter(b.DEAD_LETTERS, put(reason="INVALID"), reason="BAD_FRAMING"), WRONG, Rule.DEAD_LETTER),
    "a valid event given up as invalid": (
        lambda log: again(log, one(log, b.DEAD_LETTERS, reason="INVALID"),
                          offset=one(log, b.USAGE).offset, partition=one(log, b.USAGE).partition),
        WRONG, Rule.DEAD_LETTER),
    # sums and tables
    "a lot's balance that does not add up": (alter(b.LEDGER, lot(balance=99), kind="RETURN"), WRONG, Rule.SUMS),
    "a value that does not add up": (alter(b.LEDGER, add("value", Decimal(1)), kind="RETURN"), WRONG, Rule.SUMS),
    "an on-hand figure that does not add up": (alter(b.LEDGER, add("on_hand", 1), kind="RETURN"), WRONG, Rule.SUMS),
    "a lot's balance in the table": (
        alter_row(b.POSITION_ROWS, WARD_GLOVES, lambda row: row["lots"][0].update(balance=1)), WRONG, Rule.TABLE),
    "a lot that only the table has": (
        alter_row(b.POSITION_ROWS, WARD_GLOVES,
                  lambda row: row["lots"].append({"lot": "X", "owner": None, "balance": 1})), WRONG, Rule.TABLE),
    "requested in the table": (alter_row(b.POSITION_ROWS, WARD_GLOVES, add("requested", 1)), WRONG, Rule.TABLE),
    "on order in the table": (alter_row(b.POSITION_ROWS, WARD_GLOVES, add("on_order", 1)), WRONG, Rule.TABLE),
    "in transit in the table": (alter_row(b.POSITION_ROWS, WARD_GLOVES, add("in_transit", 1)), WRONG, Rule.TABLE),
    "the value in the table": (alter_row(b.POSITION_ROWS, WARD_GLOVES, put(value="1.00")), WRONG, Rule.TABLE),
    "the number in the table": (alter_row(b.POSITION_ROWS, WARD_GLOVES, add("number", -1)), WRONG, Rule.TABLE),
    "a row lost": (drop_row(b.POSITION_ROWS, WARD_GLOVES), LOST, Rule.TABLE),
    "a row from nowhere": (
        lambda log: log.append(b.POSITION_ROWS, "X|Y|Z", 0, raw=log.rows[b.POSITION_ROWS][0].raw), WRONG, Rule.TABLE),
    "an order's row lost": (drop_row(b.ORDER_ROWS, "PO-1"), LOST, Rule.TABLE),
    "an order's open quantity in the table": (
        alter_row(b.ORDER_ROWS, "PO-1", lambda row: row["lines"][0].update(open=3)), WRONG, Rule.TABLE),
    "an order's status in the table": (alter_row(b.ORDER_ROWS, "PO-1", put(status="OPEN")), WRONG, Rule.TABLE),
    # quantities
    "a supplier's lot taken for our own": (
        alter(b.LEDGER, lot(owner=None), kind="USAGE", item=b.STENT, location="OR-1"), WRONG, Rule.LOT),
    "a quantity in boxes taken for pieces": (alter(b.LEDGER, shift("on_hand", by=18), kind="ISSUE"), WRONG,
                                             Rule.QUANTITY),
    "a lot that the event did not name": (alter(b.LEDGER, lot(lot="L2"), kind="RETURN"), WRONG, Rule.LOT),
    "a put-away that clears too much": (alter(b.LEDGER, add("on_order_change", -1), kind="PUT_AWAY"), WRONG,
                                        Rule.QUANTITY),
    "a late count that forgets a later change": (alter(b.LEDGER, shift("on_hand", by=5), number=8), WRONG, Rule.COUNT),
    "a usage from before the count that changes the balance": (
        alter(b.LEDGER, shift("on_hand", by=-2), **LAST_WARD_USAGE), WRONG, Rule.COUNT),
    "a full count that leaves a lot": (
        alter(b.LEDGER, lambda record: record["lots"].pop(), kind="COUNT", item=b.STENT), WRONG, Rule.COUNT),
    "a reversal of the wrong quantity": (
        alter(b.LEDGER, shift("on_hand", by=1), kind="USAGE_REVERSAL", item=b.GLOVE), WRONG, Rule.REVERSAL),
    "a reversal of something else": (
        alter(b.LEDGER, put(reverses="E1"), kind="USAGE_REVERSAL", item=b.GLOVE), WRONG, Rule.REVERSAL),
    "a transfer that is not in transit": (
        alter(b.LEDGER, add("in_transit_change", -1), kind="TRANSFER_SENT"), WRONG, Rule.TRANSFER),
    "a transfer that loses value": (
        alter(b.LEDGER, add("value_change", Decimal(-1)), kind="TRANSFER_IN"), WRONG, Rule.TRANSFER),
    # ledger entries and outputs
    "a posting lost": (drop(b.POSTINGS), LOST, Rule.CAUSED),
    "a posting doubled": (double(b.POSTINGS), DOUBLED, Rule.CAUSED),
    "a posting from nowhere": (
        lambda log: again(log, one(log, b.POSTINGS), event_id=f"{b.USAGE}/E0#1"), WRONG, Rule.CAUSED),
    "a notice lost": (drop(b.NOTICES), LOST, Rule.CAUSED),
    "an output that two entries name": (
        lambda log: one(log, b.LEDGER, kind="RETURN").record["caused"].append(  # type: ignore[index]
            f"{b.POSTINGS}:{one(log, b.POSTINGS).record['event_id']}"), DOUBLED, Rule.CAUSED),  # type: ignore[index]
    # money
    "a posting of another amount": (alter(b.POSTINGS, add("amount", Decimal("0.01"))), WRONG, Rule.AMOUNT),
    "a posting of another quantity": (alter(b.POSTINGS, add("quantity", 1)), WRONG, Rule.AMOUNT),
    "a posting in fractions of a cent": (alter(b.POSTINGS, add("amount", Decimal("0.001"))), WRONG, Rule.AMOUNT),
    "a notice of another quantity": (alter(b.NOTICES, add("quantity", 1)), WRONG, Rule.AMOUNT),
    "a notice of another balance": (alter(b.NOTICES, add("balance", 1)), WRONG, Rule.AMOUNT),
    # triggers
    "a trigger lost": (drop(b.TRIGGERS), LOST, Rule.TRIGGER),
    "a trigger of another quantity": (alter(b.TRIGGERS, add("quantity", 1)), WRONG, Rule.TRIGGER),
    "a trigger with another id": (alter(b.TRIGGERS, put(trigger_id="H1|X|Y#1")), WRONG, Rule.TRIGGER),
    "a withdrawn trigger left open": (alter(b.TRIGGERS, put(status="OPEN"), status="CANCELLED"), WRONG, Rule.TRIGGER),
    "a trigger that was not due": (
        lambda log: again(log, one(log, b.TRIGGERS), facility="H1", location="STORE",
                          event_id=f"{b.MOVEMENTS}/{one(log, b.MOVEMENTS, kind='RETURN').record['event_id']}#2"),  # type: ignore[index]
        WRONG, Rule.TRIGGER),
    # orders
    "an order told to inventory with another quantity": (
        alter(b.INBOUND, add("quantity", 1), kind="ORDERED"), WRONG, Rule.ORDER),
    "an order not told to inventory": (drop(b.INBOUND, kind="ORDERED"), WRONG, Rule.ORDER),
    "a receipt put away twice": (double(b.INBOUND, kind="PUT_AWAY"), DOUBLED, Rule.CAUSED),
    "a receipt that clears too much": (
        alter(b.INBOUND, add("on_order_cleared", 1), kind="PUT_AWAY"), WRONG, Rule.ORDER),
    "an order of another quantity": (
        alter(b.ORDER_LEDGER, lambda record: record["lines"][0].update(ordered_change=61, open_quantity=61)),
        WRONG, Rule.ORDER),
    "an order that answers another trigger": (
        alter(b.INBOUND, put(trigger_id="H1|X|Y#9"), po_number="PO-2"), WRONG, Rule.ORDER),
    "an older revision applied": (alter(b.ORDER_LEDGER, put(effect="APPLIED"), effect="SUPERSEDED"), WRONG, Rule.ORDER),
    "an order of another status": (alter(b.ORDER_LEDGER, put(status="OPEN"), kind="RECEIPT"), WRONG, Rule.ORDER),
    "a receipt put away somewhere else": (alter(b.INBOUND, put(location="OR-1"), kind="PUT_AWAY"), WRONG, Rule.ORDER),
    "a receipt of another lot": (alter(b.INBOUND, put(lot="L7"), kind="PUT_AWAY"), WRONG, Rule.ORDER),
    "a receipt at another price": (alter(b.INBOUND, add("amount", Decimal(1)), kind="PUT_AWAY"), WRONG, Rule.ORDER),
    "an order's sums": (
        alter(b.ORDER_LEDGER, lambda record: record["lines"][0].update(open_quantity=1)), WRONG, Rule.SUMS),
}  # fmt: skip


@pytest.fixture(scope="module")
def settled() -> Log:
    return a_day().settle()


@pytest.mark.parametrize("what", SPOILED)
def test_every_way_of_spoiling_the_books_is_found_as_what_it_is(what: str, settled: Log) -> None:
    spoil, kind, rule = SPOILED[what]
    log = deepcopy(settled)
    spoil(log)
    report = report_on(log)
    assert (kind, rule) in {(found.kind, found.rule) for found in report.differences}, shown(report)
    assert not report.ok


def shown(report: Report) -> str:
    return "\n".join(map(str, report.differences)) or "no difference"


def test_one_error_in_a_balance_is_not_reported_again_at_every_later_entry(books: Bookkeeper) -> None:
    log = books.settle()
    alter(b.LEDGER, add("value", Decimal(1)), kind="RETURN")(log)
    sums = [found for found in report_on(log).differences if found.rule is Rule.SUMS]
    assert len(sums) == 2  # the entry itself, and the next one that starts from the right value


def test_positions_with_a_difference_are_counted_once_each(books: Bookkeeper) -> None:
    log = books.settle()
    for key in (WARD_GLOVES, STORE_GLOVES):
        alter_row(b.POSITION_ROWS, key, add("on_order", 1))(log)
        alter_row(b.POSITION_ROWS, key, add("requested", 1))(log)
    report = report_on(log)
    assert (report.wrong, report.wrong_positions) == (4, 2)


def test_entries_behind_a_gap_are_unverifiable_and_not_wrong(books: Bookkeeper) -> None:
    log = books.settle()
    drop(b.LEDGER, kind="TRANSFER_SENT")(log)
    report = report_on(log)
    assert report.unverifiable["ledger-sums"] == 2
    assert {found.rule for found in report.differences} == {Rule.NUMBERS, Rule.APPLIED_ONCE, Rule.CAUSED}


def test_positions_below_their_reorder_level_are_counted(books: Bookkeeper) -> None:
    """The theatre holds 25 of par 30, the store 40-odd of a point of 40; consigned stents have no level here."""
    assert report_on(books.settle()).positions_below == 2


# --- master data as of a decision ---


def test_an_entry_is_judged_by_the_master_data_that_it_saw(books: Bookkeeper) -> None:
    log = books.settle()
    for row in list(log.rows[b.ITEM_LOCATIONS]):  # from now on nothing is replenished before it has run out
        again(log, row, policy="MIN_MAX", min_quantity=-1_000, max_quantity=0)
    report = report_on(log)
    assert (report.differences, report.positions_below) == ((), 0)


def test_an_entry_is_not_judged_by_the_master_data_before_what_it_saw(books: Bookkeeper) -> None:
    for row in list(books.log.rows[b.ITEM_LOCATIONS]):
        again(books.log, row)
    log = books.settle()
    for row in log.rows[b.ITEM_LOCATIONS][: len(b.LEVELS)]:
        assert row.record is not None
        row.record.update(policy="MIN_MAX", min_quantity=-1_000, max_quantity=0)
    for record in (*log.records(b.LEDGER), *log.records(b.ORDER_LEDGER)):
        record["master_version"] = f"items@2,item-locations@{2 * len(b.LEVELS)}"
    assert report_on(log).ok


def test_what_compaction_removed_is_unverifiable_and_not_wrong(books: Bookkeeper) -> None:
    log = books.settle()
    for row in list(log.rows[b.ITEMS]):
        again(log, row)
        log.rows[b.ITEMS].remove(row)
    report = report_on(log)
    assert report.differences == ()
    assert report.unverifiable["quantity"] > 0


def test_a_unit_that_the_item_never_had_is_wrong_where_nothing_was_compacted(books: Bookkeeper) -> None:
    log = books.settle()
    for record in log.records(b.ITEMS):
        record["conversions"] = []
    assert Rule.QUANTITY in {found.rule for found in report_on(log).differences}


# --- what may be gone ---


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("kept", [(b.LEDGER, b.ORDER_LEDGER), (b.LEDGER, b.ORDER_LEDGER, b.INBOUND, b.POSTINGS)])
def test_what_retention_removed_is_unverifiable_and_not_wrong(share: float, kept: tuple[str, ...]) -> None:
    log = a_day().settle()
    cut = int(b.START + share * 45 * b.MINUTE)
    history = history_of(kept_after(log, cut, kept))
    history.low = dict.fromkeys(log.ends, 10000)
    history.kept_since = {topic: cut for topic in log.rows if topic not in kept}
    report = check(history, NOW)
    assert report.differences == (), shown(report)
    assert sum(report.unverifiable.values()) > 0


def kept_after(log: Log, cut: int, kept: tuple[str, ...]) -> Log:
    """What is left when retention removed all before ``cut``, but for compacted topics and those in ``kept``."""
    left = deepcopy(log)
    for topic, rows in left.rows.items():
        if topic not in kept and not topic.startswith("master.") and not topic.endswith("-changelog"):
            left.rows[topic] = [row for row in rows if row.timestamp >= cut]
    return left


def test_what_expires_later_may_not_be_taken_first() -> None:
    books = Bookkeeper()
    books.order("PO-1", WARD_GLOVES, 6)
    books.receive("PO-1", 2, "LATE", date(2027, 2, 1))
    books.receive("PO-1", 2, "SOON", date(2026, 4, 1))
    books.receive("PO-1", 2, "GONE", date(2026, 3, 1))
    books.usage(WARD_GLOVES, 5, lot=None)
    log = books.settle()
    assert report_on(log).ok
    alter(b.LEDGER, lot(lot="LATE", expiry_date=date(2027, 2, 1)), kind="USAGE")(log)
    assert Rule.LOT in {found.rule for found in report_on(log).differences}


def test_differences_are_counted_in_full_and_kept_up_to_a_cap() -> None:
    findings = Findings()
    for number in range(KEPT + 5):
        findings.lost(Rule.CAUSED, "a posting", number, 1)
    assert (findings.total(Kind.LOST), len(findings.kept)) == (KEPT + 5, KEPT)
