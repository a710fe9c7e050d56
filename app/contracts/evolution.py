"""Registering the schemas of topics, and checking before it that every older record stays readable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.contracts.registry import LEVEL, NotCompatible, Objection, Registered, Registry, objections
from app.contracts.schemas import schema_text, subject_of
from app.runtime.topics import Topic

_STRICT_ENOUGH: Final = frozenset({LEVEL, "FULL_TRANSITIVE"})


class Standing(StrEnum):
    """How a schema stands to its subject in the registry."""

    NEW_SUBJECT = "NEW_SUBJECT"
    NEW_VERSION = "NEW_VERSION"
    REGISTERED = "REGISTERED"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found out about one subject; it passed where there are no objections."""

    subject: str
    standing: Standing
    versions: int
    objections: tuple[Objection, ...]


def register_all(registry: Registry, topics: Iterable[Topic]) -> tuple[Registered, ...]:
    """Registers every topic's schema, or none where one of them breaks an older version. A repeat changes nothing.

    Blocks on the registry. Raises NotCompatible (all objections at once), RegistryUnavailable.
    """
    schemas = [(subject_of(topic), schema_text(topic)) for topic in topics]
    if found := [why for subject, schema in schemas for why in objections(registry, subject, schema)]:
        raise NotCompatible(*found)
    return tuple(registry.register(subject, schema) for subject, schema in schemas)


def check_all(registry: Registry, topics: Iterable[Topic]) -> tuple[Checked, ...]:
    """Compares every topic's schema with all registered versions; changes nothing.

    Blocks on the registry. Raises RegistryUnavailable.
    """
    return tuple(check(registry, subject_of(topic), schema_text(topic)) for topic in topics)


def check(registry: Registry, subject: str, schema: str) -> Checked:
    """As :func:`check_all`, for one subject."""
    versions = registry.versions(subject)
    if not versions:
        return Checked(subject, Standing.NEW_SUBJECT, 0, ())
    standing = Standing.REGISTERED if any(v.schema == schema for v in versions) else Standing.NEW_VERSION
    found = (*objections(registry, subject, schema), *_of_level(registry, subject))
    return Checked(subject, standing, len(versions), found or _of_registry(registry, subject, schema))


def _of_level(registry: Registry, subject: str) -> tuple[Objection, ...]:
    level = registry.level(subject)
    if level in _STRICT_ENOUGH:
        return ()
    reason = f"compatibility level is {level}, expected {LEVEL}; `wardstock schemas register` sets it"
    return (Objection(subject, None, "", reason),)


def _of_registry(registry: Registry, subject: str, schema: str) -> tuple[Objection, ...]:
    if registry.accepts(subject, schema):
        return ()
    return (Objection(subject, None, "", "the registry refuses it by a rule of its own"),)
