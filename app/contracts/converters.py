"""What is made of Avro's values: records of fastavro's dicts, and the body by which two sendings are compared.

One function per record type, compiled once, so that an event costs little. The dicts are those of the physical schema
(``schemas.physical``): times and dates are ints, decimals are bytes, enums are their symbols. All follows the dataclass
alone; that the schema agrees with it is proven by a test.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import Any, Final, cast

import orjson

PRECISION: Final = 18
SCALE: Final = 4
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LIMIT: Final = 10**PRECISION
_EXACT: Final = Context(prec=PRECISION, traps=[Inexact, InvalidOperation])
_SMALLEST: Final = Decimal(1).scaleb(-SCALE)

_Fields = dict[str, Any]


def record_builder(record: type[Any]) -> Callable[[_Fields], Any]:
    """A function from a decoded dict (all fields present) to a record.

    The function raises ValueError or OverflowError for a date or a decimal out of range.
    """
    env: dict[str, Any] = {"Record": record, "Draft": draft_of(record)}
    lines = [f"    o.{name} = {_from(hint, f'd[{name!r}]', env)}" for name, hint in hints_of(record).items()]
    return compiled("build(d)", ["    o = Draft()", *lines, "    o.__class__ = Record", "    return o"], env)


def body_builder(record: type[Any], unlike: frozenset[str]) -> Callable[[Any], bytes]:
    """A function from a record to canonical bytes, without the ``unlike`` fields and those at their default.

    JSON with sorted keys, so that the order of fields, which may change between versions, is not in it.
    """
    trim, sort = _trimmer(record, unlike), orjson.OPT_SORT_KEYS

    def body(value: Any) -> bytes:
        return orjson.dumps(trim(value), default=str, option=sort)

    return body


# --- values ----------------------------------------------------------------------------------------------------------


def money(unscaled: bytes) -> Decimal:
    """A decimal(18,4) from its big-endian two's complement. Raises ValueError beyond 18 digits."""
    number = int.from_bytes(unscaled, "big", signed=True)
    if not -_LIMIT < number < _LIMIT:
        raise ValueError(f"decimal: got {len(unscaled)} bytes, expected at most {PRECISION} digits")
    return Decimal(number).scaleb(-SCALE, _EXACT)


def unscaled(amount: Decimal) -> bytes:
    """The bytes of a decimal(18,4), as few as hold it. Raises ArithmeticError where it does not fit exactly."""
    number = int(_EXACT.quantize(amount, _SMALLEST).scaleb(SCALE, _EXACT))
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)


def day(days: int) -> date:
    """A date from days since 1970-01-01. Raises ValueError or OverflowError outside the years 1 to 9999."""
    return date.fromordinal(days + _EPOCH)


def days(value: date) -> int:
    """Days since 1970-01-01."""
    return value.toordinal() - _EPOCH


def _from(hint: Any, value: str, env: dict[str, Any]) -> str:
    """The expression that makes a record's value out of a decoded one."""
    if (inner := optional(hint)) is not None:
        plain = _from(inner, "v", env)
        return value if plain == "v" else f"None if (v := {value}) is None else {plain}"
    if (item := element(hint)) is not None:
        each = _from(item, "i", env)
        return f"tuple({value})" if each == "i" else f"tuple([{each} for i in {value}])"
    if issubclass(hint, StrEnum):
        return f"{_bind(env, hint.__name__, {member.value: member for member in hint})}[{value}]"
    if dataclasses.is_dataclass(hint):
        return f"{_bind(env, f'build{len(env)}', record_builder(cast('type[Any]', hint)))}({value})"
    if convert := {date: day, Decimal: money}.get(hint):
        return f"{_bind(env, convert.__name__, convert)}({value})"
    return value


def optional(hint: Any) -> Any:
    """The type beside None in ``X | None``; None where the hint allows no None."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return None
    return next(branch for branch in typing.get_args(hint) if branch is not type(None))


def element(hint: Any) -> Any:
    """The type of the elements of ``tuple[X, ...]``; None where the hint is no tuple."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def _trimmer(record: type[Any], unlike: frozenset[str]) -> Callable[[Any], _Fields]:
    env: dict[str, Any] = {}
    always, sometimes = [], []
    for field in dataclasses.fields(record):
        if field.name in unlike:
            continue
        default, hint = _default(field, hints_of(record)[field.name]), hints_of(record)[field.name]
        if default is dataclasses.MISSING:
            always.append(f"{field.name!r}: {_trimmed(hint, f'r.{field.name}', env)}")
        else:
            kept = _trimmed(hint, "v", env)
            sometimes.append(f"    if (v := r.{field.name}) != {default!r}: d[{field.name!r}] = {kept}")
    return compiled("trim(r)", [f"    d = {{{', '.join(always)}}}", *sometimes, "    return d"], env)


def _default(field: dataclasses.Field[Any], hint: Any) -> Any:
    """What the schema's default is: null wherever it is allowed."""
    return field.default if optional(hint) is None else None


def _trimmed(hint: Any, value: str, env: dict[str, Any]) -> str:
    if (item := element(hint)) is not None and dataclasses.is_dataclass(item):
        return f"[{_bind(env, f'trim{len(env)}', _trimmer(cast('type[Any]', item), frozenset()))}(i) for i in {value}]"
    return value


# --- compiling -------------------------------------------------------------------------------------------------------


def hints_of(record: type[Any]) -> dict[str, Any]:
    """Each field's name and type, resolved, in the order of the dataclass."""
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def draft_of(record: type[Any]) -> type[Any]:
    """A class with the record's slots and no constructor; set them all, then set ``__class__`` to the record.

    A frozen dataclass sets its fields through ``object.__setattr__``, three times the cost of the rest of decoding.
    Raises TypeError for a record with a ``__post_init__``, which this would pass by.
    """
    if hasattr(record, "__post_init__"):
        raise TypeError(f"{record.__name__}: got a __post_init__, which decoding would not run; validate outside")
    return type(f"{record.__name__}Draft", (), {"__slots__": tuple(hints_of(record))})


def compiled(signature: str, body: list[str], env: dict[str, Any]) -> Callable[..., Any]:
    """The function of that source; the names in ``env`` are its globals."""
    exec("\n".join([f"def {signature}:", *body]), env)
    function: Callable[..., Any] = env[signature.partition("(")[0]]
    return function


def _bind(env: dict[str, Any], name: str, value: Any) -> str:
    env[name] = value
    return name
