"""A worker of the tally pipeline as a process of its own, so that tests can kill it.

python -m tests.engine.worker_process '{"prefix": …, "bootstrap_servers": …, "slot": 0, "state_dir": …,
"group_protocol": "classic", "die_at": "after_commit", "die_after": 3}'

With ``die_at`` it kills itself with SIGKILL the ``die_after``-th time it passes that failpoint.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import faust
from prometheus_client import CollectorRegistry

from app.metrics import Metrics
from app.runtime.clock import SystemClock
from app.runtime.engine import EngineSettings
from app.runtime.failpoints import Failpoint, Point, no_failpoint
from app.runtime.kafka_log import KafkaSettings
from app.runtime.worker import PipelineSettings, Worker, WorkerSettings
from tests.engine.tally import JsonCodec, tally

PARTITIONS = 4


def dying_at(point: str, after: int) -> Failpoint:
    passed = 0

    def failpoint(reached: Point) -> None:
        nonlocal passed
        if reached == point:
            passed += 1
            if passed == after:
                os.kill(os.getpid(), signal.SIGKILL)

    return failpoint


def no_pages(_worker: Worker, _app: faust.App) -> None:
    """Only what Faust serves itself."""


def build(options: dict[str, Any]) -> Worker:
    prefix, slot = options["prefix"], options["slot"]
    client = {"bootstrap.servers": options["bootstrap_servers"]}
    failpoint = dying_at(options["die_at"], options["die_after"]) if "die_at" in options else no_failpoint
    kafka = KafkaSettings(
        client=client,
        group=prefix,
        transactional_id=f"{prefix}-{slot}",
        group_protocol=options.get("group_protocol", "classic"),
        transaction_timeout_ms=options.get("transaction_timeout_ms", 10_000),
    )
    engine = EngineSettings(
        partitions=PARTITIONS,
        state_dir=Path(options["state_dir"]),
        batch_max_events=options.get("batch_max_events", 500),
        park_max_age_ms=options.get("park_max_age_ms", 900_000),
        max_failures=options.get("max_failures", 100),
    )
    settings = WorkerSettings(
        app_id=prefix,
        client=client,
        http_host="127.0.0.1",
        http_port=options.get("http_port", 0),
        agent_deadline_s=options.get("agent_deadline_s", 8.0),
        stop_timeout_s=25.0,
        watchdog_s=60.0,
    )
    return Worker(
        [tally(prefix).pipeline],
        settings,
        {prefix: PipelineSettings(engine, kafka)},
        JsonCodec(),
        Metrics(CollectorRegistry()),
        SystemClock(),
        failpoint,
        no_pages,
    )


if __name__ == "__main__":
    sys.exit(build(json.loads(sys.argv[1])).run())
