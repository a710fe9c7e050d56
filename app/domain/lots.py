"""Which lot a quantity comes from, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from app.domain.positions import UNKNOWN_LOT, Lot, LotKey
from app.domain.records import Item, ItemLocation, Ownership


def is_usable(lot: Lot, today: date) -> bool:
    """Usable through its expiry date; without one, always."""
    return lot.expiry_date is None or lot.expiry_date >= today


def expected_owner(item: Item, kept: ItemLocation | None) -> str | None:
    """Whose stock the location keeps of the item: the consignment supplier, or None for our own."""
    if kept is None or kept.ownership is Ownership.OWNED:
        return None
    return kept.consignment_supplier or item.supplier


def owner_of(lots: Mapping[LotKey, Lot], lot: str, expected: str | None) -> str | None:
    """A lot that exists here under exactly one owner is that owner's; otherwise it is whose stock is kept here."""
    if (lot, expected) in lots:
        return expected
    owners = [key[1] for key in lots if key[0] == lot]
    return owners[0] if len(owners) == 1 else expected


def first_expired_first_out(lots: Mapping[LotKey, Lot], owner: str | None, today: date) -> list[Lot]:
    """Usable lots with stock, in the order expiry date (none last), earliest receipt, lot.

    Source: the order of Odoo's ``product_expiry`` (removal date, in date, id), with ties made definite by the lot.
    """
    candidates = [lot for lot in lots.values() if lot.owner == owner and lot.balance > 0 and is_usable(lot, today)]
    return sorted(candidates, key=_urgency)


def _urgency(lot: Lot) -> tuple[date, int, str]:
    received = lot.touched_at if lot.received_at is None else lot.received_at
    return lot.expiry_date or date.max, received, lot.lot


def spread(lots: Mapping[LotKey, Lot], owner: str | None, quantity: int, today: date) -> dict[LotKey, int]:
    """How much comes from which lot, first expired first out; what no lot covers comes from the UNKNOWN lot."""
    taken: dict[LotKey, int] = {}
    for lot in first_expired_first_out(lots, owner, today):
        if not quantity:
            return taken
        part = min(quantity, lot.balance)
        taken[lot.lot, owner] = part
        quantity -= part
    if quantity:
        unknown = (UNKNOWN_LOT, owner)
        taken[unknown] = taken.get(unknown, 0) + quantity
    return taken
