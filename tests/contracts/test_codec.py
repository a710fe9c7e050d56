"""What is written is read back the same, and is plain Avro to everybody else."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import topics
from app.contracts import wire
from app.contracts.codec import AvroCodec
from app.contracts.converters import money, record_builder, unscaled
from app.contracts.evolution import register_all
from app.contracts.registry import LocalRegistry, NotRegistered
from app.contracts.schemas import schema_text
from app.domain.records import OrderStatus, OrderType, PurchaseOrder, PurchaseOrderLine
from app.runtime.topics import Topic
from tests.contracts.samples import USAGE, message, registered, schema_of
from tests.contracts.strategies import DECIMALS, records

# Any value that a type allows, whatever the domain says of it: internal topics are not validated.
UNJUDGED = tuple(replace(topic, internal=True) for topic in topics.ALL)
LOCAL = LocalRegistry()
register_all(LOCAL, UNJUDGED)
CODEC = AvroCodec(LOCAL, UNJUDGED)

each_topic = pytest.mark.parametrize("topic", UNJUDGED, ids=lambda topic: topic.name)
few_examples = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@each_topic
@few_examples
@given(data=st.data())
def test_a_record_is_read_back_as_it_was_written(topic: Topic, data: st.DataObject) -> None:
    record = data.draw(records(topic.record))
    decoded = CODEC.decoder(topic)(CODEC.encoder(topic)(record)).record
    assert decoded == record
    assert type(decoded) is topic.record
    assert hash(decoded) == hash(record)


@each_topic
@few_examples
@given(data=st.data())
def test_other_programs_read_what_we_write(topic: Topic, data: st.DataObject) -> None:
    record = data.draw(records(topic.record).filter(_has_plain_dates))
    written = CODEC.encoder(topic)(record)
    schema = fastavro.parse_schema(schema_of(topic))
    assert _plain(fastavro.schemaless_reader(BytesIO(written[wire.HEADER_SIZE :]), schema, None)) == _plain(
        asdict(record)
    )


@each_topic
@few_examples
@given(data=st.data())
def test_we_read_what_other_programs_write(topic: Topic, data: st.DataObject) -> None:
    record = data.draw(records(topic.record))
    schema_id = wire.schema_id(CODEC.encoder(topic)(record))
    written = message(schema_id, schema_text(topic), _as_dict(record))
    assert CODEC.decoder(topic)(written).record == record


def _has_plain_dates(record: Any) -> bool:
    """fastavro gives timestamps as datetimes, which end with the year 9999."""
    times = (value for name, value in asdict(record).items() if name.endswith("_at") or name == "timestamp")
    return all(-62_000_000_000_000 < value < 253_000_000_000_000 for value in times)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _as_dict(record: Any) -> dict[str, Any]:
    fields: dict[str, Any] = asdict(record)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


@given(DECIMALS)
def test_money_is_exact(amount: Decimal) -> None:
    assert money(unscaled(amount)) == amount


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_a_decimal_takes_as_few_bytes_as_hold_it(number: int) -> None:
    written = unscaled(Decimal(number).scaleb(-4))
    assert len(written) == 1 or not -(2 ** (8 * len(written) - 9)) <= number < 2 ** (8 * len(written) - 9)


def test_a_decimal_may_be_padded() -> None:
    assert money(b"\x00" * 20 + b"\x01") == Decimal("0.0001")
    assert money(b"\xff" * 20) == Decimal("-0.0001")


ORDER = PurchaseOrder(
    event_id="E-1",
    occurred_at=1,
    recorded_at=2,
    source_system="erp",
    correlation_id="C-1",
    po_number="PO-1",
    revision=1,
    status=OrderStatus.OPEN,
    order_type=OrderType.STOCK,
    supplier="S-1",
    currency="EUR",
    lines=(PurchaseOrderLine(1, "ITM-1", "F-1", "W-1", 3, "BX", Decimal("12.5")),),
)


def wrong(record: Any, **values: Any) -> Any:
    """A record that no type checker would let pass."""
    return replace(record, **values)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (wrong(USAGE, quantity="2"), r"ClinicalUsage\.quantity: got '2', expected an int"),
        (replace(USAGE, quantity=2**63), r"ClinicalUsage\.quantity: got 9223372036854775808, expected an integer of"),
        (wrong(USAGE, lot=7), r"ClinicalUsage\.lot: got 7, expected a str"),
        (replace(USAGE, lot="\ud800"), r"ClinicalUsage\.lot: got '\\ud800', expected a text that UTF-8 can write"),
        (wrong(USAGE, facility=None), r"ClinicalUsage\.facility: got None, expected a str"),
        (wrong(USAGE, expiry_date="2027-05-31"), r"ClinicalUsage\.expiry_date: got '2027-05-31', expected a date"),
        (ORDER, r"ClinicalUsage: got PurchaseOrder\(.*, expected a ClinicalUsage"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_does_not_fit_is_refused_by_name(record: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CODEC.encoder(topics.usage)(record)


@pytest.mark.parametrize("price", ["0.00001", "1E14", "NaN", "Infinity", "1.00000000000000000000000000000001"])
def test_a_price_that_does_not_fit_exactly_is_refused_and_never_rounded(price: str) -> None:
    line = replace(ORDER.lines[0], unit_price=Decimal(price))
    with pytest.raises(
        ValueError, match=r"PurchaseOrder\.lines\[1\]\.unit_price: got Decimal.*, expected a Decimal of"
    ):
        CODEC.encoder(topics.purchase_orders)(replace(ORDER, lines=(ORDER.lines[0], line)))


def test_a_status_outside_the_closed_list_is_refused() -> None:
    with pytest.raises(ValueError, match=r"PurchaseOrder\.status: got 'LATER', expected one of OPEN, CANCELLED"):
        CODEC.encoder(topics.purchase_orders)(wrong(ORDER, status="LATER"))


def test_a_message_begins_with_the_id_of_its_schema() -> None:
    registry = LocalRegistry()
    registry.register("another-value", schema_text(topics.receipts))
    schema_id = registered(registry)
    written = AvroCodec(registry, topics.ALL).encoder(topics.usage)(USAGE)
    assert (written[0], int.from_bytes(written[1:5], "big")) == (0, schema_id) == (0, 2)


def test_writing_asks_for_a_registered_schema_and_says_how_to_get_it() -> None:
    with pytest.raises(NotRegistered, match=r"clinical\.usage-value: .*`wardstock schemas register`"):
        AvroCodec(LocalRegistry(), topics.ALL).encoder(topics.usage)


def test_a_record_with_code_of_its_own_is_not_decoded_past_it() -> None:
    class Judged:
        def __post_init__(self) -> None: ...

    with pytest.raises(TypeError, match="__post_init__"):
        record_builder(Judged)


def test_dates_before_the_epoch_are_dates() -> None:
    old = replace(USAGE, expiry_date=date(1969, 12, 31))
    assert CODEC.decoder(UNJUDGED[0])(CODEC.encoder(topics.usage)(old)).record == old
