"""Messages to records and back: Confluent wire format around Avro.

A message of our own version is read and written by compiled functions. One of another version is read by fastavro with
the schema that it names (the writer's), resolved to ours: so every older version reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import SchemaParseException, UnknownType

from app.contracts import wire
from app.contracts.compatibility import compare, same_layout
from app.contracts.compiled import reader_of, writer_of
from app.contracts.converters import body_builder, record_builder
from app.contracts.registry import Registry, SchemaNotFound
from app.contracts.schemas import physical, resolved, schema_text, subject_of
from app.contracts.values import first_misfit
from app.domain.validation import Invalid, validate
from app.runtime.codec import Decode, Decoded, Encode
from app.runtime.dead_letters import Reason
from app.runtime.errors import Undecodable
from app.runtime.topics import Topic

_Read = Callable[[bytes], Any]


class AvroCodec:
    """The :class:`app.runtime.codec.Codec` of Avro and a schema registry.

    What comes from outside (all but internal topics) is held against the domain's rules of validation.
    ``text_of`` gives a topic's schema (JSON text). Raises LookupError on construction where a topic has none.
    """

    def __init__(
        self, registry: Registry, topics: Iterable[Topic], text_of: Callable[[Topic], str] = schema_text
    ) -> None:
        self._registry = registry
        self._contracts = {topic.name: _Contract(topic, text_of(topic)) for topic in topics}

    def decoder(self, topic: Topic) -> Decode:
        return _decoder(self._contracts[topic.name], self._registry)

    def encoder(self, topic: Topic) -> Encode:
        contract = self._contracts[topic.name]
        return _encoder(contract, self._registry.id_of(subject_of(topic), contract.text))


class _Contract:
    """A topic's schema in the forms that reading and writing take."""

    __slots__ = ("parsed", "text", "topic", "tree")

    def __init__(self, topic: Topic, text: str) -> None:
        self.topic = topic
        self.text = text
        self.tree = resolved(self.text)
        self.parsed = parse_schema(physical(json.loads(self.text)))


# --- decoding --------------------------------------------------------------------------------------------------------


def _decoder(contract: _Contract, registry: Registry) -> Decode:
    readers: dict[bytes, _Read] = {}
    body = _body(contract.topic)
    check = _check(contract.topic)

    def decode(message: bytes) -> Decoded:
        read = readers.get(message[: wire.HEADER_SIZE])
        if read is None:
            read = readers[message[: wire.HEADER_SIZE]] = _reader(contract, registry, message)
        record = read(message)
        check(record)
        return Decoded(record, body(record))

    return decode


def _body(topic: Topic) -> Callable[[Any], bytes]:
    if topic.id_of is None:
        return lambda _: b""
    return body_builder(topic.record, topic.unlike)


def _check(topic: Topic) -> Callable[[Any], None]:
    if topic.internal:
        return lambda _: None

    def check(record: Any) -> None:
        try:
            validate(record)
        except Invalid as why:
            got = repr(str(why.value)) if isinstance(why.value, str) else why.value
            detail = f"field {why.field}: got {got}, expected {why.expected}"
            raise Undecodable(Reason.INVALID, detail) from None

    return check


def _reader(contract: _Contract, registry: Registry, message: bytes) -> _Read:
    """How to read the messages of the schema that this one names. Raises Undecodable, RegistryUnavailable."""
    schema_id = wire.schema_id(message)
    try:
        text = registry.schema(schema_id)
        tree = resolved(text)
    except SchemaNotFound as absent:
        raise Undecodable(Reason.UNKNOWN_SCHEMA, f"{absent}: not in the registry") from None
    except ValueError as error:
        raise Undecodable(Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}: {error}") from None
    _belongs(contract, tree, schema_id)
    if same_layout(contract.tree, tree):
        return _own_reader(contract)
    return _resolving_reader(contract, _parsed(text, schema_id), contract.parsed)


def _belongs(contract: _Contract, writer: dict[str, Any], schema_id: int) -> None:
    """Raises Undecodable where a message of the writer's schema would be read as something that it is not."""
    expected, got = contract.tree["name"], writer.get("name", writer["type"])
    if got != expected:
        raise Undecodable(Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}: got record {got}, expected {expected}")
    for found in compare(contract.tree, writer):
        if found.silent:
            detail = f"schema id {schema_id}: field {found.field}: {found.reason}"
            raise Undecodable(Reason.UNDECODABLE, detail)


def _parsed(text: str, schema_id: int) -> Any:
    try:
        return parse_schema(physical(json.loads(text)))
    except (SchemaParseException, UnknownType) as error:
        raise Undecodable(Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}: {error}") from None


def _own_reader(contract: _Contract) -> _Read:
    fast = reader_of(contract.tree, contract.topic.record)
    careful = _resolving_reader(contract, contract.parsed, None)

    def read(message: bytes) -> Any:
        try:
            record, end = fast(message, wire.HEADER_SIZE)
        except Exception:  # noqa: BLE001 - whatever it was, the careful reader says what is wrong
            return careful(message)
        return record if end == len(message) else careful(message)

    return read


def _resolving_reader(contract: _Contract, writer: Any, reader: Any) -> _Read:
    """``reader`` None: the writer's layout is ours, nothing to resolve."""
    build = record_builder(contract.topic.record)

    def read(message: bytes) -> Any:
        stream = BytesIO(message)
        stream.seek(wire.HEADER_SIZE)
        try:
            record = build(cast("dict[str, Any]", schemaless_reader(stream, writer, reader)))
        except Exception as error:  # arbitrary bytes fail in any way; none may stop a partition
            raise Undecodable(Reason.UNDECODABLE, f"{type(error).__name__}: {error}") from error
        if (end := stream.tell()) != len(message):
            detail = f"value: got {len(message) - end} bytes after the record, expected none"
            raise Undecodable(Reason.UNDECODABLE, detail)
        return record

    return read


# --- encoding --------------------------------------------------------------------------------------------------------


def _encoder(contract: _Contract, schema_id: int) -> Encode:
    record = contract.topic.record
    write = writer_of(contract.tree, record, wire.header(schema_id))

    def encode(value: Any) -> bytes:
        try:
            return write(value)
        except Exception as error:
            raise _not_encodable(value, record) or error from error

    return encode


def _not_encodable(value: Any, record: type[Any]) -> ValueError | None:
    misfit = first_misfit(value, record)
    if misfit is None:
        return None
    field = f"{record.__name__}.{misfit.field}" if misfit.field else record.__name__
    return ValueError(f"{field}: got {misfit.value!r}, expected {misfit.expected}")
