"""One scenario: its own topics, worker processes, input, and random numbers whose seed is told when it fails."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from app.runtime.failpoints import Failpoint, no_failpoint
from app.runtime.log import Log
from tests.engine.rigs import KafkaRig, sizes, until
from tests.engine.tally import Deposit, JsonCodec, Tally, tally
from tests.engine.topics import Broker, Place
from tests.engine.worker_process import PARTITIONS, Options
from tests.faults.oracle import Run, findings

ROOT = Path(__file__).parents[2]
WITHIN_S = 90.0  # a dead member's session under the new protocol takes 45 s
ACCOUNTS = 25
_KINDS = {"plain": 84, "repeat": 5, "stray": 4, "wait": 2, "provides": 3, "raise": 1, "broken": 1}  # in percent


@dataclass(frozen=True, slots=True)
class Took:
    """How long a takeover took, for the summary at the end of the session."""

    what: str
    seconds: float


class WorkerProcess:
    """A worker that was started; its output is in ``log``."""

    def __init__(self, options: Options, log: Path) -> None:
        self.options = options
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.worker_process", json.dumps(asdict(options))],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def says(self, words: str) -> bool:
        return words.encode() in self.log.read_bytes()

    def says_times(self, words: str) -> int:
        return self.log.read_bytes().count(words.encode())

    def is_stopped(self) -> bool:
        """Stopped by SIGSTOP, that is: not ended."""
        return bool(psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends_with(self, code: int, within_s: float = WITHIN_S) -> None:
        """Waits for the end; fails where it ends otherwise."""
        ended = self.process.wait(within_s)
        assert ended == code, f"slot {self.options.slot}: exit code {ended}, expected {code}; log: {self.log}"

    def terminate(self, within_s: float = 15.0) -> None:
        """SIGTERM, and a graceful end."""
        self.send(signal.SIGTERM)
        self.ends_with(0, within_s)


class Stage:
    """Starts workers, publishes deposits, waits until all is worked, judges. ``close`` leaves nothing behind."""

    def __init__(self, broker: Broker, directory: Path, prefix: str, seed: int, took: list[Took]) -> None:
        self.broker = broker
        self.directory = directory
        self.prefix = prefix
        self.random = random.Random(seed)
        self.tally: Tally = tally(prefix)
        self.processes: list[WorkerProcess] = []
        self._rigs: list[KafkaRig] = []
        self._took = took
        self._published = 0
        self._waiting: list[tuple[str, str]] = []  # what parked deposits wait for, and their account
        self._sizes = sizes(self.tally, PARTITIONS)
        broker.create(self._sizes)

    def close(self) -> None:
        for worker in self.processes:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        for rig in self._rigs:
            rig.stop()
        self.broker.delete(self._sizes)

    # --- workers ---

    def state_dir(self, slot: int) -> Path:
        return self.directory / f"state-{slot}"

    def start(self, slot: int, **options: Any) -> WorkerProcess:
        bootstrap = self.broker.client["bootstrap.servers"]
        made = Options(self.prefix, bootstrap, slot, str(self.state_dir(slot)), **{"batch_max_events": 50, **options})
        worker = WorkerProcess(made, self.directory / f"worker-{len(self.processes)}-slot-{slot}.log")
        self.processes.append(worker)
        return worker

    def rig(
        self,
        slot: int,
        *,
        failpoint: Failpoint = no_failpoint,
        wrap: Callable[[Log], Log] = lambda log: log,
        kafka: dict[str, Any] | None = None,
        timer_every_s: float | None = None,
        **settings: int,
    ) -> KafkaRig:
        """A worker that is stepped by hand, on this thread."""
        rig = KafkaRig(
            self.broker, tally(self.prefix, timer_every_s), JsonCodec(), self.state_dir(slot), failpoint=failpoint,
            wrap=wrap, kafka={"transactional_id": f"{self.prefix}-{slot}", **(kafka or {})}, partitions=PARTITIONS,
            **settings,
        )  # fmt: skip
        self._rigs.append(rig)
        return rig

    # --- input ---

    def feed(self, deposits: int) -> None:
        """Publish about that many distinct deposits, of each kind at least one: repeated, bad, parked, gone astray.

        Whatever waits for a deposit is given it before this returns.
        """
        kinds = self.random.choices(list(_KINDS), list(_KINDS.values()), k=deposits)
        for kind in [*_KINDS, *kinds]:
            if kind == "broken":
                self.broker.producer.produce(self._any_topic(), b"\xff broken", b"\xfe")
            elif kind == "provides":
                self._provide()
            else:
                self._publish(kind)
        while self._waiting:
            self._provide()
        assert self.broker.producer.flush(WITHIN_S) == 0

    def _any_topic(self) -> str:
        return self.random.choices([self.tally.deposits.name, self.tally.transfers.name], [4, 1])[0]

    def _provide(self) -> None:
        if self._waiting:
            name, account = self._waiting.pop(self.random.randrange(len(self._waiting)))
            self._produce(f"provides event:{name}", account)

    def _publish(self, kind: str) -> None:
        account = f"a{self.random.randrange(ACCOUNTS)}"
        if kind == "wait":
            self._waiting.append((f"n{self._published}", account))
            self._produce(f"wait event:n{self._published}", account)
        else:
            note = "raise" if kind == "raise" else ""
            partition = self.random.randrange(PARTITIONS) if kind == "stray" else -1
            self._produce(note, account, partition, times=2 if kind == "repeat" else 1)

    def _produce(self, note: str, account: str, partition: int = -1, times: int = 1) -> None:
        deposit = Deposit(f"e{self._published}", account, self.random.randrange(1, 100), note=note)
        self._published += 1
        topic = self._any_topic()
        for _ in range(times):
            self.broker.producer.produce(topic, orjson.dumps(deposit), account.encode(), partition)

    # --- waiting ---

    def places(self) -> list[Place]:
        return [(topic, number) for topic in self.tally.pipeline.inputs for number in range(PARTITIONS)]

    def committed(self) -> int:
        """The sum of the group's committed offsets: it grows with each transaction."""
        return sum(max(0, offset) for offset in self.broker.committed(self.prefix, self.places()).values())

    def is_drained(self) -> bool:
        """Offsets first: what a transaction sends on is in the log when its offsets are committed."""
        committed = self.broker.committed(self.prefix, self.places())
        ends = self.broker.ends(self.places())
        return all(committed[place] == end for place, end in ends.items() if end)

    def drain(self) -> None:
        until(self.is_drained, f"all worked (logs in {self.directory})", WITHIN_S)

    def moves_on(self, what: str) -> None:
        """Waits until the group commits again, and notes how long that took."""
        before, started = self.committed(), time.monotonic()
        until(lambda: self.committed() > before, f"progress (logs in {self.directory})", WITHIN_S)
        self.took(what, time.monotonic() - started)

    def took(self, what: str, seconds: float) -> None:
        """To be told at the end of the session."""
        self._took.append(Took(what, seconds))

    # --- judging ---

    def stop(self) -> None:
        """End all workers that run, in order."""
        for worker in self.processes:
            if worker.process.poll() is None:
                worker.terminate()

    def findings(self) -> list[str]:
        """What the oracle says; no worker may run any more."""
        stores = sorted(self.directory.glob("state-*"))
        return findings(Run(self.broker, self.tally, PARTITIONS, stores))

    def must_be_right(self) -> None:
        """Fails with what the oracle finds."""
        wrong = self.findings()
        assert not wrong, "\n".join(wrong[:50])

    def judge(self) -> None:
        """Drain, end all workers in order, and find nothing wrong."""
        self.drain()
        self.stop()
        self.must_be_right()
