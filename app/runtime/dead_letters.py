"""Dead letters: messages that could not be worked, kept byte for byte with where they came from and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a message is a dead letter; closed, so that it can be a metric label."""

    EMPTY_VALUE = "EMPTY_VALUE"  # a tombstone where an event was expected
    BAD_FRAMING = "BAD_FRAMING"  # no Confluent wire format: magic byte and schema id
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"  # the registry does not know the id, or it belongs to another record
    UNDECODABLE = "UNDECODABLE"  # the bytes do not fit the schema they name
    INVALID = "INVALID"  # decoded, but a field's value is not allowed
    AGENT_ERROR = "AGENT_ERROR"  # the agent raised on it


@dataclass(frozen=True, slots=True)
class Header:
    name: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message as it arrived. ``topic``, ``partition`` and ``offset`` are where it was first read."""

    reason: Reason
    detail: str  # field, value and what was expected; or the traceback
    pipeline: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
