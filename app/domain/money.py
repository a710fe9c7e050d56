"""Exact money: totals are kept to four places, postings round to two, half up, and what rounding leaves stays."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

ZERO: Final = Decimal(0)
CENT: Final = Decimal("0.01")
KEPT: Final = Decimal("0.0001")
UNIT_COST: Final = Decimal("0.000001")
# Our own context: the thread's may be changed by anybody. 38 digits hold 18 of money times 19 of quantity.
_EXACT: Final = Context(prec=38, rounding=ROUND_HALF_UP)


def posted(amount: Decimal) -> Decimal:
    """Round to two places, half up: what a posting may carry."""
    return amount.quantize(CENT, ROUND_HALF_UP, _EXACT)


def kept(amount: Decimal) -> Decimal:
    """Round to four places, half up: what a stock value may carry (``decimal(18,4)`` in the schemas)."""
    return amount.quantize(KEPT, ROUND_HALF_UP, _EXACT)


def share(total: Decimal, part: int, whole: int) -> Decimal:
    """``total * part / whole``, unrounded (38 digits); ``whole`` must not be 0.

    Moving average cost: an issue of ``part`` out of ``whole`` on hand takes this share of the total value.
    """
    return _EXACT.divide(_EXACT.multiply(total, part), whole)


def times(unit: Decimal, quantity: int) -> Decimal:
    """``unit * quantity``, exactly."""
    return _EXACT.multiply(unit, quantity)


def unit_cost(total: Decimal, quantity: int) -> Decimal:
    """``total / quantity`` to six places, half up; ``quantity`` must not be 0."""
    return _EXACT.divide(total, quantity).quantize(UNIT_COST, ROUND_HALF_UP, _EXACT)
