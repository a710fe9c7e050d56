"""What a record must hold before any rule may see it. Pure checks of one record by itself, no look-ups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from app.domain import records as r


class Invalid(Exception):
    """A field's value is not allowed."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} is {value!r}; expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected


def validate(record: object) -> None:
    """Raise Invalid for the first field whose value is not allowed; records that have no rule pass."""
    check = _CHECKS.get(type(record))
    if check is not None:
        check(record)


def check_digit(digits: str) -> int:
    """GS1 mod-10 check digit of all digits but the last: weights 3, 1, 3 … from the right (GS1 General
    Specifications, 7.9)."""
    return -sum(int(d) * (3 if place % 2 == 0 else 1) for place, d in enumerate(reversed(digits))) % 10


# --- single values ---------------------------------------------------------------------------------------------------


def _text(field: str, value: str) -> None:
    if not value:
        raise Invalid(field, value, "a text that is not empty")


def _text_if_given(field: str, value: str | None) -> None:
    if value is not None and not value:
        raise Invalid(field, value, "null or a text that is not empty")


def _name(field: str, value: str) -> None:
    if not value or "|" in value:
        raise Invalid(field, value, "a text that is not empty and has no '|', which parts the names in a key")


def _positive(field: str, value: int) -> None:
    if value <= 0:
        raise Invalid(field, value, "more than 0")


def _at_least(field: str, value: Any, least: int) -> None:
    if value < least:
        raise Invalid(field, value, f"at least {least}")


def _given(field: str, value: object, because: str) -> None:
    if value is None:
        raise Invalid(field, value, f"a value, because {because}")


def _gs1(field: str, value: str | None, length: int) -> None:
    if value is None:
        return
    if len(value) != length or not (value.isascii() and value.isdigit()):
        raise Invalid(field, value, f"{length} digits")
    expected = check_digit(value[:-1])
    if int(value[-1]) != expected:
        raise Invalid(field, value, f"check digit {expected}")


