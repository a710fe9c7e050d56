"""``wardstock lag``: how far each pipeline is behind its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import declared
from app.cli.output import JsonOption, emit, settings_of, table_of

if TYPE_CHECKING:
    from app.config import Settings
    from app.kafka_admin import Cluster, Offsets

# A distance this small may be transaction markers alone; reading tells, and costs little.
_COUNTED = 100


@dataclass(frozen=True, slots=True)
class Lag:
    """One input partition of a pipeline. ``end`` is the last stable offset: what a worker could read now.

    ``records`` counts offsets, in which transaction markers count, too; but where few are left they were read, and
    only records count. ``committed`` is None where the group has committed nothing.
    """

    pipeline: str
    topic: str
    partition: int
    committed: int | None
    end: int
    records: int


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock lag inventory --json")(lag)


def lag(
    ctx: typer.Context,
    pipeline: Annotated[list[str] | None, typer.Argument(metavar="PIPELINE", help="Default: all of them.")] = None,
    json: JsonOption = False,
) -> None:
    """Print what each pipeline has committed of its inputs, and how many records are left."""
    from app.kafka_admin import Cluster

    names = pipeline or list(declared.pipelines())
    settings = settings_of(ctx)
    lags = lags_of(Cluster(settings), settings, names)
    totals = {name: sum(one.records for one in lags if one.pipeline == name) for name in names}
    rows: list[tuple[object, ...]] = [
        (one.pipeline, one.topic, str(one.partition), one.committed, one.end, one.records) for one in lags
    ]
    rows += [(name, "all", "", None, None, total) for name, total in totals.items()]
    emit(
        {"partitions": lags, "totals": totals, "total": sum(totals.values())},
        json=json,
        table=lambda: table_of(("pipeline", "topic", "partition", "committed", "end", "lag"), rows),
    )


def lags_of(cluster: Cluster, settings: Settings, names: Iterable[str]) -> list[Lag]:
    """Each input partition of the named pipelines. Raises a usage error for a pipeline that there is not."""
    from app.main import group_of

    known = declared.pipelines()
    found: list[Lag] = []
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"there is no pipeline {name!r}; expected one of {', '.join(known)}")
        found += _lags(cluster, group_of(settings, name), name, known[name].inputs)
    return found


def _lags(cluster: Cluster, group: str, pipeline: str, topics: Iterable[str]) -> list[Lag]:
    committed = cluster.committed(group)
    return [
        _lag(cluster, pipeline, (topic, partition), committed.get((topic, partition)), offsets)
        for topic in topics
        for partition, offsets in sorted(cluster.offsets(topic, range(cluster.size(topic))).items())
    ]


def _lag(cluster: Cluster, pipeline: str, place: tuple[str, int], committed: int | None, offsets: Offsets) -> Lag:
    topic, partition = place
    next_offset = offsets.start if committed is None else max(committed, offsets.start)
    distance = max(offsets.stable - next_offset, 0)
    if 0 < distance <= _COUNTED:
        left = cluster.read(topic, [partition], starts={partition: next_offset}, patience_s=0)
        distance = sum(1 for _ in left)
    return Lag(pipeline, topic, partition, committed, offsets.stable, distance)
