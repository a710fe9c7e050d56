"""One restore: the engine's own way from changelogs into RocksDB, of all partitions of a table, in a fresh process."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from app.runtime.clock import SystemClock
from app.runtime.failpoints import no_failpoint
from app.runtime.home import Home
from app.runtime.kafka_log import KafkaLog
from app.runtime.state.restore import Restorer
from app.runtime.state.store import StoreResources
from app.runtime.worker import spare_the_collector
from bench.job import TABLE
from bench.order import Order, answer, kafka_settings
from bench.stopwatch import Stopwatch
from bench.wardstock_run import build, engine_settings

_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Restored:
    """From the first question to the broker until the last partition's tables can be read. ``rows``: in RocksDB."""

    records: int
    rows: int
    seconds: float
    cpu_seconds: float

    @property
    def records_per_s(self) -> float:
        return self.records / self.seconds


def homes_of(order: Order) -> list[Home]:
    settings, resources = engine_settings(order.settings()), StoreResources()
    return [
        Home(
            order.job().pipeline, number, settings.state_dir / str(number), resources, settings.dedup_horizon_ms, []
        )
        for number in range(settings.partitions)
    ]  # fmt: skip


def restore(order: Order, restorer: Restorer, log: KafkaLog) -> Restored:
    homes, clock = homes_of(order), SystemClock()
    started, cpu = time.perf_counter(), time.process_time()
    for home in homes:
        restorer.begin(home, log.replay)
    waiting = set(homes)
    while waiting:
        time.sleep(_POLL_S)
        for home in restorer.finished(homes):
            home.open_views(clock.now_ms())
            waiting.remove(home)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    rows = sum(1 for home in homes for _ in home.store.column(TABLE).scan(b""))
    for home in homes:
        home.close()
    return Restored(order.messages, rows, seconds, cpu_seconds)


def main() -> int:
    order = Order.read()
    spare_the_collector()
    restorer = build(order, Stopwatch(order.messages)).restorer  # a worker's, with the threads that it has
    restored = restore(order, restorer, KafkaLog(kafka_settings(order.settings()), no_failpoint))
    answer(restored)
    return 0 if restored.rows == order.messages else 1


if __name__ == "__main__":
    sys.exit(main())
