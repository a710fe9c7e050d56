"""Which changes of a schema leave older records readable, and what is said of those that do not."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.contracts.compatibility import Mismatch, mismatches, same_layout
from app.contracts.schemas import resolved

TIME = {"type": "long", "logicalType": "timestamp-millis"}
PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}


def record(*fields: Any, name: str = "R", **more: Any) -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "t", "fields": fields, **more})


def field(type_: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def enum(*symbols: str, name: str = "E", **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": symbols, **more}


def inner(*fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Inner", "fields": fields}


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        (record(field("string"), field("long", "gone")), record(field("string"))),
        (record(), record(field("string", default="x"))),
        (record(), record(field(["null", "string"], default=None))),
        (record(field("string")), record(field(["null", "string"], default=None))),
        (record(field("int")), record(field("long"))),
        (record(field("long")), record(field("double"))),
        (record(field("string")), record(field("bytes"))),
        (record(field(enum("A"))), record(field(enum("A", "B")))),
        (record(field(enum("A", "B"))), record(field(enum("A", default="A")))),
        (record(field("string", "old")), record(field("string", aliases=["old"]))),
        (record(name="Old"), record(aliases=["Old"])),
        (record(field({"type": "array", "items": "int"})), record(field({"type": "array", "items": "long"}))),
        (record(field({"type": "map", "values": "int"})), record(field({"type": "map", "values": "long"}))),
        (record(field("long")), record(field(TIME))),
        (record(field({**PRICE, "precision": 10})), record(field(PRICE))),
        (record(field("string", doc="once")), record(field("string", doc="now"))),
        (
            record(field({"type": "string", "avro.java.string": "String"})),
            record(field("string")),
        ),
    ],
)  # fmt: skip
def test_a_change_that_leaves_older_records_readable_passes(writer: str, reader: str) -> None:
    assert mismatches(reader, writer) == ()


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (record(), record(field("string")), Mismatch("f", "added without a default, so older records cannot be read")),
        (record(field("string")), record(field("long")), Mismatch("f", "type changed from string to long")),
        (record(field("long")), record(field("int")), Mismatch("f", "type changed from long to int")),
        (
            record(field(["null", "string"])),
            record(field("string")),
            Mismatch("f", "type changed from null to string"),
        ),
        (
            record(field("long")),
            record(field(["null", "string"])),
            Mismatch("f", "type changed from long to union of null, string"),
        ),
        (record(field(enum("A", "B", "C"))), record(field(enum("A"))), Mismatch("f", "enum symbol removed: B, C")),
        (
            record(field(enum("A", name="Old"))),
            record(field(enum("A", name="New"))),
            Mismatch("f", "enum renamed from t.Old to t.New without an alias"),
        ),
        (
            record(field({"type": "array", "items": inner(field("string"))})),
            record(field({"type": "array", "items": inner(field("string"), field("long", "added"))})),
            Mismatch("f.added", "added without a default, so older records cannot be read"),
        ),
        (
            record(field(["null", inner(field("string"))])),
            record(field(["null", inner(field("long"))])),
            Mismatch("f.f", "type changed from string to long"),
        ),
        (
            record(field({"type": "fixed", "name": "X", "size": 4})),
            record(field({"type": "fixed", "name": "X", "size": 8})),
            Mismatch("f", "type changed from fixed X to fixed X"),
        ),
        (record(name="Old"), record(name="New"), Mismatch("", "record renamed from t.Old to t.New without an alias")),
        (
            record(field({**PRICE, "scale": 2})),
            record(field(PRICE)),
            Mismatch("f", "meaning changed from bytes (decimal 18,2) to bytes (decimal 18,4)", silent=True),
        ),
        (
            record(field("bytes")),
            record(field(PRICE)),
            Mismatch("f", "meaning changed from bytes to bytes (decimal 18,4)", silent=True),
        ),
        (
            record(field(["null", {"type": "int", "logicalType": "date"}])),
            record(field(["null", TIME])),
            Mismatch("f", "meaning changed from int (date) to long (timestamp-millis)", silent=True),
        ),
        (
            record(field({**PRICE, "precision": 20})),
            record(field(PRICE)),
            Mismatch("f", "digits lost from bytes (decimal 20,4) to bytes (decimal 18,4)"),
        ),
    ],
)
def test_a_change_that_breaks_older_records_is_told_by_field_and_reason(
    writer: str, reader: str, expected: Mismatch
) -> None:
    assert mismatches(reader, writer) == (expected,)


def test_every_reason_is_told_not_only_the_first() -> None:
    found = mismatches(record(field("long", "a"), field("long", "b"), field("long", "c")), record(field("string", "a")))
    assert [mismatch.field for mismatch in found] == ["a", "b", "c"]


def test_a_type_that_contains_itself_is_compared() -> None:
    tree = {"type": "record", "name": "Tree", "fields": [field({"type": "array", "items": "Tree"}, "children")]}
    taller = json.loads(json.dumps(tree))
    taller["fields"].append(field("long", "height"))
    assert mismatches(json.dumps(tree), json.dumps(tree)) == ()
    assert [found.field for found in mismatches(json.dumps(taller), json.dumps(tree))] == ["height"]


@pytest.mark.parametrize("text", ["", "{", "7", '"Unknown"', '{"type": "record"}', '{"type": "array"}', "null"])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        mismatches(text, record())


# --- held against fastavro, which resolves for real ------------------------------------------------------------------

_TYPES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["boolean", "int", "long", "double", "string", "bytes"]),
    lambda inside: st.one_of(
        inside.map(lambda t: ["null", t] if not isinstance(t, list) else t),
        inside.map(lambda t: {"type": "array", "items": t}),
        inside.map(lambda t: {"type": "map", "values": t}),
    ),
    max_leaves=3,
)
_FIELDS = st.lists(st.sampled_from("abcd"), unique=True, max_size=4).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), _TYPES) for name in names))
)
_VALUES: dict[str, Any] = {
    "boolean": True, "int": 7, "long": 2**40, "double": 1.5, "string": "text", "bytes": b"bytes",
}  # fmt: skip


def _schema(fields: Any) -> str:
    return record(*(field(type_, name) for name, type_ in fields))


def _value(type_: Any) -> Any:
    """A value that uses every branch: no null, no empty list."""
    if isinstance(type_, list):
        return _value(type_[1])
    if isinstance(type_, dict):
        return [_value(type_["items"])] if type_["type"] == "array" else {"k": _value(type_["values"])}
    return _VALUES[type_]


@settings(max_examples=200)
@given(_FIELDS, _FIELDS)
def test_what_passes_is_read_by_fastavro(written: Any, wanted: Any) -> None:
    writer, reader = _schema(written), _schema(wanted)
    if mismatches(reader, writer):
        return
    stream = BytesIO()
    fastavro.schemaless_writer(stream, json.loads(writer), {name: _value(type_) for name, type_ in written})
    stream.seek(0)
    read: Any = fastavro.schemaless_reader(stream, json.loads(writer), json.loads(reader))
    assert set(read) == {name for name, _ in wanted}


@settings(max_examples=200)
@given(_FIELDS, _FIELDS)
def test_schemas_of_one_layout_read_each_others_bytes(one: Any, other: Any) -> None:
    alike = same_layout(resolved(_schema(one)), resolved(_schema(other)))
    assert alike == (one == other)
