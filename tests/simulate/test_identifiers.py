from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.validation import check_digit as domain_check_digit
from app.simulate.identifiers import GLN_DIGITS, GTIN_DIGITS, check_digit, gln, gtin


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("629104150021", "3"),  # GS1's own worked example, GTIN-13 6291041500213
        ("0061414199999", "6"),  # GTIN-14 00614141999996
        ("061414100001", "2"),  # GLN 0614141000012
    ],
)
def test_the_check_digit_is_that_of_published_numbers(digits: str, expected: str) -> None:
    assert check_digit(digits) == expected


@given(st.integers(0, 9_999_999), st.integers(0, 99_999))
def test_every_number_has_its_length_and_the_digit_that_the_domain_expects(company: int, reference: int) -> None:
    for number, length in ((gtin(company, reference), GTIN_DIGITS), (gln(company, reference), GLN_DIGITS)):
        assert len(number) == length
        assert int(number[-1]) == domain_check_digit(number[:-1])
