"""What no rule may ever see: the field, its value and what was expected."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import records as r
from app.domain.validation import Invalid, check_digit, validate
from tests.domain import hospital as h

K = r.MovementKind
SUPPLIER = r.Supplier("MEDCO", "Medco", True, 2, gln="4012345000009")
COST_CENTER = r.CostCenter("CC", "ward", "NORTH", True)

VALID: list[Any] = [
    h.usage(),
    h.usage(1, "A", reverses="other"),
    *(h.movement(kind, 1) for kind in (K.ISSUE, K.RETURN, K.ADJUSTMENT)),
    h.movement(K.ADJUSTMENT, -1),
    h.movement(K.REVERSAL, reverses="other"),
    h.counted(("A", 0)),
    h.counted(full=True),
    h.transfer_out(1),
    h.transfer_in(1, "A"),
    h.order(h.order_line()),
    h.order(status=r.OrderStatus.CANCELLED),
    h.receipt(h.receipt_line(1), h.receipt_line(2)),
    h.receipt(h.receipt_line(), po_number=None),
    h.put_away(1),
    h.inbound(r.InboundKind.ORDERED, -5),
    h.inbound(r.InboundKind.TRANSFER_SENT, -5, transfer_id="T1"),
    h.ITEM,
    replace(h.ITEM, gtin="00012345600012"),
    replace(h.WARD, gln="4012345000009"),
    h.kept(),
    h.consigned(),
    SUPPLIER,
    COST_CENTER,
]


@pytest.mark.parametrize("record", VALID, ids=lambda record: type(record).__name__)
def test_a_sound_record_passes(record: Any) -> None:
    validate(record)


INVALID: list[tuple[Any, str]] = [
    (h.usage(0), "quantity"),
    (h.usage(-1), "quantity"),
    (replace(h.usage(), event_id=""), "event_id"),
    (h.usage(at=0), "occurred_at"),
    (h.usage(facility=""), "facility"),
    (h.usage(location="A|B"), "location"),
    (h.usage(item="A|B"), "item"),
    (h.usage(uom=""), "uom"),
    (h.usage(cost_center=""), "cost_center"),
    (h.usage(1, ""), "lot"),
    (h.usage(1, event_id="U1", reverses="U1"), "reverses"),
    (h.movement(K.ISSUE, 0), "quantity"),
    (h.movement(K.ADJUSTMENT, 0), "quantity"),
    (h.movement(K.REVERSAL), "reverses"),
    (h.counted(), "counted"),
    (h.counted(("A", -1)), "counted.quantity"),
    (h.counted(("A", 1), ("A", 2)), "counted.lot"),
    (replace(h.counted(), counted=(r.CountedLot("A", 1), r.CountedLot("A", 2, owner="SUP-1"))), "counted.lot"),
    (h.transfer_out(1, transfer_id=None), "transfer_id"),
    (h.transfer_out(1, other_location=None), "other_location"),
    (h.transfer_out(1, to=h.WARD), "other_location"),
    (h.transfer_out(0), "quantity"),
    (h.order(h.order_line(), revision=0), "revision"),
    (h.order(), "lines"),
    (h.order(h.order_line(), currency="euro"), "currency"),
    (h.order(h.order_line(), po_number=""), "po_number"),
    (h.order(h.order_line(quantity=0)), "lines.quantity"),
    (h.order(h.order_line(unit_price=Decimal(-1))), "lines.unit_price"),
    (h.order(h.order_line(1), h.order_line(1)), "lines.line"),
    (h.receipt(), "lines"),
    (h.receipt(h.receipt_line(), po_number=""), "po_number"),
    (h.receipt(h.receipt_line(), delivery_note=""), "delivery_note"),
    (h.receipt(h.receipt_line(1), h.receipt_line(1)), "lines.line"),
    (h.receipt(h.receipt_line(quantity=-3)), "lines.quantity"),
    (h.put_away(0), "quantity"),
    (h.put_away(1, on_order_cleared=-1), "on_order_cleared"),
    (h.inbound(r.InboundKind.TRANSFER_SENT, 5), "transfer_id"),
    (replace(h.ITEM, gtin="00012345600013"), "gtin"),
    (replace(h.ITEM, gtin="12345"), "gtin"),
    (replace(h.ITEM, conversions=(r.UnitConversion("BX", 0),)), "conversions.numerator"),
    (replace(h.ITEM, conversions=(r.UnitConversion("BX", 1), r.UnitConversion("BX", 2))), "conversions.uom"),
    (replace(h.ITEM, standard_cost=Decimal(-1)), "standard_cost"),
    (replace(h.WARD, gln="4012345000008"), "gln"),
    (replace(SUPPLIER, gln="x"), "gln"),
    (replace(COST_CENTER, cost_center=""), "cost_center"),
    (h.kept(order_multiple=0), "order_multiple"),
    (h.kept(minimum_order=0), "minimum_order"),
    (h.kept(max_quantity=None), "max_quantity"),
    (h.kept(max_quantity=9), "max_quantity"),
    (h.kept(policy=r.ReplenishmentPolicy.PAR), "par_quantity"),
    (h.kept(policy=r.ReplenishmentPolicy.REORDER_POINT), "daily_demand"),
    (h.consigned(consignment_supplier=None), "consignment_supplier"),
]


@pytest.mark.parametrize(("record", "field"), INVALID, ids=lambda part: part if isinstance(part, str) else "")
def test_a_flaw_is_named_by_its_field(record: Any, field: str) -> None:
    with pytest.raises(Invalid) as found:
        validate(record)
    assert found.value.field == field
    assert str(found.value) == f"{field} is {found.value.value!r}; expected {found.value.expected}"


@given(digits=st.text("0123456789", min_size=13, max_size=13), place=st.integers(0, 12), by=st.integers(1, 9))
def test_a_check_digit_finds_every_single_wrong_digit(digits: str, place: int, by: int) -> None:
    wrong = digits[:place] + str((int(digits[place]) + by) % 10) + digits[place + 1 :]
    assert check_digit(wrong) != check_digit(digits)


def test_the_check_digit_of_a_known_gtin_is_right() -> None:
    assert check_digit("629104150021") == 3  # the worked example of GS1's check digit calculator
