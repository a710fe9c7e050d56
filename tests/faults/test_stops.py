"""Workers that stop on purpose, hang, or come and go: bounded, loud where it matters, nothing lost or doubled."""

from __future__ import annotations

import shutil
import signal
import time
from functools import partial

import orjson
import pytest

from tests.engine.rigs import until
from tests.engine.tally import Deposit
from tests.faults.stage import WITHIN_S, Stage, WorkerProcess

protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])

STOPS_WITHIN_S = 10.0


def publish_one(stage: Stage, deposit: Deposit) -> None:
    stage.broker.producer.produce(stage.tally.deposits.name, orjson.dumps(deposit), deposit.account.encode())
    assert stage.broker.producer.flush(10) == 0


@protocols
def test_sigterm_ends_a_worker_in_bounded_time_and_the_other_goes_on_at_once(stage: Stage, protocol: str) -> None:
    leaving = stage.start(0, group_protocol=protocol)
    staying = stage.start(1, group_protocol=protocol)
    until(lambda: leaving.says("partition.restored") and staying.says("partition.restored"), "both have partitions")
    stage.feed(300)
    leaving.terminate(STOPS_WITHIN_S)
    assert stage.broker.members(stage.prefix) == 1
    before = staying.says_times("partition.restored")
    left_at = time.monotonic()
    until(lambda: staying.says_times("partition.restored") > before, "the other has the partitions", WITHIN_S)
    stage.took(f"{protocol}, the other worker, SIGTERM", time.monotonic() - left_at)
    stage.feed(100)
    stage.judge()


def test_sigterm_while_a_restore_runs_ends_a_worker_in_bounded_time(stage: Stage) -> None:
    stage.feed(300)
    stage.start(0)
    stage.drain()
    stage.stop()
    shutil.rmtree(stage.state_dir(0))
    worker = stage.start(0, slow_restore_s=2.0)
    until(lambda: worker.says("partitions.assigned"), "the restore has begun")
    worker.terminate(STOPS_WITHIN_S)
    stage.start(0)
    stage.feed(100)
    stage.judge()


def test_an_agent_that_hangs_stops_the_worker_loudly_and_nothing_of_it_is_committed(stage: Stage) -> None:
    worker = stage.start(0, agent_deadline_s=1.0, stop_timeout_s=2.0)
    publish_one(stage, Deposit("1", "A", 5))
    stage.drain()
    before = stage.committed()
    publish_one(stage, Deposit("2", "A", 7, note="hang 100000"))
    worker.ends_with(1)
    assert worker.says("AgentHangs")
    assert worker.says("worked longer than 1 s")
    assert stage.committed() == before


def test_a_worker_that_fails_leaves_its_group_at_once(stage: Stage) -> None:
    """Nobody waits for a session timeout because a worker stopped loudly."""
    worker = stage.start(0, max_failures=3)
    publish_one(stage, Deposit("1", "A", 5))
    stage.drain()
    for number in range(3):
        publish_one(stage, Deposit(f"bad{number}", "A", 5, note="raise"))
    worker.ends_with(1)
    assert worker.says("3 events in a row")
    assert stage.broker.members(stage.prefix) == 0
    stage.start(1)
    stage.moves_on("classic, another slot, ended by AgentsKeepFailing")
    stage.judge()


@protocols
def test_workers_that_come_and_go_while_others_restore_converge(stage: Stage, protocol: str) -> None:
    stage.feed(400)
    stage.start(0, group_protocol=protocol)
    stage.drain()
    stage.stop()
    shutil.rmtree(stage.state_dir(0))
    steady = stage.start(0, group_protocol=protocol, slow_restore_s=0.3)
    for slot in (1, 2, 1, 3, 2):
        guest = stage.start(slot, group_protocol=protocol, slow_restore_s=0.3)
        until(partial(guest.says, "partitions.assigned"), "the guest has partitions", WITHIN_S)
        stage.feed(40)
        guest.terminate(STOPS_WITHIN_S)
    assert steady.process.poll() is None
    stage.judge()


def test_two_workers_share_the_work_and_a_third_takes_its_part(stage: Stage) -> None:
    workers: list[WorkerProcess] = []
    for slot in range(3):
        workers.append(stage.start(slot))
        until(lambda: workers[-1].says("partition.restored"), "it has partitions", WITHIN_S)
        stage.feed(100)
        stage.drain()
    stage.judge()


def test_a_parked_event_is_taken_up_by_whoever_has_its_partition_then(stage: Stage) -> None:
    stage.start(0)
    publish_one(stage, Deposit("1", "A", 5, note="wait event:x"))
    stage.drain()
    stage.processes[0].send(signal.SIGKILL)
    stage.processes[0].ends_with(-signal.SIGKILL)
    stage.start(1)
    publish_one(stage, Deposit("2", "A", 7, note="provides event:x"))
    stage.judge()
