"""What a worker answers over HTTP, on a thread of its own: metrics, health, and the keys it owns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import faust
from prometheus_client import generate_latest

from app.runtime.partitioner import partition_for
from app.web.gauges import refresh

if TYPE_CHECKING:
    from app.runtime.engine import Engine
    from app.runtime.worker import Worker

_RETRY_AFTER = {"Retry-After": "2"}
_METRICS_TYPE = "text/plain"


def add_pages(worker: Worker, app: faust.App) -> None:
    """Register /metrics, /livez, /readyz and /tables/{table}/{key} with the app."""

    @app.page("/metrics")
    async def metrics(view: Any, _request: Any) -> Any:
        refresh(worker)
        return view.text(generate_latest(worker.metrics.registry).decode(), content_type=_METRICS_TYPE)

    @app.page("/livez")
    async def livez(view: Any, _request: Any) -> Any:
        stuck = worker.health.live(worker.engines)
        body = {"live": not stuck, "stuck": [asdict(each) for each in stuck]}
        return view.json(body, status=503 if stuck else 200)

    @app.page("/readyz")
    async def readyz(view: Any, _request: Any) -> Any:
        body = readiness(worker)
        return view.json(body, status=200 if body["ready"] else 503)

    @app.page("/tables/{table}/{key:.+}")
    async def row(view: Any, _request: Any, table: str, key: str) -> Any:
        status, body = look_up(worker, table, key)
        if isinstance(body, bytes):
            return view.bytes(body, content_type="application/json", status=status)
        return view.json(body, status=status, headers=_RETRY_AFTER if status == 503 else None)


def readiness(worker: Worker) -> dict[str, Any]:
    """Ready once master data are complete and every assigned partition is restored; with the restores' progress."""
    restores = worker.restorer.progress()
    return {
        "ready": worker.health.ready(restores),
        "master_data_complete": worker.health.masters_complete,
        "partitions": {engine.pipeline.name: sorted(engine.homes) for engine in worker.engines},
        "restoring": [
            {
                "pipeline": each.pipeline,
                "partition": each.partition,
                "records_done": each.done,
                "records_remaining": each.remaining,
            }
            for each in restores
        ],
    }


def look_up(worker: Worker, table: str, key: str) -> tuple[int, bytes | dict[str, str]]:
    """Status and body for one key: its committed JSON, 404 where the table has no such key or there is no such table,
    503 while its partition is not here."""
    owners = [engine for engine in worker.engines if table in {t.name for t in engine.pipeline.tables}]
    if not owners:
        known = ", ".join(sorted(_tables(worker.engines)))
        return 404, {"error": f"no table {table!r} on this worker; it has: {known}"}
    engine = owners[0]
    homes = {number: home for number, home in list(engine.homes.items()) if home.ready}
    partition = partition_for(key.encode(), engine.settings.partitions)
    try:
        # Rows of some tables lie on their event's partition, whatever their own key's would be: look everywhere.
        found = (home.store.column(table).get(key.encode()) for home in homes.values())
        raw = next((row for row in found if row is not None), None)
    except Exception:  # noqa: BLE001 a store was closed between the look and the read: partitions move
        return 503, {"error": f"partitions of {engine.pipeline.name} are moving"}
    if raw is not None:
        return 200, raw
    if partition not in homes:
        return 503, {"error": f"partition {partition} of {engine.pipeline.name} is not (yet) on this worker"}
    return 404, {"error": f"no key {key!r} in table {table!r}"}


def _tables(engines: list[Engine]) -> Iterator[str]:
    for engine in engines:
        yield from (table.name for table in engine.pipeline.tables)
