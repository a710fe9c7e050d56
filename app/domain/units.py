"""Quantities in the item's base unit: exact rational factors, never rounded."""

from __future__ import annotations

from app.domain.decisions import Refused
from app.domain.records import ExceptionKind, Item, UnitConversion


def conversion_of(item: Item, uom: str) -> UnitConversion:
    """The factor from ``uom`` to the item's base unit. Raises Refused INEXACT_QUANTITY for a unit the item lacks."""
    if uom == item.base_uom:
        return UnitConversion(uom, 1)
    for conversion in item.conversions:
        if conversion.uom == uom:
            return conversion
    known = ", ".join([item.base_uom, *(c.uom for c in item.conversions)])
    raise Refused(
        ExceptionKind.INEXACT_QUANTITY, f"uom is {uom!r}; expected a unit of item {item.item!r}, one of: {known}"
    )


def converted(quantity: int, factor: UnitConversion) -> int:
    """``quantity * numerator / denominator``. Raises Refused INEXACT_QUANTITY unless that is a whole number."""
    base, rest = divmod(quantity * factor.numerator, factor.denominator)
    if rest:
        raise Refused(
            ExceptionKind.INEXACT_QUANTITY,
            f"quantity is {quantity} {factor.uom} = {quantity * factor.numerator}/{factor.denominator} base units; "
            "expected a whole number of base units",
        )
    return base


def to_base(quantity: int, uom: str, item: Item) -> int:
    """The quantity in base units. Raises Refused INEXACT_QUANTITY where the unit is unknown or the result broken."""
    if uom == item.base_uom:
        return quantity
    return converted(quantity, conversion_of(item, uom))
