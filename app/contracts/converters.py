"""Avro dicts to domain records and back: one function per record type, compiled once, so that an event costs little.

The dicts are those of the physical schema (``schemas.physical``): times and dates are ints, decimals are bytes, enums
are their symbols. Both directions follow the dataclass alone; that the schema agrees with it is proven by a test.
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
_CENT_OF_A_CENT: Final = Decimal(1).scaleb(-SCALE)

_Fields = dict[str, Any]


def record_builder(record: type[Any]) -> Callable[[_Fields], Any]:
    """A function from a decoded dict (all fields present) to a record.

    The function raises ValueError or OverflowError for a date or a decimal out of range.
    """
    if hasattr(record, "__post_init__"):
        raise TypeError(f"{record.__name__}: got a __post_init__, which decoding would not run; validate outside")
    env: dict[str, Any] = {"Record": record, "Draft": _draft(record)}
    lines = [f"    o.{name} = {_from(hint, f'd[{name!r}]', env)}" for name, hint in _hints(record).items()]
    return _compiled("build(d)", ["    o = Draft()", *lines, "    o.__class__ = Record", "    return o"], env)


def dict_builder(record: type[Any]) -> Callable[[Any], _Fields]:
    """A function from a record to the dict that is encoded.

    The function raises ArithmeticError for a decimal that does not fit, and whatever a value of a wrong type raises.
    """
    env: dict[str, Any] = {}
    items = [f"{name!r}: {_into(hint, f'r.{name}', env)}" for name, hint in _hints(record).items()]
    return _compiled("build(r)", [f"    return {{{', '.join(items)}}}"], env)


def body_builder(schema: dict[str, Any], unlike: frozenset[str]) -> Callable[[_Fields], bytes]:
    """A function from a decoded dict to canonical bytes, without the ``unlike`` fields and those at their default.

    ``schema`` is a resolved tree. The function consumes the dict.
    """
    trim = _trimmer(schema, unlike)
    sort = orjson.OPT_SORT_KEYS  # the order of fields is the writer's, and may change between versions

    def body(fields: _Fields) -> bytes:
        return orjson.dumps(trim(fields), option=sort)

    return body


# --- how a value is converted ----------------------------------------------------------------------------------------


def money(unscaled: bytes) -> Decimal:
    """A decimal(18,4) from its big-endian two's complement. Raises ValueError beyond 18 digits."""
    number = int.from_bytes(unscaled, "big", signed=True)
    if not -_LIMIT < number < _LIMIT:
        raise ValueError(f"decimal: got {len(unscaled)} bytes, expected at most {PRECISION} digits")
    return Decimal(number).scaleb(-SCALE, _EXACT)


def unscaled(amount: Decimal) -> bytes:
    """The bytes of a decimal(18,4), as few as hold it. Raises ArithmeticError where it does not fit exactly."""
    number = int(_EXACT.quantize(amount, _CENT_OF_A_CENT).scaleb(SCALE, _EXACT))
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


def _into(hint: Any, value: str, env: dict[str, Any]) -> str:
    """The expression that makes the value to encode out of a record's."""
    if (inner := optional(hint)) is not None:
        plain = _into(inner, "v", env)
        return value if plain == "v" else f"None if (v := {value}) is None else {plain}"
    if (item := element(hint)) is not None:
        each = _into(item, "i", env)
        return f"list({value})" if each == "i" else f"[{each} for i in {value}]"
    if dataclasses.is_dataclass(hint):
        return f"{_bind(env, f'build{len(env)}', dict_builder(cast('type[Any]', hint)))}({value})"
    if convert := {date: days, Decimal: unscaled}.get(hint):
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


def _trimmer(schema: dict[str, Any], unlike: frozenset[str]) -> Callable[[_Fields], _Fields]:
    env: dict[str, Any] = {}
    lines = [f"    del d[{field['name']!r}]" for field in schema["fields"] if field["name"] in unlike]
    for field in schema["fields"]:
        if field["name"] not in unlike:
            lines += _trim_field(field, env)
    return _compiled("trim(d)", [*lines, "    return d"], env)


def _trim_field(field: dict[str, Any], env: dict[str, Any]) -> list[str]:
    value = f"d[{field['name']!r}]"
    kept = _plain(field["type"], "v", env)
    lines = [f"    v = {value}"] if "default" in field or kept != "v" else []
    if "default" in field:
        lines.append(f"    if v == {field['default']!r}: del {value}")
    if kept != "v":
        lines.append(f"    {'elif v is not None' if 'default' in field else 'if v is not None'}: {value} = {kept}")
    return lines


def _plain(tree: dict[str, Any], value: str, env: dict[str, Any]) -> str:
    """The expression that makes something JSON can say out of a decoded value, the same for equal values."""
    if tree["type"] == "union":
        return next((p for branch in tree["branches"] if (p := _plain(branch, value, env)) != value), value)
    if tree["type"] == "array":
        each = _plain(tree["items"], "i", env)
        return value if each == "i" else f"[{each} for i in {value}]"
    if tree["type"] == "record":
        return f"{_bind(env, f'trim{len(env)}', _trimmer(tree, frozenset()))}({value})"
    if tree["type"] == "bytes":  # a decimal: the number, however many bytes it was written in
        return f"{_bind(env, 'number', int.from_bytes)}({value}, 'big', signed=True)"
    return value


# --- compiling -------------------------------------------------------------------------------------------------------


def _hints(record: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def _draft(record: type[Any]) -> type[Any]:
    # A frozen dataclass sets its fields through object.__setattr__, three times the cost of the rest of decoding.
    # A plain class with the same slots takes them at full speed, and becomes the record once they are all there.
    return type(f"{record.__name__}Draft", (), {"__slots__": tuple(_hints(record))})


def _bind(env: dict[str, Any], name: str, value: Any) -> str:
    env[name] = value
    return name


def _compiled(signature: str, body: list[str], env: dict[str, Any]) -> Callable[[Any], Any]:
    exec("\n".join([f"def {signature}:", *body]), env)
    function: Callable[[Any], Any] = env[signature.partition("(")[0]]
    return function
