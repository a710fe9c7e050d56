"""Writes a log to a real cluster, encoded from the schema files alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from app.reconcile.gather import Gathering
from tests.reconcile.books import PARTITIONS, Record, Row

SCHEMAS = Path(__file__).parents[2] / "schemas" / "avro"


@dataclass(slots=True)
class Encoder:
    """Confluent wire format; each topic's schema is registered under ``prefix`` when first used."""

    registry_url: str
    prefix: str
    _schemas: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def value_of(self, row: Row) -> bytes | None:
        if row.record is None:
            return row.raw
        schema_id, schema = self._schema(row.topic)
        body = BytesIO()
        fastavro.schemaless_writer(body, schema, self._resolved(row.record))
        return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()

    def _resolved(self, record: Record) -> Record:
        value = record.get("value")
        return {**record, "value": self.value_of(value)} if isinstance(value, Row) else record

    def _schema(self, topic: str) -> tuple[int, Any]:
        if topic not in self._schemas:
            text = next((SCHEMAS / topic).glob("*.avsc")).read_text()
            with SchemaRegistryClient({"url": f"{self.registry_url}/apis/ccompat/v7"}) as client:
                schema_id = client.register_schema(f"{self.prefix}{topic}-value", Schema(text, "AVRO"))
            self._schemas[topic] = schema_id, fastavro.parse_schema(json.loads(text))
        return self._schemas[topic]


def create_topics(bootstrap_servers: str, prefix: str) -> None:
    """All topics that a reconciliation reads, empty."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    names = Gathering(lambda _, __: {}).topics
    partitions = {name: 1 if name.startswith("master.") else PARTITIONS for name in names}
    topics = [NewTopic(prefix + name, count, 1) for name, count in partitions.items()]
    for created in admin.create_topics(topics).values():
        created.result()


def delete_topics(bootstrap_servers: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for deleted in admin.delete_topics([prefix + name for name in Gathering(lambda _, __: {}).topics]).values():
        deleted.result()


def write(bootstrap_servers: str, prefix: str, rows: Iterable[Row], encoder: Encoder, **options: str) -> Producer:
    """Each row to its own partition, in order; a ``transactional.id`` in ``options`` leaves a transaction open."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, **options})
    if "transactional.id" in options:
        producer.init_transactions()
        producer.begin_transaction()
    for row in rows:
        produce(producer, prefix, row, encoder.value_of(row))
    producer.flush()
    return producer


def produce(producer: Producer, prefix: str, row: Row, value: bytes | None) -> None:
    producer.produce(
        prefix + row.topic,
        key=row.key,
        value=value,
        partition=row.partition,
        timestamp=row.timestamp,
        headers=list(row.headers),
    )
    producer.poll(0)
