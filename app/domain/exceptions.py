"""Exceptions as work for somebody: whose, how urgent, and with everything needed to judge the case."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

from app.domain.decisions import Source
from app.domain.outputs import output_id
from app.domain.records import ExceptionKind as Kind
from app.domain.records import ExceptionRaised, OwnerRole, Severity

ROUTES: Final[dict[Kind, tuple[OwnerRole, Severity]]] = {
    Kind.EXPIRED_LOT: (OwnerRole.WARD, Severity.CRITICAL),
    Kind.OFF_FORMULARY: (OwnerRole.SUPPLY_CHAIN, Severity.NORMAL),
    Kind.UNKNOWN_REFERENCE: (OwnerRole.MASTER_DATA, Severity.CRITICAL),
    Kind.INACTIVE_REFERENCE: (OwnerRole.MASTER_DATA, Severity.NORMAL),
    Kind.NEGATIVE_BALANCE: (OwnerRole.SUPPLY_CHAIN, Severity.NORMAL),
    Kind.UNCOVERED_QUANTITY: (OwnerRole.SUPPLY_CHAIN, Severity.NORMAL),
    Kind.INEXACT_QUANTITY: (OwnerRole.MASTER_DATA, Severity.CRITICAL),
    Kind.ID_CONFLICT: (OwnerRole.INTEGRATION, Severity.CRITICAL),
    Kind.REVERSAL_WITHOUT_ORIGINAL: (OwnerRole.INTEGRATION, Severity.NORMAL),
    Kind.ALREADY_REVERSED: (OwnerRole.INTEGRATION, Severity.NORMAL),
    Kind.BEYOND_HORIZON: (OwnerRole.SUPPLY_CHAIN, Severity.NORMAL),
    Kind.RECEIPT_WITHOUT_ORDER: (OwnerRole.PROCUREMENT, Severity.NORMAL),
    Kind.OVER_RECEIPT: (OwnerRole.PROCUREMENT, Severity.NORMAL),
    Kind.WRONG_ITEM: (OwnerRole.PROCUREMENT, Severity.CRITICAL),
    Kind.REPEATED_DELIVERY_NOTE: (OwnerRole.PROCUREMENT, Severity.NORMAL),
}
_PATIENT_ADJACENT: Final = frozenset({"procedure_ref"})


def payload_of(event: Any) -> str:
    """The event as JSON, without what points to a patient and without nulls."""
    return json.dumps(_plain(event), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if not hasattr(value, "__dataclass_fields__"):
        return str(value)
    named = ((f.name, getattr(value, f.name)) for f in fields(value) if f.name not in _PATIENT_ADJACENT)
    return {name: content for name, content in named if content is not None}


def raised(
    kind: Kind,
    message: str,
    *,
    event: Any,
    source: Source,
    event_id: str,
    version: str,
    applied: bool,
    about: Any = None,
    urgent: bool = False,
) -> ExceptionRaised:
    """One exception about an input event.

    ``about`` has the facility, location and item that it concerns (the event itself where None). ``urgent`` makes it
    critical whatever its kind, as for a vital item.
    """
    owner_role, severity = ROUTES[kind]
    place = event if about is None else about
    return ExceptionRaised(
        event_id=event_id,
        occurred_at=event.occurred_at,
        decided_at=source.decided_at,
        correlation_id=event.correlation_id,
        causation_id=event.event_id,
        master_version=version,
        kind=kind,
        severity=Severity.CRITICAL if urgent else severity,
        owner_role=owner_role,
        applied=applied,
        message=message,
        facility=getattr(place, "facility", None),
        location=getattr(place, "location", None),
        item=getattr(place, "item", None),
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
        payload=payload_of(event),
    )


def refusal(kind: Kind, message: str, event: Any, source: Source, version: str) -> ExceptionRaised:
    """The only output of an event that changed nothing."""
    return raised(
        kind,
        message,
        event=event,
        source=source,
        event_id=output_id(source.topic, event.event_id, 0),
        version=version,
        applied=False,
    )


def id_conflict(event: Any, source: Source, version: str) -> ExceptionRaised:
    """An id came again with other content: the first one counts, the second, at ``source``, is work for somebody.

    Its id names the second message's coordinates, so that it never equals an output of the first.
    """
    name = f"{event.event_id}@{source.partition}/{source.offset}"
    return raised(
        Kind.ID_CONFLICT,
        f"event_id is {event.event_id!r} again at {source.topic}[{source.partition}]@{source.offset} with other "
        "content; expected an id of its own, or the same content as the first",
        event=event,
        source=source,
        event_id=output_id(source.topic, name, 0),
        version=version,
        applied=False,
    )
