"""A worker of the tally pipeline as a process of its own, so that tests can kill it.

python -m tests.engine.worker_process '{"prefix": …, "bootstrap_servers": …, "slot": 0, "state_dir": …, …}'

The options are those of ``Options``. With ``die_at`` it kills itself with SIGKILL the ``die_after``-th time it passes
that failpoint. With ``stop_at`` it stops itself with SIGSTOP there, and once it is continued waits ``linger_s``, in
which librdkafka's threads learn what happened meanwhile. ``slow_restore_s`` is spent on each restored chunk.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from app.metrics import Metrics
from app.runtime.clock import SystemClock
from app.runtime.engine import EngineSettings
from app.runtime.failpoints import Failpoint, Point
from app.runtime.kafka_log import KafkaSettings
from app.runtime.worker import PipelineSettings, Worker, WorkerSettings
from app.web.pages import add_pages
from tests.engine.tally import JsonCodec, tally

PARTITIONS = 4
_SENT_WITHIN_S = 0.1  # what was produced is sent by librdkafka's own threads


@dataclass(frozen=True, slots=True)
class Options:
    prefix: str
    bootstrap_servers: str
    slot: int
    state_dir: str
    group_protocol: str = "classic"
    session_timeout_ms: int = 6_000
    transaction_timeout_ms: int = 10_000
    batch_max_events: int = 500
    park_max_age_ms: int = 900_000
    max_failures: int = 100
    agent_deadline_s: float = 8.0
    stop_timeout_s: float = 25.0
    http_port: int = 0
    die_at: str = ""
    die_after: int = 1
    stop_at: str = ""
    stop_after: int = 1
    linger_s: float = 0.0
    slow_restore_s: float = 0.0


def at(point: str, after: int, act: Callable[[], None]) -> Failpoint:
    """Does ``act`` the ``after``-th time that ``point`` is passed."""
    passed = 0

    def failpoint(reached: Point) -> None:
        nonlocal passed
        passed += reached == point
        if reached == point and passed == after:
            act()

    return failpoint


def failpoints(options: Options) -> Failpoint:
    def die() -> None:
        time.sleep(_SENT_WITHIN_S)
        os.kill(os.getpid(), signal.SIGKILL)

    def stop() -> None:
        time.sleep(_SENT_WITHIN_S)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(options.linger_s)

    dying, stopping = at(options.die_at, options.die_after, die), at(options.stop_at, options.stop_after, stop)

    def failpoint(reached: Point) -> None:
        if reached is Point.IN_RESTORE:
            time.sleep(options.slow_restore_s)
        dying(reached)
        stopping(reached)

    return failpoint


def build(options: Options) -> Worker:
    client = {"bootstrap.servers": options.bootstrap_servers}
    kafka = KafkaSettings(
        client=client,
        group=options.prefix,
        transactional_id=f"{options.prefix}-{options.slot}",
        group_protocol=options.group_protocol,
        session_timeout_ms=options.session_timeout_ms,
        transaction_timeout_ms=options.transaction_timeout_ms,
    )
    engine = EngineSettings(
        partitions=PARTITIONS,
        state_dir=Path(options.state_dir),
        batch_max_events=options.batch_max_events,
        park_max_age_ms=options.park_max_age_ms,
        max_failures=options.max_failures,
    )
    settings = WorkerSettings(
        app_id=options.prefix,
        client=client,
        http_host="127.0.0.1",
        http_port=options.http_port,
        agent_deadline_s=options.agent_deadline_s,
        stop_timeout_s=options.stop_timeout_s,
        watchdog_s=60.0,
    )
    return Worker(
        [tally(options.prefix).pipeline],
        settings,
        {options.prefix: PipelineSettings(engine, kafka)},
        JsonCodec(),
        Metrics(CollectorRegistry()),
        SystemClock(),
        failpoints(options),
        add_pages,
    )


if __name__ == "__main__":
    sys.exit(build(Options(**json.loads(sys.argv[1]))).run())
