"""Messages to records, by the registry's schemas alone: no record class, no schema file, no codec of the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from app.errors import Unreachable

Record = dict[str, Any]
_NO_SCHEMA: Final = 40403
_PATHS: Final = ("", "/apis/ccompat/v7")
_HEADER: Final = 5  # a zero byte and the schema's id, big-endian


class Unreadable(Exception):
    """A message that cannot be decoded. ``reason`` is the word that its dead letter must carry."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


SchemaSource = Callable[[int], str | None]  # a schema's text by its id; None where there is no such Avro schema


class Schemas:
    """Schema texts from a Confluent-compatible registry over HTTP.

    ``url`` without a path is tried at its root, then at Apicurio's path. ``auth`` is ``user:password``, ``options`` are
    the client's own. Blocks, and raises ``Unreachable`` where the registry does not answer.
    """

    def __init__(self, url: str, auth: str | None, options: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        access = {} if auth is None else {"basic.auth.user.info": auth}
        self._options = {**access, **options}
        self._client = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def text(self, schema_id: int) -> str | None:
        """The Avro schema of that id; None where the registry has none."""
        try:
            schema = self._client.get_schema(schema_id)
        except Exception as error:
            if isinstance(error, SchemaRegistryError) and error.error_code == _NO_SCHEMA:
                return None
            raise self._unreachable(error) from error
        return schema.schema_str if schema.schema_type == "AVRO" else None

    def _connect(self) -> SchemaRegistryClient:
        paths = _PATHS if not urlsplit(self._url).path else ("",)
        for path in paths:
            client = SchemaRegistryClient({**self._options, "url": self._url + path})
            try:
                client.get_subjects()
                return client
            except Exception as error:
                # Whatever the client's HTTP library raises: without schemas nothing can be said.
                client.close()
                if path == paths[-1]:
                    raise self._unreachable(error) from error
        raise AssertionError("the last path either answers or raises")

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"no usable answer from the schema registry at {self._url}: {error}")


class Wire:
    """Decodes messages in Confluent's wire format. Times stay milliseconds; dates and decimals become Python's."""

    def __init__(self, schemas: SchemaSource) -> None:
        self._source = schemas
        self._parsed: dict[int, tuple[str, Any] | None] = {}

    def decode(self, name: str, value: bytes | None) -> Record:
        """The record of type ``name`` in ``value``. Raises ``Unreadable``, or ``Unreachable`` for want of a schema."""
        if value is None:
            raise Unreadable("EMPTY_VALUE", "no value")
        if len(value) < _HEADER or value[0] != 0:
            raise Unreadable("BAD_FRAMING", f"begins with {value[:_HEADER].hex() or 'nothing'}")
        return _decoded(self._schema(int.from_bytes(value[1:_HEADER], "big"), name), value)

    def _schema(self, schema_id: int, name: str) -> Any:
        if schema_id not in self._parsed:
            text = self._source(schema_id)
            self._parsed[schema_id] = None if text is None else _parse(text)
        found = self._parsed[schema_id]
        if found is None:
            raise Unreadable("UNKNOWN_SCHEMA", f"no schema {schema_id}")
        if found[0] != name:
            raise Unreadable("UNKNOWN_SCHEMA", f"schema {schema_id} is of {found[0]}, not {name}")
        return found[1]


def _parse(text: str) -> tuple[str, Any]:
    schema = _without_times(json.loads(text))
    return (str(schema["name"]) if isinstance(schema, dict) else "", fastavro.parse_schema(schema))


def _without_times(schema: Any) -> Any:
    """Leaves timestamps the integers that they are: building a datetime would cost more than the rest of a record."""
    if isinstance(schema, list):
        return [_without_times(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_times(part) for key, part in schema.items()}
    return {key: part for key, part in kept.items() if (key, part) != ("logicalType", "timestamp-millis")}


def _decoded(schema: Any, value: bytes) -> Record:
    body = BytesIO(value)
    body.seek(_HEADER)
    try:
        record: Any = fastavro.schemaless_reader(body, schema, None)
    except Exception as error:
        # Any bytes may come, and fastavro raises whatever they provoke.
        raise Unreadable("UNDECODABLE", f"{type(error).__name__}: {error}") from error
    if body.tell() != len(value):
        raise Unreadable("UNDECODABLE", f"{len(value) - body.tell()} bytes too many")
    return cast(Record, record)
