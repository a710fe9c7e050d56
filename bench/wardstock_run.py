"""One run with Wardstock: a worker process as it is deployed, that stops itself once every message is committed."""

from __future__ import annotations

import os
import signal
import sys

from prometheus_client import CollectorRegistry

from app import logs
from app.config import Settings
from app.metrics import Metrics
from app.runtime.clock import SystemClock
from app.runtime.codec import Codec
from app.runtime.engine import EngineSettings
from app.runtime.failpoints import Failpoint, Point
from app.runtime.pipeline import Pipeline
from app.runtime.worker import PipelineSettings, Worker, WorkerSettings
from app.web.pages import add_pages
from bench.order import Order, answer, kafka_settings
from bench.stopwatch import Stopwatch

_DAY_MS = 86_400_000


def engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        partitions=settings.partitions,
        state_dir=settings.state_dir,
        batch_max_events=settings.batch_max_events,
        batch_wait_ms=settings.batch_wait_ms,
        dedup_horizon_ms=settings.dedup_horizon_days * _DAY_MS,
        park_max_age_ms=settings.park_max_age_s * 1000,
    )


def worker_settings(settings: Settings) -> WorkerSettings:
    return WorkerSettings(
        app_id=settings.app_id,
        client=settings.client_config(),
        http_host=settings.http_host,
        http_port=settings.http_port,
        agent_deadline_s=settings.agent_deadline_ms / 1000,
        stop_timeout_s=settings.stop_timeout_s,
        watchdog_s=settings.watchdog_s,
    )


def build(order: Order, stopwatch: Stopwatch) -> Worker:
    """A worker whose commits are laps; the last one asks it to stop, as an operator would."""
    settings, pipeline = order.settings(), order.job().pipeline

    def committed() -> int:
        positions = worker.engines[0].positions()
        return sum(offset for tp, offset in positions.items() if tp.topic == order.usage_topic)

    def failpoint(point: Point) -> None:
        if point is Point.AFTER_COMMIT and not stopwatch.done():
            stopwatch.lap(committed())
            if stopwatch.done():
                os.kill(os.getpid(), signal.SIGTERM)

    worker = _worker(pipeline, settings, order.codec(), failpoint)
    return worker


def _worker(pipeline: Pipeline, settings: Settings, codec: Codec, failpoint: Failpoint) -> Worker:
    return Worker(
        [pipeline],
        worker_settings(settings),
        {pipeline.name: PipelineSettings(engine_settings(settings), kafka_settings(settings))},
        codec,
        Metrics(CollectorRegistry()),
        SystemClock(),
        failpoint,
        add_pages,
    )


def main() -> int:
    order = Order.read()
    logs.configure("WARNING")
    stopwatch = Stopwatch(order.messages)
    code = build(order, stopwatch).run()
    answer(stopwatch.timing())
    return code


if __name__ == "__main__":
    sys.exit(main())
