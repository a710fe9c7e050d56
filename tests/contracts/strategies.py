"""Records of any type, made from their dataclass: every value that the type allows, not only plausible ones."""

from __future__ import annotations

import dataclasses
import typing
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

from app.contracts.converters import PRECISION, SCALE, element, optional

LONGS = st.integers(-(2**63), 2**63 - 1)
DECIMALS = st.integers(-(10**PRECISION) + 1, 10**PRECISION - 1).map(lambda n: Decimal(n).scaleb(-SCALE))

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: LONGS,
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    date: st.dates(),
    Decimal: DECIMALS,
}


def records(record: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(record)
    return st.builds(record, **{field.name: _values(hints[field.name]) for field in dataclasses.fields(record)})


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if (inner := optional(hint)) is not None:
        return st.none() | _values(inner)
    if (item := element(hint)) is not None:
        return st.lists(_values(item), max_size=3).map(tuple)
    if hint in _PLAIN:
        return _PLAIN[hint]
    return st.sampled_from(list(hint)) if issubclass(hint, StrEnum) else records(hint)
