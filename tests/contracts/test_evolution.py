"""A schema changes over the years, and every record ever written stays readable."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from agents import topics
from app.contracts.codec import AvroCodec
from app.contracts.evolution import Standing, check_all, register_all
from app.contracts.registry import LocalRegistry, NotCompatible, Objection, Registry
from app.contracts.schemas import schema_text, subject_of
from app.domain.records import MovementKind, StockMovement
from app.runtime.dead_letters import Reason
from app.runtime.errors import Undecodable
from app.runtime.topics import Topic
from tests.contracts.samples import USAGE, Schema, changed, message, with_field, with_type, without

SUBJECT = subject_of(topics.usage)


def usage_fields(*absent: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in {**asdict(USAGE), **more}.items() if name not in absent}


def test_a_reader_reads_every_version_that_was_ever_registered(registry: Registry) -> None:
    """Year 1 had no procedure_ref, year 2 had no serial either but a field since dropped; ours is year 3."""
    year_1 = changed(topics.usage, without("procedure_ref"))
    year_2 = changed(topics.usage, without("serial"))
    year_2 = json.dumps(_also(json.loads(year_2), {"name": "ward_note", "type": ["null", "string"], "default": None}))
    ids = [registry.register(SUBJECT, text).id for text in (year_1, year_2, schema_text(topics.usage))]
    assert len(set(ids)) == 3
    codec = AvroCodec(registry, [topics.usage])
    decode = codec.decoder(topics.usage)
    assert decode(message(ids[0], year_1, usage_fields("procedure_ref"))).record == USAGE
    assert decode(message(ids[1], year_2, usage_fields("serial", ward_note="late"))).record == USAGE
    assert decode(codec.encoder(topics.usage)(USAGE)).record == USAGE


def _also(schema: Schema, field: Schema) -> Schema:
    with_field(field)(schema)
    return schema


def test_a_later_producer_is_read_without_what_we_do_not_know(registry: Registry) -> None:
    """A source system may be upgraded before Wardstock is."""
    later = changed(topics.usage, with_field({"name": "robot", "type": "string", "default": ""}))
    schema_id = registry.register(SUBJECT, later).id
    written = message(schema_id, later, usage_fields(robot="R-7"))
    assert AvroCodec(registry, [topics.usage]).decoder(topics.usage)(written).record == USAGE


def test_fields_in_another_order_are_read_by_name(registry: Registry) -> None:
    turned = changed(topics.usage, lambda schema: schema["fields"].reverse())
    schema_id = registry.register(SUBJECT, turned).id
    written = message(schema_id, turned, usage_fields())
    assert AvroCodec(registry, [topics.usage]).decoder(topics.usage)(written).record == USAGE


def test_numbers_that_grew_are_read(registry: Registry) -> None:
    small = changed(topics.usage, with_type("quantity", "int"))
    schema_id = registry.register(SUBJECT, small).id
    written = message(schema_id, small, usage_fields())
    assert AvroCodec(registry, [topics.usage]).decoder(topics.usage)(written).record == USAGE


def test_a_field_that_an_older_version_lacks_and_that_has_no_default_is_a_dead_letter() -> None:
    """Where somebody registered past the rules: the message cannot be read, and says why."""
    registry = LocalRegistry()
    lacking = changed(topics.usage, without("quantity"))
    schema_id = registry.register(SUBJECT, lacking).id
    decode = AvroCodec(registry, [topics.usage]).decoder(topics.usage)
    with pytest.raises(Undecodable, match="quantity") as caught:
        decode(message(schema_id, lacking, usage_fields("quantity")))
    assert caught.value.reason is Reason.UNDECODABLE


def test_a_kind_that_we_do_not_know_is_a_dead_letter_and_the_others_are_read() -> None:
    registry = LocalRegistry()
    later = changed(topics.movements, _with_kind("SCRAPPED"))
    schema_id = registry.register(subject_of(topics.movements), later).id
    decode = AvroCodec(registry, [topics.movements]).decoder(topics.movements)
    fields = asdict(_movement())
    fields["counted"] = []
    assert decode(message(schema_id, later, fields)).record == _movement()
    with pytest.raises(Undecodable, match="SCRAPPED") as caught:
        decode(message(schema_id, later, {**fields, "kind": "SCRAPPED"}))
    assert caught.value.reason is Reason.UNDECODABLE


def _with_kind(symbol: str) -> Any:
    def change(schema: Schema) -> None:
        kind = next(field for field in schema["fields"] if field["name"] == "kind")
        kind["type"]["symbols"].append(symbol)

    return change


def _movement() -> StockMovement:
    return StockMovement(
        event_id="M-1", occurred_at=1, recorded_at=2, source_system="wms", correlation_id="C-1",
        kind=MovementKind.RETURN, facility="F-1", location="W-1", item="ITM-1", quantity=1, uom="EA",
    )  # fmt: skip


# --- registering and checking all topics ---


def test_all_topics_are_registered_and_then_as_they_should_be(registry: Registry) -> None:
    assert {one.standing for one in check_all(registry, topics.ALL)} == {Standing.NEW_SUBJECT}
    made = register_all(registry, topics.ALL)
    assert [one.subject for one in made] == [subject_of(topic) for topic in topics.ALL]
    assert register_all(registry, topics.ALL) == made
    checked = check_all(registry, topics.ALL)
    assert {one.standing for one in checked} == {Standing.REGISTERED}
    assert [why for one in checked for why in one.objections] == []


def test_a_check_changes_nothing(registry: Registry) -> None:
    check_all(registry, topics.ALL)
    assert all(registry.versions(subject_of(topic)) == () for topic in topics.ALL)


def test_a_check_names_subject_field_and_reason(registry: Registry) -> None:
    registry.register(SUBJECT, changed(topics.usage, without("cost_center")))
    registry.register(subject_of(topics.movements), changed(topics.movements, _with_kind("SCRAPPED")))
    found = {one.subject: one.objections for one in check_all(registry, topics.ALL) if one.objections}
    assert found == {
        SUBJECT: (Objection(SUBJECT, 1, "cost_center", "added without a default, so older records cannot be read"),),
        "stock.movements-value": (Objection("stock.movements-value", 1, "kind", "enum symbol removed: SCRAPPED"),),
    }


def test_where_one_schema_does_not_fit_none_is_registered(registry: Registry) -> None:
    last = topics.ALL[-1]
    registry.register(subject_of(last), changed(last, without("quantity")))
    with pytest.raises(NotCompatible, match=r"inventory\.inbound-value: field quantity: "):
        register_all(registry, topics.ALL)
    assert all(registry.versions(subject_of(topic)) == () for topic in topics.ALL[:-1])


# --- the body by which repeats are compared ---


def body(codec: AvroCodec, value: bytes, topic: Topic = topics.usage) -> bytes:
    return codec.decoder(topic)(value).body


def test_the_body_is_the_same_in_every_version(registry: Registry) -> None:
    older = changed(topics.usage, without("procedure_ref", "serial"))
    turned = changed(topics.usage, lambda schema: schema["fields"].reverse())
    made = [registry.register(SUBJECT, text).id for text in (older, turned, schema_text(topics.usage))]
    codec = AvroCodec(registry, [topics.usage])
    bodies = {
        body(codec, message(made[0], older, usage_fields("procedure_ref", "serial"))),
        body(codec, message(made[1], turned, usage_fields())),
        body(codec, codec.encoder(topics.usage)(replace(USAGE, recorded_at=7))),
    }
    assert len(bodies) == 1
