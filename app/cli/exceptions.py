"""``wardstock exceptions ls``: the business exceptions, each somebody's work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import JsonOption, console, emit, settings_of, table_of
from app.cli.records import codec_of, iso, parse_time, plain, read_since
from app.domain.records import ExceptionKind, ExceptionRaised, OwnerRole

if TYPE_CHECKING:
    from app.config import Settings
    from app.kafka_admin import Cluster

exceptions_app = typer.Typer(help="Business exceptions: events that somebody has to look at.", no_args_is_help=True)

_COLUMNS = ("decided", "kind", "severity", "owner", "facility", "location", "item", "applied", "source", "message")


def register(app: typer.Typer) -> None:
    app.add_typer(exceptions_app, name="exceptions")


@exceptions_app.command("ls", epilog="Example: wardstock exceptions ls --owner PROCUREMENT --since 24h")
def list_exceptions(
    ctx: typer.Context,
    kind: Annotated[list[ExceptionKind] | None, typer.Option(help="Only of this kind; may be repeated.")] = None,
    owner: Annotated[list[OwnerRole] | None, typer.Option(help="Only this role's work; may be repeated.")] = None,
    facility: Annotated[str | None, typer.Option(help="Only of this facility.")] = None,
    since: Annotated[str | None, typer.Option(help="Raised since: 30s, 90m, 2h, 7d, or an ISO time in UTC.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Print the newest this many; 0 prints all.")] = 50,
    json: JsonOption = False,
) -> None:
    """Print exceptions, the newest last. --json has every field, the event's payload among them."""
    from app.kafka_admin import Cluster

    settings = settings_of(ctx)
    since_ms = parse_time(since) if since else None
    raised = sorted(
        (
            one
            for one in _raised(Cluster(settings), settings, since_ms)
            if (not kind or one.kind in kind)
            and (not owner or one.owner_role in owner)
            and (facility is None or one.facility == facility)
        ),
        key=lambda one: (one.decided_at, one.event_id),
    )
    shown = raised[-limit:] if limit else raised
    emit([plain(one) for one in shown], json=json, table=lambda: table_of(_COLUMNS, map(_row, shown)))
    if len(shown) < len(raised):
        console().print(f"the newest {len(shown)} of {len(raised)}; --limit 0 prints all")


def _raised(cluster: Cluster, settings: Settings, since_ms: int | None) -> Iterator[ExceptionRaised]:
    from agents import topics

    with codec_of(settings) as codec:
        decode = codec.decoder(topics.exceptions)
        for message in read_since(cluster, topics.exceptions.name, since_ms):
            yield decode(message.value() or b"").record


def _row(one: ExceptionRaised) -> tuple[Any, ...]:
    source = f"{one.source_topic}/{one.source_partition}/{one.source_offset}"
    place = (one.facility, one.location, one.item)
    return (iso(one.decided_at), one.kind, one.severity, one.owner_role, *place, one.applied, source, one.message)
