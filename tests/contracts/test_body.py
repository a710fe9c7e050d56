"""The body by which two sendings of one event are compared: what a resend may change is not in it, all else is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agents import topics
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import LocalRegistry
from app.contracts.schemas import schema_text, subject_of
from app.domain.records import OrderStatus, OrderType, PurchaseOrder, PurchaseOrderLine, Receipt, ReceiptLine, Supplier
from app.runtime.topics import Topic
from tests.contracts.samples import Schema, changed, message, schema_of
from tests.contracts.strategies import LONGS, records

COMPARED = tuple(replace(topic, internal=True) for topic in topics.ALL if topic.id_of is not None)
LOCAL = LocalRegistry()
register_all(LOCAL, topics.ALL)
CODEC = AvroCodec(LOCAL, COMPARED)

each_topic = pytest.mark.parametrize("topic", COMPARED, ids=lambda topic: topic.name)
few_examples = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def body(topic: Topic, record: Any) -> bytes:
    return CODEC.decoder(topic)(CODEC.encoder(topic)(record)).body


@each_topic
@few_examples
@given(data=st.data())
def test_when_it_was_recorded_is_not_in_the_body(topic: Topic, data: st.DataObject) -> None:
    record = data.draw(records(topic.record))
    assert body(topic, record) == body(topic, replace(record, recorded_at=data.draw(LONGS)))


@each_topic
@few_examples
@given(data=st.data())
def test_two_records_have_one_body_only_if_they_differ_in_nothing_else(topic: Topic, data: st.DataObject) -> None:
    record, name = data.draw(records(topic.record)), data.draw(st.sampled_from(_names(topic)))
    other = replace(record, **{name: getattr(data.draw(records(topic.record)), name)})
    assume(name not in topic.unlike)
    assert (body(topic, record) == body(topic, other)) == (record == other)


def _names(topic: Topic) -> list[str]:
    return [field.name for field in dataclasses.fields(topic.record)]


@each_topic
@few_examples
@given(data=st.data())
def test_a_field_at_its_default_is_not_in_the_body_so_that_it_can_be_added_later(
    topic: Topic, data: st.DataObject
) -> None:
    """The body of a record whose later fields are not used is the one it had before they existed."""
    optional = {field["name"] for field in schema_of(topic)["fields"] if "default" in field}
    defaults = {f.name: f.default for f in dataclasses.fields(topic.record) if f.name in optional}
    record = replace(data.draw(records(topic.record)), **defaults)
    older = changed(topic, lambda schema: _drop(schema, optional))
    schema_id = LOCAL.register(f"{subject_of(topic)}-older", older).id
    fields = {name: value for name, value in dataclasses.asdict(record).items() if name not in optional}
    lines = {name: list(value) for name, value in fields.items() if isinstance(value, tuple)}
    written = message(schema_id, older, {**fields, **lines})
    decoded = CODEC.decoder(topic)(written)
    assert decoded.record == record
    assert decoded.body == body(topic, record)


def _drop(schema: Schema, names: set[str]) -> None:
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in names]


def test_nulls_within_lines_are_not_in_the_body() -> None:
    line = ReceiptLine(1, "ITM-1", "F-1", "W-1", 3, "BX")
    receipt = Receipt("E-1", 1, 2, "dock", "C-1", "S-1", "DN-1", (line, replace(line, line=2, lot="L-1")))
    said = json.loads(body(COMPARED[3], receipt))
    assert said["lines"][0] == {
        "line": 1, "item": "ITM-1", "facility": "F-1", "location": "W-1", "quantity": 3, "uom": "BX",
    }  # fmt: skip
    assert said["lines"][1]["lot"] == "L-1"


def test_equal_prices_have_one_body_however_they_are_written() -> None:
    def order(price: str) -> PurchaseOrder:
        line = PurchaseOrderLine(1, "ITM-1", "F-1", "W-1", 3, "BX", Decimal(price))
        return PurchaseOrder(
            "E-1", 1, 2, "erp", "C-1", "PO-1", 1, OrderStatus.OPEN, OrderType.STOCK, "S-1", "EUR",
            (line,),
        )  # fmt: skip

    assert body(COMPARED[2], order("12.5")) == body(COMPARED[2], order("12.5000"))
    assert body(COMPARED[2], order("12.5")) != body(COMPARED[2], order("12.5001"))


def test_where_no_repeats_are_dropped_there_is_no_body() -> None:
    codec = AvroCodec(LOCAL, topics.ALL)
    supplier = Supplier("S-1", "Acme", active=True, lead_time_days=2)
    assert codec.decoder(topics.suppliers)(codec.encoder(topics.suppliers)(supplier)).body == b""


def test_every_topic_with_repeats_to_drop_has_a_schema_with_the_fields_left_out() -> None:
    for topic in COMPARED:
        assert topic.unlike <= {field["name"] for field in json.loads(schema_text(topic))["fields"]}
