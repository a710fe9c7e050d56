"""A message that cannot be read is a dead letter with the right reason; a registry that is away never makes one."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import topics
from app.contracts import wire
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import LocalRegistry
from app.contracts.schemas import schema_text
from app.domain.records import Supplier
from app.runtime.dead_letters import Reason
from app.runtime.errors import RegistryUnavailable, Undecodable
from app.runtime.topics import Topic
from tests.contracts.samples import USAGE, Schema, changed, message, with_type

LOCAL = LocalRegistry()
register_all(LOCAL, topics.ALL)
CODEC = AvroCodec(LOCAL, topics.ALL)
DECODE = CODEC.decoder(topics.usage)
GOOD = CODEC.encoder(topics.usage)(USAGE)
USAGE_ID = GOOD[:5]


def verdict(value: bytes, topic: Topic = topics.usage, codec: AvroCodec = CODEC) -> tuple[Reason, str]:
    with pytest.raises(Undecodable) as caught:
        codec.decoder(topic)(value)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("length", range(5))
def test_less_than_a_header_is_bad_framing(length: int) -> None:
    assert verdict(GOOD[:length]) == (Reason.BAD_FRAMING, f"value: got {length} bytes, expected at least 5")


def test_a_first_byte_that_is_not_zero_is_bad_framing() -> None:
    assert verdict(b'{"event_id": "E-1"}') == (
        Reason.BAD_FRAMING,
        "first byte: got 0x7b, expected 0x00 before a schema id",
    )


def test_an_id_that_the_registry_does_not_know_is_an_unknown_schema() -> None:
    assert verdict(wire.header(999) + GOOD[5:]) == (
        Reason.UNKNOWN_SCHEMA,
        "schema id 999: not in the registry",
    )


def test_the_schema_of_another_record_is_an_unknown_schema() -> None:
    other = LOCAL.id_of("stock.movements-value", schema_text(topics.movements))
    assert verdict(wire.header(other) + GOOD[5:]) == (
        Reason.UNKNOWN_SCHEMA,
        f"schema id {other}: got record wardstock.stock.StockMovement, expected wardstock.clinical.ClinicalUsage",
    )


@pytest.mark.parametrize("schema", ["not JSON", '{"type": "nonsense"}', '"string"', "[]", "7"])
def test_an_id_of_something_else_is_an_unknown_schema(schema: str) -> None:
    registry = LocalRegistry()
    registry._texts[1] = schema  # what a registry without our rules may hold
    assert verdict(wire.header(1) + GOOD[5:], codec=AvroCodec(registry, topics.ALL))[0] is Reason.UNKNOWN_SCHEMA


@pytest.mark.parametrize("cut", range(5, len(GOOD) - 1))
def test_a_message_cut_short_is_undecodable(cut: int) -> None:
    assert verdict(GOOD[:cut])[0] is Reason.UNDECODABLE


def test_bytes_after_the_record_are_undecodable() -> None:
    assert verdict(GOOD + b"\x00\x00") == (
        Reason.UNDECODABLE,
        "value: got 2 bytes after the record, expected none",
    )


def test_text_that_is_not_utf8_is_undecodable() -> None:
    assert verdict(GOOD.replace(b"ITM-1", b"ITM-\xff"))[0] is Reason.UNDECODABLE


def test_a_date_beyond_the_calendar_is_undecodable() -> None:
    physical = changed(topics.usage, with_type("expiry_date", ["null", "int"]))
    fields = {**asdict(USAGE), "expiry_date": 2**31 - 1}
    assert verdict(message(int.from_bytes(USAGE_ID[1:], "big"), physical, fields))[0] is Reason.UNDECODABLE


def test_a_decimal_beyond_its_digits_is_undecodable() -> None:
    def wide(schema: Schema) -> None:
        line = schema["fields"][-1]["type"]["items"]
        next(field for field in line["fields"] if field["name"] == "unit_price")["type"] = "bytes"

    line = {
        "line": 1, "item": "I", "facility": "F", "location": "L", "quantity": 1, "uom": "EA",
        "unit_price": (10**18).to_bytes(8, "big"), "trigger_id": None, "due_date": None,
    }  # fmt: skip
    order = {
        "event_id": "E", "occurred_at": 1, "recorded_at": 1, "source_system": "erp", "correlation_id": "C",
        "po_number": "P", "revision": 1, "status": "OPEN", "order_type": "STOCK", "supplier": "S", "currency": "EUR",
        "lines": [line],
    }  # fmt: skip
    schema_id = LOCAL.id_of("procurement.purchase-orders-value", schema_text(topics.purchase_orders))
    written = message(schema_id, changed(topics.purchase_orders, wide), order)
    reason, detail = verdict(written, topics.purchase_orders)
    assert (reason, "at most 18 digits" in detail) == (Reason.UNDECODABLE, True)


def test_a_value_that_the_domain_does_not_allow_is_invalid_and_named() -> None:
    reason, detail = verdict(CODEC.encoder(topics.usage)(replace(USAGE, quantity=-3)))
    assert reason is Reason.INVALID
    assert detail.startswith("field quantity: got -3, expected ")


def test_master_data_are_held_to_the_rules_too() -> None:
    supplier = Supplier("", "Acme", active=True, lead_time_days=2)
    reason, detail = verdict(CODEC.encoder(topics.suppliers)(supplier), topics.suppliers)
    assert reason is Reason.INVALID
    assert detail.startswith("field supplier: got '', expected ")


@pytest.mark.parametrize(
    ("type_", "says"),
    [
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            "field occurred_at: meaning changed from long (timestamp-micros) to long (timestamp-millis)",
        ),
        (
            {"type": "int", "logicalType": "date"},
            "field occurred_at: meaning changed from int (date) to long (timestamp-millis)",
        ),
    ],
)
def test_a_schema_whose_numbers_mean_something_else_is_not_misread(type_: Schema, says: str) -> None:
    registry = LocalRegistry()
    other = registry.register("theirs", changed(topics.usage, with_type("occurred_at", type_)))
    assert verdict(wire.header(other.id) + GOOD[5:], codec=AvroCodec(registry, topics.ALL)) == (
        Reason.UNDECODABLE,
        f"schema id 1: {says}",
    )


@given(st.binary(max_size=200))
def test_whatever_follows_a_header_is_read_or_is_a_dead_letter(noise: bytes) -> None:
    _is_decided(USAGE_ID + noise)


@given(st.integers(5, len(GOOD) - 1), st.integers(0, 255))
def test_one_damaged_byte_is_read_or_is_a_dead_letter(place: int, value: int) -> None:
    _is_decided(GOOD[:place] + bytes([value]) + GOOD[place + 1 :])


def _is_decided(value: bytes) -> None:
    try:
        DECODE(value)
        reason = None
    except Undecodable as why:
        reason = why.reason
    assert reason in (None, Reason.UNDECODABLE, Reason.INVALID)


class AwayRegistry(LocalRegistry):
    """Answers from the third call on."""

    calls = 0

    def schema(self, schema_id: int) -> str:
        self.calls += 1
        if self.calls < 3:
            raise RegistryUnavailable("registry: connection refused")
        return super().schema(schema_id)


def test_a_registry_that_is_away_makes_no_dead_letter_and_is_asked_again() -> None:
    registry = AwayRegistry()
    register_all(registry, topics.ALL)
    decode = AvroCodec(registry, topics.ALL).decoder(topics.usage)
    for _ in range(2):
        with pytest.raises(RegistryUnavailable):
            decode(GOOD)
    assert decode(GOOD).record == USAGE


def test_a_schema_is_asked_for_once() -> None:
    registry = AwayRegistry()
    registry.calls = 2
    register_all(registry, topics.ALL)
    decode = AvroCodec(registry, topics.ALL).decoder(topics.usage)
    for _ in range(5):
        decode(GOOD)
    assert registry.calls == 3
