"""Units, money and lots by themselves."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import money
from app.domain.decisions import Refused
from app.domain.lots import first_expired_first_out, spread
from app.domain.positions import UNKNOWN_LOT, Lot, LotKey, day_of
from app.domain.records import UnitConversion
from app.domain.units import converted, to_base
from tests.domain.hospital import ITEM, LATER, NOW, SOON

amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=4)
TODAY = day_of(NOW)


@given(quantity=st.integers(-(10**9), 10**9), numerator=st.integers(1, 10**6), denominator=st.integers(1, 10**6))
def test_a_conversion_is_exact_or_refused(quantity: int, numerator: int, denominator: int) -> None:
    exact = Fraction(quantity * numerator, denominator)
    factor = UnitConversion("BX", numerator, denominator)
    if exact.denominator == 1:
        assert converted(quantity, factor) == exact
    else:
        with pytest.raises(Refused, match="whole number"):
            converted(quantity, factor)


def test_the_base_unit_needs_no_conversion() -> None:
    assert to_base(7, "EA", ITEM) == 7


@given(total=amounts, part=st.integers(0, 10**6), whole=st.integers(1, 10**6))
def test_a_posting_is_the_exact_share_rounded_half_up(total: Decimal, part: int, whole: int) -> None:
    exact = abs(Fraction(total)) * part / whole * 100
    expected = (int(exact + Fraction(1, 2))) * (1 if total >= 0 else -1)
    assert money.posted(money.share(total, part, whole)) * 100 == expected


@given(total=amounts, parts=st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_what_rounding_leaves_is_never_lost(total: Decimal, parts: list[int]) -> None:
    left, on_hand, posted = total, sum(parts), Decimal(0)
    for part in parts:
        amount = money.posted(money.share(left, part, on_hand))
        left, on_hand, posted = left - amount, on_hand - part, posted + amount
    assert left + posted == total
    assert abs(left) <= Decimal("0.005")


def lot(name: str, balance: int, **what: object) -> Lot:
    return Lot(name, None, balance, NOW, **what)  # type: ignore[arg-type]


def by_key(*lots: Lot) -> dict[LotKey, Lot]:
    return {(lot.lot, lot.owner): lot for lot in lots}


def test_lots_go_by_expiry_then_receipt_then_name() -> None:
    lots = by_key(
        lot("F", 1),
        lot("E", 1, expiry_date=LATER),
        lot("D", 1, expiry_date=SOON, received_at=NOW),
        lot("C", 1, expiry_date=SOON, received_at=NOW),
        lot("B", 1, expiry_date=SOON, received_at=NOW - 1),
    )
    assert [lot.lot for lot in first_expired_first_out(lots, None, TODAY)] == ["B", "C", "D", "E", "F"]


def test_only_usable_lots_of_the_owner_with_stock_are_taken() -> None:
    lots = by_key(
        lot("EMPTY", 0), lot("OWED", -3), lot("OLD", 5, expiry_date=day_of(NOW - 2 * 86_400_000)), lot("GOOD", 5)
    )
    lots["THEIRS", "CARDIO"] = Lot("THEIRS", "CARDIO", 5, NOW)
    assert [lot.lot for lot in first_expired_first_out(lots, None, TODAY)] == ["GOOD"]
    assert [lot.lot for lot in first_expired_first_out(lots, "CARDIO", TODAY)] == ["THEIRS"]


@given(balances=st.lists(st.integers(-5, 20), max_size=6), quantity=st.integers(1, 100))
def test_a_spread_covers_the_quantity_and_overdraws_no_named_lot(balances: list[int], quantity: int) -> None:
    lots = by_key(*(lot(f"L{n}", balance) for n, balance in enumerate(balances)))
    taken = spread(lots, None, quantity, TODAY)
    assert sum(taken.values()) == quantity
    assert all(0 < part <= lots[key].balance for key, part in taken.items() if key[0] != UNKNOWN_LOT)
    covered = sum(balance for balance in balances if balance > 0)
    assert taken.get((UNKNOWN_LOT, None), 0) == max(0, quantity - covered)
