"""The schema files say what the records say, field by field, for every topic."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import fastavro
import pytest

from agents import topics
from app.contracts.converters import element, optional
from app.contracts.schemas import resolved, schema_text, subject_of
from app.runtime.topics import Topic
from tests.contracts.samples import schema_of

DIRECTORY = Path(__file__).parents[2] / "schemas" / "avro"
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}

each_topic = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)


def as_avro(hint: Any, name: str) -> Any:
    """What Avro must say of a Python type; records by their fields in no order, so that order is free."""
    if (inner := optional(hint)) is not None:
        return ("nullable", as_avro(inner, name))
    if (item := element(hint)) is not None:
        return ("array", as_avro(item, ""))
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return ("record", hint.__name__, {key: as_avro(each, key) for key, each in hints.items()})  # type: ignore[union-attr]
    if issubclass(hint, StrEnum):
        return ("enum", hint.__name__, tuple(member.value for member in hint))
    if hint is int:
        return MILLIS if name.endswith("_at") or name == "timestamp" else {"type": "long"}
    return {
        str: {"type": "string"},
        bool: {"type": "boolean"},
        bytes: {"type": "bytes"},
        date: {"type": "int", "logicalType": "date"},
        Decimal: DECIMAL,
    }[hint]


def as_said(tree: dict[str, Any]) -> Any:
    """The same of a resolved schema."""
    match tree["type"]:
        case "union":
            null, inner = tree["branches"]
            assert null == {"type": "null"}, "null comes first, so that it can be the default"
            return ("nullable", as_said(inner))
        case "array":
            return ("array", as_said(tree["items"]))
        case "record":
            return ("record", _short(tree), {field["name"]: as_said(field["type"]) for field in tree["fields"]})
        case "enum":
            return ("enum", _short(tree), tuple(tree["symbols"]))
    return tree


def _short(tree: dict[str, Any]) -> str:
    return str(tree["name"].rpartition(".")[2])


def records_in(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every record type of a resolved schema."""
    if tree["type"] == "record":
        yield tree
        for field in tree["fields"]:
            yield from records_in(field["type"])
    elif tree["type"] == "array":
        yield from records_in(tree["items"])


def named_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Every definition of a named type in a schema as it is written."""
    if isinstance(schema, list):
        for branch in schema:
            yield from named_in(branch)
    elif isinstance(schema, dict):
        if schema.get("type") in ("record", "enum"):
            yield schema
        for part in (schema.get("type"), schema.get("items"), *schema.get("fields", ())):
            yield from named_in(part)


def test_every_topic_has_its_schema_and_no_schema_is_without_a_topic() -> None:
    files = {path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*") if path.is_file()}
    assert files == {f"{topic.name}/{topic.record.__name__}.avsc" for topic in topics.ALL}


def test_a_topic_without_a_schema_is_told_where_it_is_expected() -> None:
    with pytest.raises(LookupError, match=r"expected schemas/avro/no\.such/ClinicalUsage\.avsc"):
        schema_text(dataclasses.replace(topics.usage, name="no.such"))


@each_topic
def test_a_schema_has_the_fields_of_its_record_with_their_types(topic: Topic) -> None:
    assert as_said(resolved(schema_text(topic))) == as_avro(topic.record, "")


@each_topic
def test_a_schema_is_avro_to_other_programs(topic: Topic) -> None:
    fastavro.parse_schema(schema_of(topic))


@each_topic
def test_a_nullable_field_defaults_to_null_and_other_defaults_are_the_records(topic: Topic) -> None:
    classes = dict(_dataclasses_in(topic.record))
    for tree in records_in(resolved(schema_text(topic))):
        fields = {field.name: field for field in dataclasses.fields(classes[_short(tree)])}
        for field in tree["fields"]:
            default = fields[field["name"]].default
            expected = None if field["type"]["type"] == "union" else default
            if expected is not dataclasses.MISSING:
                assert "default" in field, f"{tree['name']}.{field['name']}"
                assert (tuple(field["default"]) if expected == () else field["default"]) == expected
            else:
                assert "default" not in field, f"{tree['name']}.{field['name']}"


def _dataclasses_in(record: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    yield record.__name__, record
    for hint in typing.get_type_hints(record).values():
        if dataclasses.is_dataclass(item := element(hint)):
            yield from _dataclasses_in(typing.cast("type[Any]", item))


@each_topic
def test_every_type_and_field_is_documented(topic: Topic) -> None:
    for named in named_in(schema_of(topic)):
        assert named["doc"].endswith("."), named["name"]
        for field in named.get("fields", ()):
            assert field["doc"].endswith("."), f"{named['name']}.{field['name']}"


@each_topic
def test_a_schema_lives_in_the_namespace_of_its_topic(topic: Topic) -> None:
    assert schema_of(topic)["namespace"] == f"wardstock.{topic.name.split('.')[0]}"


def test_a_full_name_means_one_thing_in_all_schemas() -> None:
    seen: dict[str, Any] = {}
    for topic in topics.ALL:
        schema = schema_of(topic)
        for named in named_in(schema):
            definition = json.dumps(named)
            assert seen.setdefault(f"{schema['namespace']}.{named['name']}", definition) == definition


def test_a_subject_is_named_after_its_topic() -> None:
    assert subject_of(topics.usage) == "clinical.usage-value"
