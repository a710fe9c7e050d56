"""When a position asks for more, and for how much."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from math import ceil
from typing import NamedTuple

from app.domain.lots import is_usable
from app.domain.positions import Lot
from app.domain.records import ItemLocation, Ownership, ReplenishmentPolicy


class Levels(NamedTuple):
    """At or below ``reorder_point`` (s) more is asked for, up to ``order_up_to`` (S)."""

    reorder_point: int
    order_up_to: int


def levels(kept: ItemLocation) -> Levels | None:
    """s and S by the item-location's policy; None where it lacks the figures.

    MIN_MAX (min, max). PAR (par - 1, par). REORDER_POINT: the one given, else demand over the lead time plus safety
    stock, ``s = ceil(D * L) + SS``, S = max: the order-point, order-up-to-level (s, S) system as in Silver, Pyke and
    Peterson, *Inventory Management and Production Planning and Scheduling*.
    """
    if kept.policy is ReplenishmentPolicy.PAR:
        return None if kept.par_quantity is None else Levels(kept.par_quantity - 1, kept.par_quantity)
    lower = kept.min_quantity if kept.policy is ReplenishmentPolicy.MIN_MAX else reorder_point(kept)
    if lower is None or kept.max_quantity is None:
        return None
    return Levels(lower, kept.max_quantity)


def reorder_point(kept: ItemLocation) -> int | None:
    """The reorder point given, or ``ceil(daily_demand * lead_time_days) + safety_stock``; None without either."""
    if kept.reorder_point is not None:
        return kept.reorder_point
    if kept.daily_demand is None or kept.lead_time_days is None:
        return None
    return ceil(kept.daily_demand * kept.lead_time_days) + kept.safety_stock


def order_quantity(short: int, minimum_order: int, multiple: int) -> int:
    """``Q = multiple * ceil(max(S - IP, minimum order) / multiple)``, where ``short`` is S - IP."""
    return -(-max(short, minimum_order) // multiple) * multiple


def usable(lots: Iterable[Lot], today: date) -> int:
    """Owned stock that has not expired; balances below zero count."""
    return sum(lot.balance for lot in lots if lot.owner is None and is_usable(lot, today))


class Ask(NamedTuple):
    """Ask for ``quantity`` (base units), at this inventory position."""

    quantity: int
    inventory_position: int
    levels: Levels


class Withdraw(NamedTuple):
    """The need is gone: take back the ``quantity`` that was asked for."""

    quantity: int
    inventory_position: int
    levels: Levels


def review(kept: ItemLocation | None, supply: int, requested: int) -> Ask | Withdraw | None:
    """What to do about replenishment; ``supply`` is usable + on order + in transit, ``requested`` what is asked for.

    Inventory position IP = usable + requested + on order + in transit, after ERPNext's projected quantity
    (``bin.py``: actual + ordered + requested). Ask when IP <= s and nothing is requested; withdraw when IP > s without
    the request.
    """
    if kept is None or kept.ownership is Ownership.CONSIGNED:
        return None
    at = levels(kept)
    if at is None:
        return None
    if requested:
        return Withdraw(requested, supply, at) if supply > at.reorder_point else None
    if supply > at.reorder_point:
        return None
    return Ask(order_quantity(at.order_up_to - supply, kept.minimum_order, kept.order_multiple), supply, at)
