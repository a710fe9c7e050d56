"""The books of a driver's log, checked by the code that shares nothing with the rules that wrote them."""

from __future__ import annotations

from app.contracts.registry import LocalRegistry, SchemaNotFound
from app.reconcile.check import check
from app.reconcile.gather import FIRST, Gathering
from app.reconcile.history import Message, Place
from app.reconcile.report import Report
from app.reconcile.wire import Wire
from app.runtime.driver import Driver
from app.runtime.log import Recorded


def audit(driver: Driver, registry: LocalRegistry, now: int) -> Report:
    """Every rule of ``app.reconcile`` over all that is on the log."""

    def schema(schema_id: int) -> str | None:
        try:
            return registry.schema(schema_id)
        except SchemaNotFound:
            return None

    gathering = Gathering(Wire(schema).decode)
    rest = [name for name in gathering.topics if name not in FIRST]
    for topic in (*FIRST, *rest):
        for row in driver.messages(topic):
            gathering.take(_message(row))
    return check(gathering.finish(), now)


def _message(row: Recorded) -> Message:
    place = Place(row.topic(), row.partition(), row.offset())
    return Message(place, row.timestamp()[1], row.key(), row.value(), tuple(row.headers() or ()))
