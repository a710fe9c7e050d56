"""Which value of a record does not fit its type: asked only once encoding has failed, so it may take its time."""

from __future__ import annotations

import dataclasses
import typing
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.contracts.converters import PRECISION, SCALE, element, optional, unscaled


class Misfit(typing.NamedTuple):
    """``field`` is a path from the record's root: ``lines[2].quantity``."""

    field: str
    value: Any
    expected: str


def first_misfit(record: Any, expected: type[Any]) -> Misfit | None:
    """The first value in ``record`` that its field's type does not allow; None where all fit."""
    return _misfit(record, expected, "")


def _misfit(value: Any, hint: Any, path: str) -> Misfit | None:
    if (inner := optional(hint)) is not None:
        return None if value is None else _misfit(value, inner, path)
    if (item := element(hint)) is not None:
        return _in_sequence(value, item, path)
    if dataclasses.is_dataclass(hint):
        return _in_record(value, hint, path)
    if hint is Decimal:
        return _in_decimal(value, path)
    if issubclass(hint, StrEnum):
        return None if value in list(hint) else Misfit(path, value, f"one of {', '.join(hint)}")
    if hint is int and isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else Misfit(path, value, "an integer of 64 bits")
    if hint is str and isinstance(value, str):
        return None if _is_utf8(value) else Misfit(path, value, "a text that UTF-8 can write")
    return None if isinstance(value, hint) else Misfit(path, value, _a(hint))


def _in_sequence(value: Any, item: Any, path: str) -> Misfit | None:
    if not isinstance(value, tuple | list):
        return Misfit(path, value, f"a tuple of {_name(item)}")
    found = (_misfit(each, item, f"{path}[{place}]") for place, each in enumerate(value))
    return next(filter(None, found), None)


def _in_record(value: Any, hint: Any, path: str) -> Misfit | None:
    if type(value) is not hint:
        return Misfit(path, value, _a(hint))
    hints = typing.get_type_hints(hint)
    inner = f"{path}." if path else ""
    found = (_misfit(getattr(value, f.name), hints[f.name], f"{inner}{f.name}") for f in dataclasses.fields(hint))
    return next(filter(None, found), None)


def _in_decimal(value: Any, path: str) -> Misfit | None:
    fits = f"a Decimal of at most {PRECISION - SCALE} digits before and {SCALE} after the point"
    if not isinstance(value, Decimal):
        return Misfit(path, value, fits)
    try:
        unscaled(value)
    except (ArithmeticError, ValueError):
        return Misfit(path, value, fits)
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _a(hint: Any) -> str:
    return f"{'an' if _name(hint)[0] in 'aeiouAEIOU' else 'a'} {_name(hint)}"


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint))
