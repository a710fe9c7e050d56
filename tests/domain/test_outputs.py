"""What goes out: where to, under which name, and whose work an exception is."""

from __future__ import annotations

import json

from agents import topics
from app.domain.exceptions import ROUTES, id_conflict, payload_of
from app.domain.outputs import TOPICS
from app.domain.records import ExceptionKind
from tests.domain.hospital import SOON, Hospital, order, order_line, usage


def test_the_domain_names_each_topic_as_it_is_declared() -> None:
    declared = {topic.record: topic.name for topic in (*topics.OUTPUTS, *topics.INTERNAL)}
    assert {record: declared[record] for record in TOPICS} == TOPICS


def test_every_kind_of_exception_has_an_owner() -> None:
    assert set(ROUTES) == set(ExceptionKind)


def test_an_id_conflict_names_the_second_message_and_never_an_output_of_the_first() -> None:
    event = usage(1, event_id="U1")
    source = Hospital().source(event)
    exception = id_conflict(event, source, "items@1")
    assert (exception.kind, exception.applied) == ("ID_CONFLICT", False)
    assert exception.event_id == "clinical.usage/U1@0/0#0"
    assert (exception.source_topic, exception.source_offset) == ("clinical.usage", 0)


def test_a_payload_is_the_event_without_nulls_and_without_its_procedure() -> None:
    payload = json.loads(payload_of(usage(2, "A", expiry_date=SOON, procedure_ref="P1")))
    assert payload["expiry_date"] == "2026-10-01"
    assert (payload["quantity"], payload["lot"]) == (2, "A")
    assert not payload.keys() & {"procedure_ref", "serial"}


def test_a_payload_holds_the_lines_of_an_order() -> None:
    payload = json.loads(payload_of(order(order_line(1, 5))))
    assert payload["status"] == "OPEN"
    assert payload["lines"][0]["unit_price"] == "2.50"
