"""The demo's run: the whole system on this machine, one worker killed on the way, the books checked at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.cli.lag import lags_of
from app.errors import Fault
from app.runtime.worker import free_port

if TYPE_CHECKING:
    from app.config import Settings
    from app.kafka_admin import Cluster
    from app.reconcile import Report
    from app.simulate.tally import SimulationSummary

WORKERS = 2
EVENTS_PER_S = 2_000  # slow enough for the ERP's answers to be lived through, fast enough to watch
ERP_PATIENCE_S = 3.0
_DRAIN_S = 180.0
_READY_S = 60.0
_LOOPBACK = "127.0.0.1"
_LOOK_EVERY_S = 0.3
_STILL_LOOKS = 2  # looks in a row without lag: what one pipeline sent to the other is through


@dataclass(slots=True)
class Outcome:
    """Times in seconds."""

    seed: int
    summary: SimulationSummary
    report: Report
    kills: int
    drain_s: float
    total_s: float


@dataclass(slots=True)
class Crew:
    """Worker processes by slot, with their logs in ``directory``."""

    settings: Settings
    directory: Path
    kills: int = 0
    _running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = field(default_factory=dict)
    _ports: dict[int, int] = field(default_factory=dict)

    def start(self, slot: int) -> None:
        log = (self.directory / f"worker-{slot}.log").open("ab")
        port = self._ports[slot] = free_port(_LOOPBACK)
        command = [sys.executable, "-m", "app.cli", "worker", "--slot", str(slot), "--http-port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())
        self._running[slot] = (process, log)

    def await_work(self) -> None:
        """Until every partition of every pipeline is on some worker and restored. Raises ``Fault`` where that fails."""
        deadline = time.monotonic() + _READY_S
        while not self._all_assigned():
            self.check()
            if time.monotonic() > deadline:
                raise Fault(f"workers not ready after {_READY_S:.0f} s", f"their logs: {self.directory}")
            time.sleep(_LOOK_EVERY_S)

    def _all_assigned(self) -> bool:
        held: Counter[str] = Counter()
        for slot in self._running:
            answer = self._readiness(slot)
            if answer is None or not answer["ready"]:
                return False
            held.update({name: len(numbers) for name, numbers in answer["partitions"].items()})
        return bool(held) and all(count == self.settings.partitions for count in held.values())

    def _readiness(self, slot: int) -> dict[str, Any] | None:
        """What /readyz says, also when it says no; None while nobody answers."""
        connection = HTTPConnection(_LOOPBACK, self._ports[slot], timeout=2)
        try:
            connection.request("GET", "/readyz")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        except (OSError, ValueError):
            return None
        finally:
            connection.close()

    def _environment(self) -> dict[str, str]:
        own = {
            "WARDSTOCK_BOOTSTRAP_SERVERS": self.settings.bootstrap(),
            "WARDSTOCK_REGISTRY_URL": self.settings.registry(),
            "WARDSTOCK_STATE_DIR": str(self.settings.state_dir),
            "WARDSTOCK_LOG_FORMAT": "json",
            "WARDSTOCK_HTTP_HOST": _LOOPBACK,
        }
        return {**os.environ, **own}

    def kill(self, slot: int) -> None:
        """SIGKILL: no chance to finish anything."""
        self._end(slot, signal.SIGKILL)
        self.kills += 1

    def check(self) -> None:
        """Raises ``Fault`` where a worker has ended by itself."""
        for slot, (process, log) in self._running.items():
            if process.poll() is not None:
                raise Fault(f"worker {slot} ended with exit code {process.returncode}", f"its log: {log.name}")

    def stop(self) -> None:
        for slot in list(self._running):
            self._end(slot, signal.SIGTERM)

    def _end(self, slot: int, how: signal.Signals) -> None:
        process, log = self._running.pop(slot)
        process.send_signal(how)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


class Demo:
    """One run. ``say`` is told each step; ``progress`` opens a bar of so many events."""

    def __init__(self, settings: Settings, directory: Path, events: int, seed: int, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._events = events
        self._seed = seed
        self._say = say
        self._crew = Crew(settings, directory)

    def run(self, progress: Callable[[int], None]) -> Outcome:
        """Blocks until the books are checked. Raises ``Fault`` where a part fails or does not come to rest."""
        from app.kafka_admin import Cluster
        from app.main import PIPELINES

        began = time.monotonic()
        cluster = Cluster(self._settings)
        self._prepare(cluster)
        try:
            summary = self._publish(progress)
            drained = time.monotonic()
            self._say("draining: until no pipeline has lag")
            self._drain(cluster, list(PIPELINES))
            drain_s = time.monotonic() - drained
        finally:
            self._say("stopping the workers")
            self._crew.stop()
        report = self._reconcile()
        return Outcome(self._seed, summary, report, self._crew.kills, drain_s, time.monotonic() - began)

    def _prepare(self, cluster: Cluster) -> None:
        from agents import topics
        from app.cli.declared import declared
        from app.contracts.evolution import register_all
        from app.main import registry_of

        self._say("topics and schemas")
        cluster.create(declared(self._settings))
        with registry_of(self._settings) as registry:
            register_all(registry, topics.ALL)

    def _publish(self, progress: Callable[[int], None]) -> SimulationSummary:
        """Master data, then workers, then events; half-way one worker is killed and started again."""
        from app.cli.simulate import connected
        from app.simulate.plan import Plan, span_ms

        now = int(time.time() * 1000)
        plan = Plan(
            seed=self._seed, events=self._events, start=now - span_ms(self._events), end=now,
            rate=EVENTS_PER_S, patience_s=ERP_PATIENCE_S,
        )  # fmt: skip
        with connected(self._settings, plan) as simulation:
            self._say(f"master data: {simulation.publish_master():,} records")
            for slot in range(WORKERS):
                self._crew.start(slot)
            self._crew.await_work()
            self._say(f"{WORKERS} workers; {self._events:,} events, one worker is killed half-way")
            with self._killing(half_way := threading.Event()):
                return simulation.run(lambda published: self._progressed(published, progress, half_way))

    def _progressed(self, published: int, progress: Callable[[int], None], half_way: threading.Event) -> None:
        progress(published)
        if published >= self._events // 2:
            half_way.set()

    @contextmanager
    def _killing(self, half_way: threading.Event) -> Iterator[None]:
        """Kills the last worker as soon as ``half_way`` is set, and starts it again."""

        def kill() -> None:
            half_way.wait()
            self._crew.kill(WORKERS - 1)
            self._crew.start(WORKERS - 1)

        killer = threading.Thread(target=kill, name="killer", daemon=True)
        killer.start()
        try:
            yield
        finally:
            half_way.set()
            killer.join()

    def _drain(self, cluster: Cluster, pipelines: list[str]) -> None:
        deadline, still = time.monotonic() + _DRAIN_S, 0
        while still < _STILL_LOOKS:
            self._crew.check()
            lags = lags_of(cluster, self._settings, pipelines)
            left = sum(lag.records for lag in lags)
            still = still + 1 if not left and any(lag.committed for lag in lags) else 0
            if time.monotonic() > deadline:
                raise Fault(f"not drained after {_DRAIN_S:.0f} s: {left} records are left")
            time.sleep(_LOOK_EVERY_S)

    def _reconcile(self) -> Report:
        from app.reconcile import reconcile

        self._say("reconciling: inputs, ledgers, tables and outputs, by code that shares nothing with the engine")
        return reconcile(self._settings.client_config(), self._settings.registry())