def _distinct(field: str, values: Iterable[object]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise Invalid(field, value, "each value once")
        seen.add(value)


def _currency(value: str) -> None:
    if len(value) != 3 or not (value.isascii() and value.isalpha() and value.isupper()):
        raise Invalid("currency", value, "a code of ISO 4217, such as EUR")


# --- inputs ----------------------------------------------------------------------------------------------------------


def _envelope(event: Any) -> None:
    _text("event_id", event.event_id)
    _positive("occurred_at", event.occurred_at)


def _place(event: Any, prefix: str = "") -> None:
    _name(f"{prefix}facility", event.facility)
    _name(f"{prefix}location", event.location)
    _name(f"{prefix}item", event.item)


def _reverses(event: r.ClinicalUsage | r.StockMovement) -> None:
    _text_if_given("reverses", event.reverses)
    if event.reverses == event.event_id:
        raise Invalid("reverses", event.reverses, "the id of another event")


def _usage(usage: r.ClinicalUsage) -> None:
    _envelope(usage)
    _place(usage)
    _positive("quantity", usage.quantity)
    _text("uom", usage.uom)
    _text("cost_center", usage.cost_center)
    _text_if_given("lot", usage.lot)
    _reverses(usage)


def _movement(movement: r.StockMovement) -> None:
    _envelope(movement)
    _place(movement)
    _text("uom", movement.uom)
    _text_if_given("lot", movement.lot)
    _text_if_given("owner", movement.owner)
    _text_if_given("cost_center", movement.cost_center)
    _reverses(movement)
    _MOVEMENT_CHECKS[movement.kind](movement)


def _moved(movement: r.StockMovement) -> None:
    _positive("quantity", movement.quantity)


def _transfer(movement: r.StockMovement) -> None:
    _positive("quantity", movement.quantity)
    because = f"kind is {movement.kind}"
    _given("transfer_id", movement.transfer_id, because)
    _given("other_facility", movement.other_facility, because)
    _given("other_location", movement.other_location, because)
    _text("transfer_id", movement.transfer_id or "")
    _name("other_facility", movement.other_facility or "")
    _name("other_location", movement.other_location or "")
    if (movement.other_facility, movement.other_location) == (movement.facility, movement.location):
        raise Invalid("other_location", movement.other_location, "another place than the movement's own")


def _adjustment(movement: r.StockMovement) -> None:
    if movement.quantity == 0:
        raise Invalid("quantity", 0, "not 0, because kind is ADJUSTMENT")


def _count(movement: r.StockMovement) -> None:
    if not movement.counted and not movement.full_count:
        raise Invalid("counted", [], "at least one lot, unless full_count is true")
    for counted in movement.counted:
        _text("counted.lot", counted.lot)
        _text_if_given("counted.owner", counted.owner)
        _at_least("counted.quantity", counted.quantity, 0)
    _distinct("counted.lot", ((counted.lot, counted.owner) for counted in movement.counted))
    # A line without an owner means whoever's stock is kept there: beside one that names him it would count twice.
    ownerless = {counted.lot for counted in movement.counted if counted.owner is None}
    _distinct("counted.lot", (counted.lot for counted in movement.counted if counted.lot in ownerless))


def _reversal(movement: r.StockMovement) -> None:
    _given("reverses", movement.reverses, "kind is REVERSAL")


_MOVEMENT_CHECKS: Final[dict[r.MovementKind, Callable[[r.StockMovement], None]]] = {
    r.MovementKind.ISSUE: _moved,
    r.MovementKind.RETURN: _moved,
    r.MovementKind.TRANSFER_OUT: _transfer,
    r.MovementKind.TRANSFER_IN: _transfer,
    r.MovementKind.ADJUSTMENT: _adjustment,
    r.MovementKind.COUNT: _count,
    r.MovementKind.REVERSAL: _reversal,
}


def _purchase_order(order: r.PurchaseOrder) -> None:
    _envelope(order)
    _text("po_number", order.po_number)
    _at_least("revision", order.revision, 1)
    _text("supplier", order.supplier)
    _currency(order.currency)
    if order.status is r.OrderStatus.OPEN and not order.lines:
        raise Invalid("lines", [], "at least one line, because status is OPEN")
    for line in order.lines:
        _place(line, "lines.")
        _positive("lines.quantity", line.quantity)
        _text("lines.uom", line.uom)
        _at_least("lines.unit_price", line.unit_price, 0)
        _text_if_given("lines.trigger_id", line.trigger_id)
    _distinct("lines.line", (line.line for line in order.lines))


def _receipt(receipt: r.Receipt) -> None:
    _envelope(receipt)
    _text("supplier", receipt.supplier)
    _text("delivery_note", receipt.delivery_note)
    _text_if_given("po_number", receipt.po_number)
    if not receipt.lines:
        raise Invalid("lines", [], "at least one line")
    for line in receipt.lines:
        _place(line, "lines.")
        _positive("lines.quantity", line.quantity)
        _text("lines.uom", line.uom)
        _text_if_given("lines.lot", line.lot)
    _distinct("lines.line", (line.line for line in receipt.lines))


# --- internal --------------------------------------------------------------------------------------------------------


def _inbound(inbound: r.Inbound) -> None:
    _envelope(inbound)
    _place(inbound)
    if inbound.kind is r.InboundKind.PUT_AWAY:
        _positive("quantity", inbound.quantity)
        _at_least("on_order_cleared", inbound.on_order_cleared, 0)
    if inbound.kind is r.InboundKind.TRANSFER_SENT:
        _given("transfer_id", inbound.transfer_id, "kind is TRANSFER_SENT")


# --- master data -----------------------------------------------------------------------------------------------------


def _item(item: r.Item) -> None:
    _name("item", item.item)
    _text("base_uom", item.base_uom)
    _currency(item.currency)
    _at_least("standard_cost", item.standard_cost, 0)
    for conversion in item.conversions:
        _text("conversions.uom", conversion.uom)
        _positive("conversions.numerator", conversion.numerator)
        _positive("conversions.denominator", conversion.denominator)
    _distinct("conversions.uom", (conversion.uom for conversion in item.conversions))
    _gs1("gtin", item.gtin, 14)


def _location(location: r.Location) -> None:
    _name("facility", location.facility)
    _name("location", location.location)
    _text("cost_center", location.cost_center)
    _gs1("gln", location.gln, 13)


_NEEDED: Final[dict[r.ReplenishmentPolicy, tuple[str, ...]]] = {
    r.ReplenishmentPolicy.MIN_MAX: ("min_quantity", "max_quantity"),
    r.ReplenishmentPolicy.PAR: ("par_quantity",),
    r.ReplenishmentPolicy.REORDER_POINT: ("max_quantity",),
}


def _item_location(kept: r.ItemLocation) -> None:
    _place(kept)
    _at_least("minimum_order", kept.minimum_order, 1)
    _at_least("order_multiple", kept.order_multiple, 1)
    _at_least("safety_stock", kept.safety_stock, 0)
    if kept.ownership is r.Ownership.CONSIGNED:
        _given("consignment_supplier", kept.consignment_supplier, "ownership is CONSIGNED")
        _text("consignment_supplier", kept.consignment_supplier or "")
        return
    for field in _NEEDED[kept.policy]:
        _given(field, getattr(kept, field), f"policy is {kept.policy}")
        _at_least(field, getattr(kept, field), 0)
    _levels(kept)


def _levels(kept: r.ItemLocation) -> None:
    if kept.policy is r.ReplenishmentPolicy.MIN_MAX and kept.max_quantity < kept.min_quantity:  # type: ignore[operator]
        raise Invalid("max_quantity", kept.max_quantity, f"at least min_quantity, which is {kept.min_quantity}")
    if kept.policy is r.ReplenishmentPolicy.REORDER_POINT and kept.reorder_point is None:
        _given("daily_demand", kept.daily_demand, "policy is REORDER_POINT and reorder_point is null")
        _given("lead_time_days", kept.lead_time_days, "policy is REORDER_POINT and reorder_point is null")


def _supplier(supplier: r.Supplier) -> None:
    _text("supplier", supplier.supplier)
    _gs1("gln", supplier.gln, 13)


def _cost_center(cost_center: r.CostCenter) -> None:
    _text("cost_center", cost_center.cost_center)


_CHECKS: Final[dict[type[Any], Callable[[Any], None]]] = {
    r.ClinicalUsage: _usage,
    r.StockMovement: _movement,
    r.PurchaseOrder: _purchase_order,
    r.Receipt: _receipt,
    r.Inbound: _inbound,
    r.Item: _item,
    r.Location: _location,
    r.ItemLocation: _item_location,
    r.Supplier: _supplier,
    r.CostCenter: _cost_center,
}
