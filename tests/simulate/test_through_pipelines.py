"""What the simulation says of its messages, held against what the pipelines make of them (on a log in memory)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from agents import topics
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import LocalRegistry
from app.domain.records import ExceptionKind, LedgerEntry, OrderLedgerEntry, TriggerStatus
from app.main import inventory, procurement
from app.runtime.dead_letters import Reason
from app.runtime.driver import Driver
from app.simulate.flow import Flow
from app.simulate.messages import Nature, Published
from app.simulate.plan import Plan, Shares, span_ms
from app.simulate.publisher import encoded
from app.simulate.world import make_world

START = 1_780_000_000_000
EVENTS = 2_500
PARK_MAX_AGE_MS = 900_000
AS_MANY_AS_ARE_WORKED_AT_ONCE = 40


class Played:
    """A whole run through both pipelines, the ERP answering their triggers."""

    def __init__(self, driver: Driver, codec: AvroCodec, plan: Plan) -> None:
        self.driver = driver
        self.messages: list[Published] = []
        self.answered = 0
        self._encoders = {topic: codec.encoder(topic) for topic in topics.ALL}
        self._flow = Flow(make_world(plan.seed, plan.facilities), plan)
        self._triggers = 0

    def play(self) -> None:
        for message in self._flow.master():
            self._publish(message)
        for message in self._flow:
            self._publish(message)
            if len(self.messages) % AS_MANY_AS_ARE_WORKED_AT_ONCE == 0:
                self._work()
        self._work()

    def _publish(self, message: Published) -> None:
        value = encoded(self._encoders[message.topic], message)
        key = None if message.key is None else message.key.encode()
        self.driver.publish_raw(message.topic.name, value, key=key, timestamp=message.timestamp)
        if message.nature is not Nature.MASTER:
            self.messages.append(message)

    def _work(self) -> None:
        self.driver.run()
        triggers = self.driver.records(topics.triggers)
        self.answered += sum(self._flow.react(trigger) for trigger in triggers[self._triggers :])
        self._triggers = len(triggers)

    def of(self, *natures: Nature) -> list[Published]:
        return [message for message in self.messages if message.nature in natures]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    registry = LocalRegistry()
    register_all(registry, topics.ALL)
    codec = AvroCodec(registry, topics.ALL)
    shares = Shares(repeats=0.1, invalid=0.04, undecodable=0.02, misplaced=0.02)
    with Driver(inventory, procurement, codec=codec, partitions=1, park_max_age_ms=PARK_MAX_AGE_MS) as driver:
        played = Played(driver, codec, Plan(5, EVENTS, START, START + span_ms(EVENTS), shares=shares))
        played.play()
        driver.advance(PARK_MAX_AGE_MS + 1)
        driver.run()
        yield played


def test_dead_letters_are_the_messages_meant_to_be_unreadable_or_invalid(played: Played) -> None:
    reasons = Counter(letter.reason for letter in played.driver.records(topics.dead_letters))
    assert reasons[Reason.INVALID] == len(played.of(Nature.INVALID))
    assert reasons.total() - reasons[Reason.INVALID] == len(played.of(Nature.UNDECODABLE))
    assert reasons[Reason.AGENT_ERROR] == 0


def test_every_distinct_event_is_in_a_ledger_once_or_refused_once(played: Played) -> None:
    entries: list[LedgerEntry | OrderLedgerEntry] = [
        *played.driver.records(topics.ledger), *played.driver.records(topics.order_ledger)
    ]  # fmt: skip
    names = {topic.name for topic in topics.INPUTS}
    ended = Counter((e.source_topic, e.causation_id) for e in entries if e.source_topic in names)
    refused = {(e.source_topic, e.causation_id) for e in exceptions(played, applied=False)}
    for message in played.of(Nature.EVENT, Nature.UNRESOLVED):
        event = message.topic.name, message.record.event_id
        assert ended[event] == 1 or (ended[event] == 0 and event in refused), message


def exceptions(played: Played, applied: bool) -> list[Any]:
    return [e for e in played.driver.records(topics.exceptions) if e.applied is applied]


def test_what_refers_to_nothing_is_refused_and_little_else(played: Played) -> None:
    unresolved = {m.record.event_id for m in played.of(Nature.UNRESOLVED)}
    kinds = {ExceptionKind.UNKNOWN_REFERENCE, ExceptionKind.REVERSAL_WITHOUT_ORIGINAL, ExceptionKind.ALREADY_REVERSED}
    refused = [e.causation_id for e in exceptions(played, applied=False) if e.kind in kinds]
    assert unresolved
    assert Counter(refused) == Counter(unresolved)


def test_every_conflict_is_raised(played: Played) -> None:
    raised = [e for e in exceptions(played, applied=False) if e.kind is ExceptionKind.ID_CONFLICT]
    assert len(raised) == len(played.of(Nature.CONFLICT)) > 0


def test_the_triggers_of_the_pipeline_are_answered(played: Played) -> None:
    triggers = played.driver.records(topics.triggers)
    opened = [trigger for trigger in triggers if trigger.status is TriggerStatus.OPEN]
    assert len(opened) > 50
    assert played.answered > len(opened) / 2


def test_nothing_meant_to_be_worked_stays_parked(played: Played) -> None:
    rows: dict[bytes | None, bytes | None] = {
        m.key(): m.value() for m in played.driver.messages("inventory.parked-changelog")
    }
    assert rows
    assert not any(rows.values())
