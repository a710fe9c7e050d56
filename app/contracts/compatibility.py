"""Can a reader's schema read what a writer's schema wrote, and if not, which field is in the way?

Avro's rules of schema resolution (Avro 1.12 specification, "Schema Resolution"), and one rule more: a logical type that
changes its meaning (another scale, another unit of time) would resolve and yield a wrong value, so it counts, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from app.contracts.schemas import resolved

_Tree = dict[str, Any]

_PROMOTIONS: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
_UNITS_OF_TIME: Final = ("date", "time-", "timestamp-", "local-timestamp-", "duration")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a reader cannot read a writer's record. ``field`` is a path from the record's root (``lines.quantity``).

    ``silent``: Avro alone would not notice, and give another value than was written.
    """

    field: str
    reason: str
    silent: bool = False


def mismatches(reader: str, writer: str) -> tuple[Mismatch, ...]:
    """Every reason why the ``reader`` schema (JSON text) cannot read what the ``writer`` schema wrote; empty if it can.

    Raises ValueError where one of them is no Avro schema.
    """
    return tuple(compare(resolved(reader), resolved(writer)))


def compare(reader: _Tree, writer: _Tree) -> Iterator[Mismatch]:
    """As :func:`mismatches`, for two resolved trees."""
    return _compare(reader, writer, "", frozenset())


def _compare(reader: _Tree, writer: _Tree, path: str, above: frozenset[tuple[int, int]]) -> Iterator[Mismatch]:
    pair = (id(reader), id(writer))
    if pair in above:  # a recursive type: already being compared further up
        return
    above |= {pair}
    if writer["type"] == "union":
        for branch in writer["branches"]:
            yield from _compare(reader, branch, path, above)
    elif reader["type"] == "union":
        yield from _compare_with_branches(reader, writer, path, above)
    elif reader["type"] != writer["type"] and reader["type"] not in _PROMOTIONS.get(writer["type"], ()):
        yield Mismatch(path, f"type changed from {describe(writer)} to {describe(reader)}")
    elif _other_meaning(reader, writer):
        yield Mismatch(path, f"meaning changed from {describe(writer)} to {describe(reader)}", silent=True)
    elif reader.get("precision", 0) < writer.get("precision", 0):
        yield Mismatch(path, f"digits lost from {describe(writer)} to {describe(reader)}")
    elif reader["type"] == writer["type"]:
        yield from _compare_alike(reader, writer, path, above)


def _compare_with_branches(
    reader: _Tree, writer: _Tree, path: str, above: frozenset[tuple[int, int]]
) -> Iterator[Mismatch]:
    found = [tuple(_compare(branch, writer, path, above)) for branch in reader["branches"]]
    if any(not reasons for reasons in found):
        return
    # The reasons of the branch that was meant: one that would be misread, or else one of the same type.
    silent = (why for why in found if any(mismatch.silent for mismatch in why))
    alike = (why for branch, why in zip(reader["branches"], found, strict=True) if branch["type"] == writer["type"])
    changed = Mismatch(path, f"type changed from {describe(writer)} to {describe(reader)}")
    yield from next(chain(silent, alike), (changed,))


def _compare_alike(reader: _Tree, writer: _Tree, path: str, above: frozenset[tuple[int, int]]) -> Iterator[Mismatch]:
    match reader["type"]:
        case "record":
            yield from _compare_records(reader, writer, path, above)
        case "enum":
            yield from _compare_enums(reader, writer, path)
        case "array":
            yield from _compare(reader["items"], writer["items"], path, above)
        case "map":
            yield from _compare(reader["values"], writer["values"], path, above)
        case "fixed":
            if not _same_name(reader, writer) or reader["size"] != writer["size"]:
                yield Mismatch(path, f"type changed from {describe(writer)} to {describe(reader)}")


def _compare_records(reader: _Tree, writer: _Tree, path: str, above: frozenset[tuple[int, int]]) -> Iterator[Mismatch]:
    if not _same_name(reader, writer):
        yield Mismatch(path, f"record renamed from {writer['name']} to {reader['name']} without an alias")
        return
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        inner = f"{path}.{field['name']}" if path else field["name"]
        source = next((written[n] for n in (field["name"], *field.get("aliases", ())) if n in written), None)
        if source is not None:
            yield from _compare(field["type"], source["type"], inner, above)
        elif "default" not in field:
            yield Mismatch(inner, "added without a default, so older records cannot be read")


def _compare_enums(reader: _Tree, writer: _Tree, path: str) -> Iterator[Mismatch]:
    if not _same_name(reader, writer):
        yield Mismatch(path, f"enum renamed from {writer['name']} to {reader['name']} without an alias")
    gone = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if gone and "default" not in reader:
        yield Mismatch(path, f"enum symbol removed: {', '.join(gone)}")


def _same_name(reader: _Tree, writer: _Tree) -> bool:
    # Avro matches unqualified names; a namespace may change.
    names = {name.rpartition(".")[2] for name in (reader["name"], *reader["aliases"])}
    return writer["name"].rpartition(".")[2] in names


def _other_meaning(reader: _Tree, writer: _Tree) -> bool:
    now, then = reader.get("logicalType"), writer.get("logicalType")
    if "decimal" in (now, then):
        return now != then or reader.get("scale", 0) != writer.get("scale", 0)
    # A plain number is taken at its word: the schema's doc names the unit.
    return bool(now and then and now != then and now.startswith(_UNITS_OF_TIME) and then.startswith(_UNITS_OF_TIME))


def describe(tree: _Tree) -> str:
    """A type in a few words: ``long (timestamp-millis)``, ``union of null, string``, ``enum Severity``."""
    if tree["type"] == "union":
        return f"union of {', '.join(map(describe, tree['branches']))}"
    if tree["type"] == "array":
        return f"array of {describe(tree['items'])}"
    if "name" in tree:
        return f"{tree['type']} {tree['name'].rpartition('.')[2]}"
    if tree.get("logicalType") == "decimal":
        return f"{tree['type']} (decimal {tree.get('precision')},{tree.get('scale', 0)})"
    return f"{tree['type']} ({tree['logicalType']})" if "logicalType" in tree else str(tree["type"])


# --- same bytes ------------------------------------------------------------------------------------------------------


def same_layout(one: _Tree, other: _Tree) -> bool:
    """Whether both schemas lay out the same values as the same bytes, so that nothing has to be resolved.

    At least one of the two must not be recursive.
    """
    if any(one.get(part) != other.get(part) for part in ("type", "symbols", "size")):
        return False
    if one["type"] == "record":
        return [f["name"] for f in one["fields"]] == [f["name"] for f in other["fields"]] and all(
            same_layout(f["type"], g["type"]) for f, g in zip(one["fields"], other["fields"], strict=True)
        )
    if one["type"] == "union":
        return len(one["branches"]) == len(other["branches"]) and all(
            map(same_layout, one["branches"], other["branches"])
        )
    part = {"array": "items", "map": "values"}.get(one["type"])
    return part is None or same_layout(one[part], other[part])
