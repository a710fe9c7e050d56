"""GS1 numbers with valid check digits."""

from __future__ import annotations

GTIN_DIGITS = 14
GLN_DIGITS = 13


def check_digit(digits: str) -> str:
    """The GS1 modulo-10 check digit: weights 3, 1, 3 … from the right (GS1 General Specifications, 7.9.1)."""
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-weighted % 10)


def gtin(company: int, reference: int) -> str:
    """A GTIN-14 (UDI-DI): indicator 0, a 7-digit company prefix, a 5-digit item reference, the check digit."""
    body = f"0{company:07d}{reference:05d}"
    return body + check_digit(body)


def gln(company: int, reference: int) -> str:
    """A GLN-13: a 7-digit company prefix, a 5-digit location reference, the check digit."""
    body = f"{company:07d}{reference:05d}"
    return body + check_digit(body)
