"""Gauges that are read off the engines when somebody asks for them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.runtime.engine import Engine
    from app.runtime.worker import Worker

STATES = ("starting", "restoring", "running")


def refresh(worker: Worker) -> None:
    """Bring lag, restore, store and state gauges up to now. Reads RocksDB properties, no data."""
    remaining: Counter[str] = Counter()
    active: Counter[str] = Counter()
    for progress in worker.restorer.progress():
        remaining[progress.pipeline] += progress.remaining
        active[progress.pipeline] += 1
    for engine in worker.engines:
        name = engine.pipeline.name
        worker.metrics.restore_remaining.labels(name).set(remaining[name])
        worker.metrics.restore_active.labels(name).set(active[name])
        _refresh_engine(worker, engine, restoring=bool(active[name]))


def _refresh_engine(worker: Worker, engine: Engine, *, restoring: bool) -> None:
    metrics, name = worker.metrics, engine.pipeline.name
    homes = [home for home in list(engine.homes.values()) if home.ready]
    metrics.assigned.labels(name).set(len(engine.homes))
    for tp, lag in engine.lag().items():
        metrics.lag.labels(name, tp.topic, str(tp.partition)).set(lag)
    for partition, seconds in engine.lag_seconds().items():
        metrics.lag_seconds.labels(name, str(partition)).set(seconds)
    for home in homes:
        metrics.parked_events.labels(name, str(home.partition)).set(len(home.parking))
    for table in engine.pipeline.tables:
        columns = [home.store.column(table.name) for home in homes]
        metrics.store_bytes.labels(name, table.name).set(sum(column.bytes_on_disk() for column in columns))
        metrics.store_keys.labels(name, table.name).set(sum(column.size() for column in columns))
    current = "restoring" if restoring else "running" if worker.health.masters_complete else "starting"
    for state in STATES:
        metrics.worker_state.labels(name, state).set(state == current)
