"""From a log to a report without a broker: a message's value is its own address, and decoding looks it up."""

from __future__ import annotations

from app.reconcile.check import check
from app.reconcile.gather import FIRST, Gathering
from app.reconcile.history import History, Message, Place
from app.reconcile.report import Report
from app.reconcile.wire import Record, Unreadable
from tests.reconcile.books import START, Log, Row

NOW = START + 24 * 60 * 60 * 1000


def value_of(row: Row) -> bytes | None:
    return row.raw if row.record is None else f"record at {row.topic}/{row.partition}/{row.offset}".encode()


def message(row: Row) -> Message:
    return Message(
        Place(row.topic, row.partition, row.offset), row.timestamp, row.key, value_of(row), tuple(row.headers)
    )


def history_of(log: Log) -> History:
    records = {value_of(row): _resolved(row.record) for row in log if row.record is not None}

    def decode(_: str, value: bytes | None) -> Record:
        if value is None:
            raise Unreadable("EMPTY_VALUE", "")
        if value not in records:
            raise Unreadable("BAD_FRAMING", "")
        return records[value]

    gathering = Gathering(decode)
    for first in (True, False):
        for row in log:
            if (row.topic in FIRST) is first:
                gathering.take(message(row))
    return gathering.finish()


def report_on(log: Log) -> Report:
    return check(history_of(log), NOW)


def _resolved(record: Record) -> Record:
    """Dead letters hold the value that their message was given."""
    value = record.get("value")
    return {**record, "value": value_of(value)} if isinstance(value, Row) else record
