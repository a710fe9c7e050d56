"""Builds the history that the rules look at from messages, one at a time, in the order of each partition.

Dead letters must come before the inputs they name: only of those are the original bytes kept.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, TypeVar

import orjson

from agents import topics
from app.reconcile import shapes
from app.reconcile.history import DeadLetter, History, MasterLog, Message, Place, Sent
from app.reconcile.validity import flaw
from app.reconcile.wire import Record, Unreadable
from app.runtime.topics import Topic

R = TypeVar("R")
Decode = Callable[[str, bytes | None], Record]  # type name, value -> record; raises Unreadable
Take = Callable[[Message], None]

SOURCES: Final = (*topics.INPUTS, *topics.INTERNAL)  # their messages are events: each must be applied
POSITIONS: Final = "inventory.positions-changelog"
ORDERS: Final = "procurement.purchase-orders-changelog"
PARKED: Final = ("inventory.parked-changelog", "procurement.parked-changelog")
FIRST: Final = (topics.dead_letters.name,)
OPTIONAL: Final = (POSITIONS, ORDERS, *PARKED)  # made by the workers when they first start
_EMPTY: Final = (None, False, 0, "")


class Gathering:
    """Takes messages in, gives the history out. Memory grows with the number of records, not with their bytes."""

    def __init__(self, decode: Decode) -> None:
        self.history = History()
        self._decode = decode
        self._dead: set[Place] = set()
        self._parked: dict[tuple[str, bytes | None], Place] = {}
        self._takers = self._by_topic()

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that the rules need."""
        return tuple(self._takers)

    def take(self, message: Message) -> None:
        """One message of one of ``topics``, in the order of its partition."""
        self.history.messages[message.place.topic] += 1
        self._takers[message.place.topic](message)

    def finish(self) -> History:
        """The history, once every message was taken."""
        self.history.parked = list(self._parked.values())
        return self.history

    def _by_topic(self) -> dict[str, Take]:
        history = self.history
        return {
            topics.dead_letters.name: self._letters(),
            **{topic.name: self._source(topic) for topic in SOURCES},
            topics.ledger.name: self._output(topics.ledger, shapes.entry, history.entries.append),
            topics.order_ledger.name: self._output(
                topics.order_ledger, shapes.order_entry, history.order_entries.append
            ),
            topics.postings.name: self._output(topics.postings, shapes.posting, history.postings.append),
            topics.notices.name: self._output(topics.notices, shapes.notice, history.notices.append),
            topics.triggers.name: self._output(topics.triggers, shapes.trigger, history.triggers.append),
            topics.exceptions.name: self._output(topics.exceptions, shapes.raised, history.raised.append),
            topics.items.name: self._master(topics.items, history.items, shapes.item),
            topics.item_locations.name: self._master(topics.item_locations, history.policies, shapes.policy),
            POSITIONS: self._table(history.positions, shapes.position_row),
            ORDERS: self._table(history.orders, shapes.order_row),
            **dict.fromkeys(PARKED, self._park),
        }

    def _source(self, topic: Topic) -> Take:
        def take(message: Message) -> None:
            try:
                record = self._decode(topic.record.__name__, message.value)
            except Unreadable as unreadable:
                self.history.unreadable[message.place] = unreadable.reason
                self.history.originals[message.place] = message
                return
            self._event(topic, message, record)

        return take

    def _event(self, topic: Topic, message: Message, record: Record) -> None:
        history, place = self.history, message.place
        event_id, body, bad = record["event_id"], _digest(record), flaw(topic.name, record)
        copies = history.events.setdefault((topic.name, event_id), [])
        known = next((sent for sent in copies if sent.body == body), None)
        content = known.record if known else shapes.SOURCE[topic.name](record)
        sent = Sent(place, event_id, body, message.timestamp, content, bad)
        copies.append(sent)
        history.sent[place] = sent
        if bad or place in self._dead:
            history.originals[place] = message

    def _output(self, topic: Topic, shape: Callable[[Record], R], keep: Callable[[R], None]) -> Take:
        def take(message: Message) -> None:
            try:
                record = self._decode(topic.record.__name__, message.value)
            except Unreadable as unreadable:
                self.history.unreadable_outputs.append((message.place, str(unreadable)))
                return
            keep(shape(record))

        return take

    def _letters(self) -> Take:
        file = self._output(topics.dead_letters, shapes.dead_letter, self._dead_letter)

        def take(message: Message) -> None:
            if message.value is not None:  # null under a letter's key: it was replayed, and is a letter all the same
                file(message)

        return take

    def _master(self, topic: Topic, log: MasterLog[R], shape: Callable[[Record], R]) -> Take:
        def take(message: Message) -> None:
            key, offset = (message.key or b"").decode(), message.place.offset
            if message.value is None:
                log.append(key, offset, None)
            else:
                self._output(topic, shape, lambda row: log.append(key, offset, row))(message)

        return take

    def _table(self, rows: dict[str, R], shape: Callable[[Any], R]) -> Take:
        def take(message: Message) -> None:
            key = (message.key or b"").decode()
            if message.value is None:
                rows.pop(key, None)
            else:
                rows[key] = shape(orjson.loads(message.value))

        return take

    def _park(self, message: Message) -> None:
        row = (message.place.topic, message.key)
        if message.value is None:
            self._parked.pop(row, None)
        else:
            parked = orjson.loads(message.value)
            self._parked[row] = Place(parked["topic"], parked["partition"], parked["offset"])

    def _dead_letter(self, letter: DeadLetter) -> None:
        self.history.dead_letters.append(letter)
        self._dead.add(letter.place)


def _digest(record: Record) -> bytes:
    """Equal for two sendings of one event: without ``recorded_at``, and without what a later schema may add empty."""
    body = _full(record)
    body.pop("recorded_at", None)
    return blake2b(orjson.dumps(body, default=str, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _full(record: Record) -> Record:
    return {
        name: [_full(part) for part in value] if isinstance(value, list) else value
        for name, value in record.items()
        if value not in _EMPTY and value != []
    }
