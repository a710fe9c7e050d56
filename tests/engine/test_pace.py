"""Batches are full under backlog and small when idle, and never longer than a transaction may take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.pace import Pace

MAX_EVENTS, MAX_WAIT_S = 10_000, 0.05


def test_under_backlog_batches_grow_to_the_most_allowed() -> None:
    pace = Pace(MAX_EVENTS, MAX_WAIT_S)
    first = pace.limit
    for _ in range(20):
        pace.worked(pace.limit, pace.limit * 20e-6)
    assert first < pace.limit == MAX_EVENTS


def test_slow_agents_get_batches_that_take_about_a_second() -> None:
    pace = Pace(MAX_EVENTS, MAX_WAIT_S)
    for _ in range(20):
        pace.worked(pace.limit, pace.limit * 0.005)
    assert 0.5 <= pace.limit * 0.005 <= 2


def test_an_agent_that_becomes_slow_gets_smaller_batches_at_once() -> None:
    pace = Pace(MAX_EVENTS, MAX_WAIT_S)
    for _ in range(20):
        pace.worked(pace.limit, 0.01)
    pace.worked(MAX_EVENTS, 10.0)
    assert pace.limit <= 1_000


def test_a_trickle_is_waited_for_less_and_idleness_as_long_as_allowed() -> None:
    pace = Pace(MAX_EVENTS, MAX_WAIT_S)
    for _ in range(10):
        pace.worked(1, 0.001)
    assert pace.wait_s < MAX_WAIT_S
    pace.idle()
    assert pace.wait_s == MAX_WAIT_S


def test_after_a_failure_the_next_batch_is_half_as_large() -> None:
    pace = Pace(MAX_EVENTS, MAX_WAIT_S)
    before = pace.limit
    pace.rest(0)
    assert pace.limit == before // 2


@given(
    st.integers(1, MAX_EVENTS),
    st.lists(st.tuples(st.integers(0, 2 * MAX_EVENTS), st.just(0.0) | st.floats(1e-6, 100))),
)
def test_the_limit_stays_between_one_and_the_most_allowed(most: int, batches: list[tuple[int, float]]) -> None:
    pace = Pace(most, MAX_WAIT_S)
    for events, seconds in batches:
        pace.worked(events, seconds)
        assert 1 <= pace.limit <= most
        assert 0 < pace.wait_s <= MAX_WAIT_S
