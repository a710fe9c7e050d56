"""Workers that were thought dead: whatever they still try is refused, and they come back as if new."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from app.runtime.failpoints import Failpoint, Point
from app.runtime.log import Log
from tests.engine.rigs import KafkaRig, publish, until
from tests.engine.tally import Account, Deposit
from tests.faults.stage import WITHIN_S, Stage

protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])

# A worker that is stepped by hand heartbeats on, so this is what makes the group give it up.
POLL_AT_LEAST_EVERY_MS = 6_000


@protocols
@pytest.mark.parametrize(
    "point", [Point.BEFORE_PRODUCE, Point.AFTER_PRODUCE, Point.AFTER_SEND_OFFSETS, Point.AFTER_COMMIT]
)
def test_a_stopped_worker_that_wakes_after_another_took_over_commits_nothing(
    stage: Stage, protocol: str, point: Point
) -> None:
    stage.feed(300)
    zombie = stage.start(0, group_protocol=protocol, stop_at=point, stop_after=3, linger_s=1.5)
    until(zombie.is_stopped, "it stopped itself")
    stage.start(1, group_protocol=protocol)
    stage.moves_on(f"{protocol}, another slot, stopped {point}")
    stage.drain()
    zombie.send(signal.SIGCONT)
    until(lambda: zombie.says_times("partitions.assigned") > 1, "the zombie is back", WITHIN_S)
    stage.feed(200)
    stage.judge()


@pytest.mark.parametrize("linger_s", [0.0, 1.5])
def test_a_stopped_worker_that_wakes_while_another_restores_commits_nothing(stage: Stage, linger_s: float) -> None:
    """Its open transaction holds the other's restore up, and it has the longer transaction timeout to wake within."""
    stage.feed(300)
    zombie = stage.start(0, stop_at=Point.AFTER_PRODUCE, stop_after=3, linger_s=linger_s, transaction_timeout_ms=60_000)
    until(zombie.is_stopped, "it stopped itself")
    other = stage.start(1)
    until(lambda: other.says("partitions.assigned"), "the other took over")
    zombie.send(signal.SIGCONT)
    until(lambda: zombie.says_times("partitions.assigned") > 1, "the zombie is back", WITHIN_S)
    stage.feed(200)
    stage.judge()


class Interruption:
    """A failpoint at which, once ``armed``, something else happens first."""

    def __init__(self, point: Point, meanwhile: Callable[[], None]) -> None:
        self.armed = False
        self._point = point
        self._meanwhile = meanwhile

    def __call__(self, reached: Point) -> None:
        if self.armed and reached is self._point:
            self.armed = False
            self._meanwhile()


def pausing(
    stage: Stage, protocol: str, failpoint: Failpoint, wrap: Callable[[Log], Log] = lambda log: log
) -> KafkaRig:
    """A worker that the group gives up when it does not poll for a while."""
    kafka = {"group_protocol": protocol, "extra": {"max.poll.interval.ms": POLL_AT_LEAST_EVERY_MS}}
    return stage.rig(0, failpoint=failpoint, wrap=wrap, kafka=kafka, batch_max_events=50)


def work_off(stage: Stage, *rigs: KafkaRig) -> None:
    """Step the workers in turn until all is worked."""

    def nothing_left() -> bool:
        worked = [rig.step() for rig in rigs]
        return not any(worked) and stage.is_drained()

    until(nothing_left, "all worked", WITHIN_S)


@protocols
@pytest.mark.parametrize("point", [Point.BEFORE_PRODUCE, Point.AFTER_PRODUCE])
def test_a_worker_that_paused_too_long_in_its_transaction_is_refused(stage: Stage, protocol: str, point: Point) -> None:
    successors: list[KafkaRig] = []

    def another_works_it_off() -> None:
        successors.append(stage.rig(1, kafka={"group_protocol": protocol}))
        if point is Point.BEFORE_PRODUCE:
            work_off(stage, *successors)
        else:
            until(lambda: successors[0].step() or bool(successors[0].engine.homes), "the other took over", WITHIN_S)

    pause = Interruption(point, another_works_it_off)
    worker = pausing(stage, protocol, pause)
    stage.feed(100)
    work_off(stage, worker)
    stage.feed(100)
    pause.armed = True
    until(lambda: worker.step() or not pause.armed, "the paused transaction")
    assert not worker.engine.step(), "it was to be refused"
    stage.feed(100)
    work_off(stage, worker, *successors)
    for rig in (worker, *successors):
        rig.stop()
    stage.must_be_right()


@protocols
def test_a_release_without_any_input_is_refused_to_a_worker_that_paused_too_long(stage: Stage, protocol: str) -> None:
    """The only thing that its transaction does is to take up a parked event, because master data came."""
    successors: list[KafkaRig] = []

    def another_works_it_off() -> None:
        successors.append(stage.rig(1, kafka={"group_protocol": protocol}))
        until(lambda: bool(successors[0].step()), "the other took the event up", WITHIN_S)

    pause = Interruption(Point.BEFORE_PRODUCE, another_works_it_off)
    worker = pausing(stage, protocol, pause)
    publish(worker, stage.tally.deposits, Deposit("parked", "A", 5, note="wait account:A"))
    work_off(stage, worker)
    pause.armed = True
    publish(worker, stage.tally.accounts.topic, Account("A", True))
    until(lambda: worker.step() or not pause.armed, "the paused transaction")
    work_off(stage, worker, *successors)
    for rig in (worker, *successors):
        rig.stop()
    stage.must_be_right()


def test_a_timers_work_is_refused_to_a_worker_that_paused_too_long(stage: Stage) -> None:
    """What it would have told was true when it paused, and is not any more."""
    successors: list[KafkaRig] = []

    def another_changes_the_balance() -> None:
        successors.append(stage.rig(1))
        publish(worker, stage.tally.deposits, Deposit("2", "A", 7))
        work_off(stage, *successors)

    pause = Interruption(Point.BEFORE_PRODUCE, another_changes_the_balance)
    extra = {"max.poll.interval.ms": POLL_AT_LEAST_EVERY_MS}
    worker = stage.rig(0, failpoint=pause, kafka={"extra": extra}, timer_every_s=1_000.0)
    publish(worker, stage.tally.deposits, Deposit("1", "A", 5))
    work_off(stage, worker)
    pause.armed = True
    worker.advance(1_000_000)
    until(lambda: worker.step() or not pause.armed, "the paused transaction")
    worker.stop()  # or its timer, still due, would run where it comes back
    work_off(stage, *successors)
    successors[0].stop()
    stage.must_be_right()
