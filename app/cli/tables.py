"""``wardstock tables``: the tables as their changelogs on Kafka hold them. Works beside running workers, or without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import declared
from app.cli.output import ExitCode, JsonOption, emit, fail, print_json, settings_of, table_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from app.kafka_admin import Cluster

tables_app = typer.Typer(help="What the tables hold, read from their changelogs.", no_args_is_help=True)

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="positions, or in full inventory.positions.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The row's key, as `tables scan` prints it.")]

_SCAN_LIMIT = 100


def register(app: typer.Typer) -> None:
    app.add_typer(tables_app, name="tables")


@dataclass(frozen=True, slots=True)
class Kept:
    """A table of a pipeline and where it is kept."""

    table: str
    pipeline: str
    changelog: str


@dataclass(slots=True)
class Size:
    """One partition of a changelog: ``records`` as stored, ``keys`` that live, ``bytes`` of their keys and values."""

    partition: int
    records: int
    keys: int
    bytes: int


@tables_app.command("ls", epilog="Example: wardstock tables ls")
def list_tables(json: JsonOption = False) -> None:
    """Print every table, its pipeline and its changelog. Needs no cluster."""
    rows = kept_tables()
    columns = ("table", "pipeline", "changelog")
    emit(rows, json=json, table=lambda: table_of(columns, ((r.table, r.pipeline, r.changelog) for r in rows)))


@tables_app.command(epilog="Example: wardstock tables get positions 'H1|ICU|ITM-1'")
def get(ctx: typer.Context, table: TableArgument, key: KeyArgument, json: JsonOption = False) -> None:
    """Print the row of one key as JSON. Exit code 1 where there is none."""
    from app.kafka_admin import Cluster

    kept = find_table(table)
    value = row_of(Cluster(settings_of(ctx)), kept.changelog, key)
    if value is None:
        raise fail(f"table {kept.table} has no row {key!r}", ExitCode.FOUND, "`wardstock tables scan` prints its keys")
    print_json({"key": key, "value": decoded(value)} if json else decoded(value))


@tables_app.command(epilog="Example: wardstock tables scan positions --prefix 'H1|ICU|' --json")
def scan(
    ctx: typer.Context,
    table: TableArgument,
    prefix: Annotated[str, typer.Option(help="Only keys that begin with this.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Print at most this many rows; 0 prints all.")] = _SCAN_LIMIT,
    json: JsonOption = False,
) -> None:
    """Print the rows of a table in the order of their keys."""
    from app.kafka_admin import Cluster

    rows = rows_of(Cluster(settings_of(ctx)), find_table(table).changelog, prefix)
    keys = sorted(rows)[: limit or None]
    found = [{"key": key, "value": decoded(rows[key])} for key in keys]
    emit(
        found, json=json, table=lambda: table_of(("key", "value"), ((row["key"], _line(row["value"])) for row in found))
    )
    if len(keys) < len(rows):
        typer.echo(f"{len(keys)} of {len(rows)} rows; --limit 0 prints all", err=True)


@tables_app.command(epilog="Example: wardstock tables stats positions")
def stats(ctx: typer.Context, table: TableArgument, json: JsonOption = False) -> None:
    """Count records, living keys and their bytes, partition by partition."""
    from app.kafka_admin import Cluster

    sizes = sizes_of(Cluster(settings_of(ctx)), find_table(table).changelog)
    total = ("all", *(sum(getattr(size, name) for size in sizes) for name in ("records", "keys", "bytes")))
    rows = [*((str(size.partition), size.records, size.keys, size.bytes) for size in sizes), total]
    emit(sizes, json=json, table=lambda: table_of(("partition", "records", "keys", "bytes"), rows))


def kept_tables() -> list[Kept]:
    """Every table of every pipeline."""
    return [
        Kept(table.name, pipeline.name, pipeline.changelog(table.name))
        for pipeline in declared.pipelines().values()
        for table in pipeline.tables
    ]


def find_table(name: str) -> Kept:
    """The table called ``name`` or ``pipeline.name``. Raises a usage error that lists the tables there are."""
    tables = kept_tables()
    found = [kept for kept in tables if name in (kept.table, f"{kept.pipeline}.{kept.table}")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{kept.pipeline}.{kept.table}" for kept in found or tables)
    raise typer.BadParameter(f"{name!r} names {'more than one' if found else 'no'} table; expected one of {names}")


def row_of(cluster: Cluster, changelog: str, key: str) -> bytes | None:
    """The last value of one key, None where it has none or was deleted.

    A row lies on the partition of the event that wrote it. That is most often the row's own key's, so that partition
    is read first, and the others only where the row is not there.
    """
    from app.runtime.partitioner import partition_for

    wanted = key.encode()
    partitions = cluster.size(changelog)
    first = partition_for(wanted, partitions)
    value = _last(cluster.read(changelog, [first]), wanted)
    if value is not None or partitions == 1:
        return value
    return _last(cluster.read(changelog, [p for p in range(partitions) if p != first]), wanted)


def rows_of(cluster: Cluster, changelog: str, prefix: str = "") -> dict[str, bytes]:
    """The rows whose key begins with ``prefix``; all of them are held in memory."""
    begin = prefix.encode()
    rows: dict[bytes, bytes] = {}
    for key, value in _changes(cluster.read(changelog)):
        if not key.startswith(begin):
            continue
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return {key.decode("utf-8", "backslashreplace"): value for key, value in rows.items()}


def sizes_of(cluster: Cluster, changelog: str) -> list[Size]:
    """Partition by partition, also where one is empty."""
    return [_size(cluster, changelog, partition) for partition in range(cluster.size(changelog))]


def _size(cluster: Cluster, changelog: str, partition: int) -> Size:
    records, rows = 0, dict[bytes, int]()
    for key, value in _changes(cluster.read(changelog, [partition])):
        records += 1
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = len(key) + len(value)
    return Size(partition, records, len(rows), sum(rows.values()))


def decoded(value: bytes) -> Any:
    """A row's JSON; a value that is none is shown as text."""
    import orjson

    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode("utf-8", "backslashreplace")


def _last(messages: Iterator[Message], wanted: bytes) -> bytes | None:
    found = None
    for key, value in _changes(messages):
        if key == wanted:
            found = value
    return found


def _changes(messages: Iterator[Message]) -> Iterator[tuple[bytes, bytes | None]]:
    for message in messages:
        key, value = message.key(), message.value()
        yield (
            (key.encode() if isinstance(key, str) else key or b""),
            (value.encode() if isinstance(value, str) else value),
        )


def _line(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()
