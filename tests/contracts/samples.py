"""One record that every rule allows, and the means to write it in other versions of its schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import date
from io import BytesIO
from typing import Any

import fastavro

from agents import topics
from app.contracts import wire
from app.contracts.registry import LocalRegistry
from app.contracts.schemas import schema_text, subject_of
from app.domain.records import ClinicalUsage
from app.runtime.topics import Topic

Schema = dict[str, Any]

USAGE = ClinicalUsage(
    event_id="E-1",
    occurred_at=1_767_225_600_000,
    recorded_at=1_767_225_601_000,
    source_system="or-system",
    correlation_id="C-1",
    facility="F-1",
    location="OR-1",
    item="ITM-1",
    quantity=2,
    uom="EA",
    cost_center="CC-1",
    lot="L-1",
    expiry_date=date(2027, 5, 31),
)


def schema_of(topic: Topic) -> Schema:
    schema: Schema = json.loads(schema_text(topic))
    return schema


def changed(topic: Topic, change: Callable[[Schema], object]) -> str:
    """The topic's schema after ``change``."""
    schema = copy.deepcopy(schema_of(topic))
    change(schema)
    return json.dumps(schema)


def without(*names: str) -> Callable[[Schema], None]:
    def change(schema: Schema) -> None:
        schema["fields"] = [field for field in schema["fields"] if field["name"] not in names]

    return change


def with_field(field: Schema) -> Callable[[Schema], None]:
    return lambda schema: schema["fields"].append(field)


def with_type(name: str, type_: Any) -> Callable[[Schema], None]:
    def change(schema: Schema) -> None:
        next(field for field in schema["fields"] if field["name"] == name)["type"] = type_

    return change


def message(schema_id: int, schema: str, fields: dict[str, Any]) -> bytes:
    """A message as another program writes it: fastavro with the whole schema, logical types included."""
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(schema)), fields)
    return wire.header(schema_id) + stream.getvalue()


def registered(registry: LocalRegistry, topic: Topic = topics.usage) -> int:
    return registry.register(subject_of(topic), schema_text(topic)).id
