"""Messages of several topics are put into the order in which they were lived, whatever pieces they come in."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.clock import ManualClock
from app.runtime.intake import IDLE_WAIT_S, Intake
from app.runtime.log import Message, Polled, Recorded, TopicPartition

TOPICS = [TopicPartition("a", 0), TopicPartition("b", 0), TopicPartition("c", 0)]
EVERYTHING = 1_000_000

stamps = st.lists(st.integers(0, 30), max_size=12)
logs = st.fixed_dictionaries(dict.fromkeys(TOPICS, stamps))


def message(tp: TopicPartition, offset: int, timestamp: int) -> Message:
    return Recorded(tp.topic, tp.partition, offset, timestamp, None, None, None)


def messages(log: dict[TopicPartition, list[int]]) -> dict[TopicPartition, list[Message]]:
    return {tp: [message(tp, offset, stamp) for offset, stamp in enumerate(log[tp])] for tp in log}


def opened(*partitions: TopicPartition, capacity: int = EVERYTHING) -> tuple[Intake, ManualClock]:
    clock = ManualClock()
    intake = Intake(clock, capacity)
    intake.open(partitions)
    return intake, clock


def take(intake: Intake, limit: int = EVERYTHING) -> list[tuple[TopicPartition, int]]:
    """(where from, offset) of the rows taken from partition 0."""
    return [(tp, row.offset() or 0) for _, row, tp in intake.take(limit).get(0, [])]


def lived(log: dict[TopicPartition, list[int]]) -> list[int]:
    """The order of effective times: within a topic, time never goes back."""
    return sorted(stamp for tp in log for stamp in accumulate(log[tp], max))


def effective(log: dict[TopicPartition, list[int]], taken: list[tuple[TopicPartition, int]]) -> list[int]:
    times = {tp: list(accumulate(log[tp], max)) for tp in log}
    return [times[tp][offset] for tp, offset in taken]


@given(logs, st.data())
def test_in_whatever_pieces_a_backlog_comes_it_is_taken_in_the_order_lived(
    log: dict[TopicPartition, list[int]], data: st.DataObject
) -> None:
    intake, _ = opened(*TOPICS)
    rest, taken = messages(log), []
    while any(rest.values()):
        tp = data.draw(st.sampled_from([tp for tp in TOPICS if rest[tp]]))
        count = data.draw(st.integers(1, len(rest[tp])))
        piece, rest[tp] = rest[tp][:count], rest[tp][count:]
        intake.add(Polled(piece, {}))
        taken += take(intake, data.draw(st.sampled_from([1, 3, EVERYTHING])))
    intake.add(Polled([], {tp: len(log[tp]) for tp in TOPICS}))
    while more := take(intake, 5):
        taken += more
    assert effective(log, taken) == lived(log)
    assert intake.ends() == {tp: len(log[tp]) for tp in TOPICS}


@given(logs, st.data())
def test_each_message_is_taken_once_and_its_topics_order_is_kept_even_when_waiting_took_too_long(
    log: dict[TopicPartition, list[int]], data: st.DataObject
) -> None:
    intake, clock = opened(*TOPICS)
    rest, taken = messages(log), []
    for _ in range(40):
        tp = data.draw(st.sampled_from(TOPICS))
        piece, rest[tp] = rest[tp][:3], rest[tp][3:]
        told = {tp: len(log[tp])} if not rest[tp] and data.draw(st.booleans()) else {}
        intake.add(Polled(piece, told))
        clock.advance(data.draw(st.sampled_from([0, 100, 600])))
        taken += take(intake, 4)
    for tp in TOPICS:
        intake.add(Polled(rest[tp], {tp: len(log[tp])}))
    while more := take(intake):
        taken += more
    for tp in TOPICS:
        assert [offset for where, offset in taken if where == tp] == list(range(len(log[tp])))


@given(logs)
def test_an_end_is_told_only_when_all_before_it_was_taken(log: dict[TopicPartition, list[int]]) -> None:
    intake, _ = opened(*TOPICS)
    every = messages(log)
    ends = {tp: len(log[tp]) + 7 for tp in TOPICS}  # markers lie behind the messages
    intake.add(Polled([m for tp in TOPICS for m in every[tp]], ends))
    taken: list[tuple[TopicPartition, int]] = []
    while more := take(intake, 2):
        taken += more
        for tp in intake.ends():
            assert sum(1 for where, _ in taken if where == tp) == len(log[tp])
    assert intake.ends() == ends


def test_one_topic_waits_for_another_that_may_still_bring_something_older() -> None:
    a, b, _ = TOPICS
    intake, _ = opened(a, b)
    intake.add(Polled([message(a, 0, 20)], {}))
    assert take(intake) == []
    intake.add(Polled([message(b, 0, 10)], {}))
    assert take(intake) == [(b, 0)]
    intake.add(Polled([message(b, 1, 30)], {}))
    assert take(intake) == [(a, 0)]
    intake.add(Polled([], {a: 1}))
    assert take(intake) == [(b, 1)]


def test_the_wait_for_a_topic_that_brings_nothing_is_bounded() -> None:
    a, b, _ = TOPICS
    intake, clock = opened(a, b)
    intake.add(Polled([message(a, 0, 20)], {}))
    assert take(intake) == []
    clock.advance(int(IDLE_WAIT_S * 1000))
    assert take(intake) == [(a, 0)]


def test_a_message_after_the_end_makes_the_end_void() -> None:
    a = TOPICS[0]
    intake, _ = opened(a)
    intake.add(Polled([message(a, 0, 1)], {a: 1}))
    take(intake)
    assert intake.ends() == {a: 1}
    intake.add(Polled([message(a, 1, 1)], {}))
    assert intake.ends() == {}


def test_what_was_given_up_is_forgotten_and_what_comes_late_for_it_dropped() -> None:
    a, b, _ = TOPICS
    intake, _ = opened(a, b)
    intake.add(Polled([message(a, 0, 1), message(b, 0, 1)], {a: 1, b: 1}))
    intake.close([a])
    intake.add(Polled([message(a, 1, 1)], {a: 2}))
    assert take(intake) == [(b, 0)]
    assert intake.ends() == {b: 1}


def test_after_a_rollback_everything_is_read_again() -> None:
    a, b, _ = TOPICS
    intake, _ = opened(a, b)
    intake.add(Polled([message(a, 0, 9), message(b, 0, 3)], {a: 1, b: 1}))
    take(intake, 1)
    intake.clear()
    assert take(intake) == []
    assert intake.ends() == {}
    intake.add(Polled([message(a, 0, 9), message(b, 0, 3)], {a: 1, b: 1}))
    assert take(intake) == [(b, 0), (a, 0)]


def test_a_topic_that_runs_ahead_is_named_until_it_is_worked_off() -> None:
    a, b, _ = TOPICS
    intake, _ = opened(a, b, capacity=3)
    intake.add(Polled([message(a, offset, 50) for offset in range(5)], {}))
    assert intake.overfull() == {a}
    intake.add(Polled([], {a: 5, b: 0}))
    take(intake)
    assert intake.overfull() == set()
