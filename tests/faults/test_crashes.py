"""Workers that die: nothing is lost, doubled or wrong, wherever it hits them and whoever takes over."""

from __future__ import annotations

import shutil
import signal

import pytest

from app.runtime.failpoints import Point
from tests.engine.rigs import until
from tests.faults.stage import Stage

KILLED = -signal.SIGKILL

protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])

# Under the new protocol each takes 45 s, the broker's session timeout, whoever the successor is.
CASES = [
    *(("classic", who) for who in ("the same slot", "another slot", "the same slot with an empty disk")),
    ("consumer", "another slot"),
]


@pytest.mark.parametrize(("protocol", "successor"), CASES)
@pytest.mark.parametrize("point", list(Point))
def test_a_worker_that_dies_at_a_point_loses_and_doubles_nothing(
    stage: Stage, protocol: str, successor: str, point: Point
) -> None:
    stage.feed(300)
    if point is Point.IN_RESTORE:
        before = stage.start(0, group_protocol=protocol)
        stage.drain()
        before.terminate()
        shutil.rmtree(stage.state_dir(0))
        stage.feed(100)
    stage.start(0, group_protocol=protocol, die_at=point, die_after=3).ends_with(KILLED)
    if successor == "the same slot with an empty disk":
        shutil.rmtree(stage.state_dir(0))
    stage.start(1 if successor == "another slot" else 0, group_protocol=protocol)
    stage.moves_on(f"{protocol}, {successor}, killed {point}")
    stage.feed(100)
    stage.judge()


@protocols
def test_one_of_two_workers_is_killed_mid_stream(stage: Stage, protocol: str) -> None:
    stage.start(0, group_protocol=protocol)
    doomed = stage.start(1, group_protocol=protocol)
    until(lambda: doomed.says("partition.restored"), "both have partitions")
    stage.feed(300)
    before = stage.committed()
    until(lambda: stage.committed() > before + stage.random.randrange(200), "some of it worked")
    doomed.send(signal.SIGKILL)
    doomed.ends_with(KILLED)
    stage.feed(300)
    stage.start(1, group_protocol=protocol)
    stage.judge()
