"""The compiled functions are fastavro's equals: same bytes, same records, and never a reading of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agents import topics
from app.contracts.compiled import VARINTS, reader_of, writer_of
from app.contracts.converters import record_builder
from app.contracts.schemas import physical, resolved, schema_text
from app.domain.records import CountedLot, MovementKind, StockMovement
from app.runtime.topics import Topic
from tests.contracts.samples import USAGE
from tests.contracts.strategies import LONGS, records

READ = {topic.name: reader_of(resolved(schema_text(topic)), topic.record) for topic in topics.ALL}
WRITE = {topic.name: writer_of(resolved(schema_text(topic)), topic.record) for topic in topics.ALL}
PARSED = {topic.name: fastavro.parse_schema(physical(json.loads(schema_text(topic)))) for topic in topics.ALL}

each_topic = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
some_examples = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def by_fastavro(topic: Topic, written: bytes) -> tuple[Any, int]:
    stream = BytesIO(written)
    fields: Any = fastavro.schemaless_reader(stream, PARSED[topic.name], None)
    return record_builder(topic.record)(fields), stream.tell()


@each_topic
@some_examples
@given(data=st.data())
def test_a_record_is_read_to_the_last_byte(topic: Topic, data: st.DataObject) -> None:
    record = data.draw(records(topic.record))
    written = WRITE[topic.name](record)
    assert READ[topic.name](written, 0) == by_fastavro(topic, written) == (record, len(written))


@each_topic
@some_examples
@given(data=st.data())
def test_a_damaged_record_is_read_as_fastavro_reads_it_or_not_at_all(topic: Topic, data: st.DataObject) -> None:
    written = bytearray(WRITE[topic.name](data.draw(records(topic.record))))
    assume(written)
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] = data.draw(st.integers(0, 255))
    try:
        record, end = READ[topic.name](bytes(written), 0)
    except Exception:  # noqa: BLE001 - how it fails is nobody's concern: the codec then asks fastavro
        return
    if end == len(written):
        assert (record, end) == by_fastavro(topic, bytes(written))


@pytest.mark.parametrize("start", [0, 5])
def test_reading_begins_where_it_is_told(start: int) -> None:
    written = WRITE["clinical.usage"](USAGE)
    assert READ["clinical.usage"](b"x" * start + written, start) == (USAGE, start + len(written))


def test_writing_begins_with_what_it_was_given() -> None:
    write = writer_of(resolved(schema_text(topics.usage)), topics.usage.record, b"start")
    assert write(USAGE) == b"start" + WRITE["clinical.usage"](USAGE)


@given(LONGS)
def test_a_number_is_written_as_fastavro_writes_it(number: int) -> None:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, "long", number)
    assert VARINTS[number] == stream.getvalue()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_of_more_than_64_bits_is_refused(number: int) -> None:
    with pytest.raises(OverflowError, match="64 bits"):
        VARINTS[number]


def test_an_array_in_blocks_that_name_their_size_is_read() -> None:
    """Other libraries write arrays in several blocks, with a negative count and the block's size before it."""
    counted = (CountedLot("L-1", 1), CountedLot("L-2", 2), CountedLot("L-3", 3))
    movement = StockMovement(
        "M-1", 1, 2, "wms", "C-1", MovementKind.COUNT, "F-1", "W-1", "ITM-1", 0, "EA", counted=counted
    )
    lots = [WRITE["stock.movements"](replace(movement, counted=(lot,))) for lot in counted]
    empty = WRITE["stock.movements"](replace(movement, counted=()))
    start = next(place for place, byte in enumerate(empty) if lots[0][place] != byte)
    size = len(lots[0]) - len(empty) - 1  # one lot, without the count before it
    one, two, three = (lot[start + 1 : start + 1 + size] for lot in lots)
    blocks = VARINTS[-2] + VARINTS[2 * size] + one + two + VARINTS[1] + three + VARINTS[0]
    written = empty[:start] + blocks + empty[start + 1 :]
    assert READ["stock.movements"](written, 0) == by_fastavro(topics.movements, written) == (movement, len(written))


@pytest.mark.parametrize(
    "type_", ["double", {"type": "map", "values": "string"}, ["string", "null"]], ids=["double", "map", "union"]
)
def test_a_type_that_no_record_has_is_refused_at_the_start(type_: Any) -> None:
    schema = json.loads(schema_text(topics.usage))
    schema["fields"][-1]["type"] = type_
    with pytest.raises(TypeError, match=r"o\.reverses: got "):
        reader_of(resolved(json.dumps(schema)), topics.usage.record)
