"""What every rule is told besides the event, and the two ways in which it declines to apply one."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.records import ExceptionKind


@dataclass(frozen=True, slots=True)
class Source:
    """Where an event was first read, and when it is decided.

    ``decided_at`` is the event's record timestamp (ms, UTC). ``overdue``: it was parked for as long as parking is
    allowed, so it must be decided with what is known now.
    """

    topic: str
    partition: int
    offset: int
    decided_at: int
    overdue: bool = False


class Refused(Exception):
    """The event changes nothing and becomes an exception of this kind; the message says field, value, expectation."""

    def __init__(self, kind: ExceptionKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Awaited(Exception):
    """The event lacks something that may still arrive under ``name``; ``refused`` is what it becomes when overdue."""

    def __init__(self, name: str, refused: Refused) -> None:
        super().__init__(name)
        self.name = name
        self.refused = refused
