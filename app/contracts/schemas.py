"""The topics' Avro schemas: where they lie, what the registry calls them, and the forms they are worked with in."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from app.runtime.topics import Topic

_LOGICAL: Final = ("logicalType", "precision", "scale")


def subject_of(topic: Topic) -> str:
    """The registry's name for the schema of a topic's values (TopicNameStrategy)."""
    return f"{topic.name}-value"


@cache
def schema_text(topic: Topic) -> str:
    """The topic's schema file, as it is registered. Raises LookupError where the topic has none."""
    path = _directory().joinpath(topic.name, f"{topic.record.__name__}.avsc")
    if not path.is_file():
        raise LookupError(f"topic {topic.name}: no schema, expected schemas/avro/{topic.name}/{path.name}")
    return path.read_text(encoding="utf-8")


def physical(schema: Any) -> Any:
    """The schema without logical types and docs: the same bytes, read as plain ints and bytes, which is faster."""
    if isinstance(schema, list):
        return [physical(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: value for key, value in schema.items() if key not in (*_LOGICAL, "doc")}
    if "fields" in plain:
        plain["fields"] = [{**_without_doc(field), "type": physical(field["type"])} for field in plain["fields"]]
    return {**plain, **{part: physical(plain[part]) for part in ("type", "items", "values") if part in plain}}


def _without_doc(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key != "doc"}


def _directory() -> Traversable:
    # A wheel carries the schemas inside the package; a source tree has them at its root.
    packaged = files("app").joinpath("_schemas", "avro")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "schemas" / "avro"


# --- a tree without names to look up ---------------------------------------------------------------------------------


def resolved(text: str) -> dict[str, Any]:
    """The schema as a tree: full names, references replaced by what they name, every type a dict.

    Unions are ``{"type": "union", "branches": [...]}``. Raises ValueError where the text is no Avro schema.
    """
    try:
        return _resolve(json.loads(text), "", {})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an Avro schema: {error!r}") from error


_PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def _resolve(schema: Any, namespace: str, named: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(schema, str):
        return {"type": schema} if schema in _PRIMITIVES else named[_full_name(schema, namespace)]
    if isinstance(schema, list):
        return {"type": "union", "branches": [_resolve(branch, namespace, named) for branch in schema]}
    kind = schema["type"]
    if not isinstance(kind, str):
        return _resolve(kind, namespace, named)
    if kind in ("record", "error", "enum", "fixed"):
        return _resolve_named(schema, namespace, named)
    if kind == "array":
        return {"type": kind, "items": _resolve(schema["items"], namespace, named)}
    if kind == "map":
        return {"type": kind, "values": _resolve(schema["values"], namespace, named)}
    return {**_resolve(kind, namespace, named), **{key: schema[key] for key in _LOGICAL if key in schema}}


def _resolve_named(schema: dict[str, Any], outer: str, named: dict[str, dict[str, Any]]) -> dict[str, Any]:
    name = _full_name(schema["name"], schema.get("namespace", outer))
    namespace = name.rpartition(".")[0]
    kept = ("symbols", "size", "default", *_LOGICAL)
    tree: dict[str, Any] = {
        "type": "record" if schema["type"] == "error" else schema["type"],
        "name": name,
        "aliases": [_full_name(alias, namespace) for alias in schema.get("aliases", ())],
        **{key: schema[key] for key in kept if key in schema},
    }
    named[name] = tree  # before the fields, which may refer to it
    if "fields" in schema:
        tree["fields"] = [
            {**_without_doc(field), "type": _resolve(field["type"], namespace, named)} for field in schema["fields"]
        ]
    return tree


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
