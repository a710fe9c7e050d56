"""The engine of one pipeline: one micro-batch is one transaction.

``step`` is the whole loop body and may be called by hand: poll, merge, decode, drop repeats, run the agents, commit,
and only then write RocksDB. One thread calls it; it blocks for Kafka, the disk and the agents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog
from prometheus_client import Gauge

from app.metrics import Metrics
from app.runtime.agents import Agent, Timer
from app.runtime.batch import TRACE_HEADERS, Batch, Event, Work, trace_headers
from app.runtime.clock import Clock
from app.runtime.codec import Codec
from app.runtime.dead_letters import DeadLetter
from app.runtime.decoding import Decoding, Returned, passed
from app.runtime.dispatch import Dispatcher
from app.runtime.errors import (
    Aborted,
    AgentsKeepFailing,
    OutcomeUnknown,
    RegistryUnavailable,
)
from app.runtime.failpoints import Failpoint, Point
from app.runtime.home import Changes, Home
from app.runtime.intake import Intake, Row, row_source
from app.runtime.log import Log, Outgoing, TopicPartition
from app.runtime.pace import Pace
from app.runtime.pipeline import Pipeline
from app.runtime.state.restore import Restorer
from app.runtime.state.store import StoreResources
from app.runtime.state.table import Undo
from app.runtime.topics import Topic

log = structlog.get_logger(__name__)

_LATENCY_SAMPLE = 64
_LOGGED_LETTERS = 10  # of one transaction; all of them are in the dead letters


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``partitions``: of every input of the pipeline. Times in the unit that their name says."""

    partitions: int
    state_dir: Path
    batch_max_events: int = 10_000
    batch_wait_ms: int = 50
    dedup_horizon_ms: int = 14 * 86_400_000
    park_max_age_ms: int = 900_000
    max_failures: int = 100  # agent errors in a row before the worker stops
    max_aborts: int = 20  # transactions rolled back in a row before the worker stops


class Engine:
    """Joins the group on ``start``; then ``step`` works until ``close``.

    ``dispatcher`` runs agents. ``failpoint`` is called at the points where a crash must do no harm.
    Raises ``AgentsKeepFailing``, ``AgentHangs`` and bugs; everything else is handled inside.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        log_: Log,
        codec: Codec,
        dispatcher: Dispatcher,
        restorer: Restorer,
        resources: StoreResources,
        clock: Clock,
        metrics: Metrics,
        settings: EngineSettings,
        failpoint: Failpoint,
    ) -> None:
        self.pipeline = pipeline
        self.homes: dict[int, Home] = {}
        self.settings = settings
        self.last_step = clock.monotonic()
        self._log = log_
        self._dispatcher = dispatcher
        self._restorer = restorer
        self._resources = resources
        self._clock = clock
        self._metrics = metrics
        self._failpoint = failpoint
        self._decoding = Decoding(pipeline, codec, metrics, settings.partitions)
        self._encoders: dict[str, Callable[[Any], bytes]] = {}
        self._codec = codec
        self._intake = Intake(clock, capacity=2 * settings.batch_max_events)
        self._pace = Pace(settings.batch_max_events, settings.batch_wait_ms / 1000)
        self._journal: list[Undo] = []
        self._committed: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._arrived: SimpleQueue[str] = SimpleQueue()
        self._fresh_homes: list[Home] = []
        self._next_overdue_check = 0.0
        self._timers = [(agent, timer) for agent in pipeline.agents for timer in agent.timers]
        self._due_at = {timer.name: clock.monotonic() + timer.every_s for _, timer in self._timers}
        self._aborts = 0
        self._failures = 0

    # --- life ---

    def start(self) -> None:
        """Join the group. Partitions come while stepping."""
        self._log.subscribe(self.pipeline.inputs, self)

    def step(self) -> bool:
        """One round; True where it committed something. Blocks for at most the wait, the agents and the commit."""
        self.last_step = self._clock.monotonic()
        self._intake.add(self._log.poll(self._pace.limit, self._pace.wait_s))
        self._open_restored()
        rows = self._intake.take(self._pace.limit)
        self._balance_buffers()
        returned = self._returned()
        offsets = self._catch_up()
        timers = self._due_timers()
        if not rows and not returned and not offsets and not timers:
            self._pace.idle()
            return False
        return self._transact(rows, returned, offsets, timers)

    def close(self) -> None:
        """Leave the group and close all stores. No transaction is open between steps."""
        self._log.close()
        for home in list(self.homes.values()):
            self._close_home(home)
        self.homes.clear()

    def arrived(self, name: str) -> None:
        """Master data came in: events parked under ``name`` are due. May be called on any thread."""
        self._arrived.put(name)

    # --- assignment, told inside poll ---

    def assigned(self, start: Mapping[TopicPartition, int]) -> None:
        self._metrics.rebalances.labels(self.pipeline.name).inc()
        self._committed.update(start)
        self._intake.open(start)
        for number in sorted({tp.partition for tp in start} - self.homes.keys()):
            self._begin_restore(number)
        log.info("partitions.assigned", pipeline=self.pipeline.name, partitions=sorted({tp.partition for tp in start}))

    def _begin_restore(self, number: int) -> None:
        home = Home(
            self.pipeline, number, self.settings.state_dir / str(number), self._resources,
            self.settings.dedup_horizon_ms, self._journal,
        )  # fmt: skip
        self.homes[number] = home
        self._restorer.begin(home, self._log.replay)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        self._give_up(partitions, "partitions.revoked")

    def lost(self, partitions: Iterable[TopicPartition]) -> None:
        self._give_up(partitions, "partitions.lost")

    def _give_up(self, partitions: Iterable[TopicPartition], what: str) -> None:
        gone = list(partitions)
        self._intake.close(gone)
        for tp in gone:
            self._committed.pop(tp, None)
            self._paused.discard(tp)
            self._forget_gauges(tp)
        for number in {tp.partition for tp in gone} - {tp.partition for tp in self._committed}:
            home = self.homes.pop(number, None)
            if home is not None:
                self._close_home(home)
        log.info(what, pipeline=self.pipeline.name, partitions=sorted({tp.partition for tp in gone}))

    def _close_home(self, home: Home) -> None:
        self._restorer.cancel(home)
        if home in self._fresh_homes:
            self._fresh_homes.remove(home)
        home.close()

    def _forget_gauges(self, tp: TopicPartition) -> None:
        name, number = self.pipeline.name, str(tp.partition)
        for gauge in (self._metrics.lag, self._metrics.position):
            _remove(gauge, name, tp.topic, number)
        for gauge in (self._metrics.lag_seconds, self._metrics.parked_events):
            _remove(gauge, name, number)

    def _open_restored(self) -> None:
        for home in self._restorer.finished(self.homes.values()):
            home.open_views(self._clock.now_ms())
            self._fresh_homes.append(home)
            self._log.resume([tp for tp in self._committed if tp.partition == home.partition])

    # --- what is due without input ---

    def _returned(self) -> list[Returned]:
        """Parked rows to be tried again: their reference arrived, their partition did, or they are overdue."""
        returned: list[Returned] = []
        while not self._arrived.empty():
            name = self._arrived.get()
            returned += [(home, row, False) for home in self._ready_homes() for row in home.parking.take(name)]
        while self._fresh_homes:
            home = self._fresh_homes.pop()
            returned += [(home, row, False) for row in home.parking.take_parked_before(self._clock.now_ms() + 1)]
        return returned + self._overdue()

    def _overdue(self) -> list[Returned]:
        if self._clock.monotonic() < self._next_overdue_check:
            return []
        self._next_overdue_check = self._clock.monotonic() + min(1.0, self.settings.park_max_age_ms / 2000)
        before = self._clock.now_ms() - self.settings.park_max_age_ms
        return [(home, row, True) for home in self._ready_homes() for row in home.parking.take_parked_before(before)]

    def _due_timers(self) -> list[tuple[Agent, Timer]]:
        """None while no partition is ready: a timer that runs nowhere has not run."""
        if not self._timers or not self._ready_homes():
            return []
        now = self._clock.monotonic()
        return [(agent, timer) for agent, timer in self._timers if now >= self._due_at[timer.name]]

    def _ready_homes(self) -> list[Home]:
        return [home for home in self.homes.values() if home.ready]

    def _catch_up(self) -> dict[TopicPartition, int]:
        """Ends that lie behind transaction markers: committing them lets lag become 0."""
        return {
            tp: end
            for tp, end in self._intake.ends().items()
            if self._committed.get(tp, end) < end and self.homes[tp.partition].ready
        }

    def _balance_buffers(self) -> None:
        """Pause what runs ahead of the merge, resume what has been worked off."""
        overfull = self._intake.overfull()
        if overfull - self._paused:
            self._log.pause(overfull - self._paused)
        if self._paused - overfull:
            self._log.resume(self._paused - overfull)
        self._paused = overfull

    # --- the transaction ---

    def _transact(
        self,
        rows: Mapping[int, Sequence[Row]],
        returned: list[Returned],
        offsets: dict[TopicPartition, int],
        timers: list[tuple[Agent, Timer]],
    ) -> bool:
        offsets = self._passed(rows, offsets)
        work = Work(
            self.pipeline.name, self._clock.now_ms(), self._encoder, self._journal, failures=self._failures,
            encoders=self._encoders,
        )  # fmt: skip
        started = self._clock.monotonic()
        try:
            events = self._decoding.returned(returned, work) + self._prepare(rows, work)
            self._run_agents(events, work)
            self._run_timers(timers, work, offsets)
            self._bury_dead(work)
            self._commit(work, offsets)
        except Aborted as error:
            return self._rewind(error)
        except RegistryUnavailable as error:
            return self._rewind(error)
        except OutcomeUnknown as error:
            return self._take_over_anew(error)
        self._aborts = 0
        self._failures = work.failures
        for _, timer in timers:
            self._due_at[timer.name] = self._clock.monotonic() + timer.every_s
        self._pace.worked(sum(map(len, rows.values())), self._clock.monotonic() - started)
        self._observe(rows, events)
        return True

    def _passed(self, rows: Mapping[int, Sequence[Row]], ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Where to go on from after these rows: behind the last one, or behind the markers at the end."""
        after = passed(rows)
        return {tp: max(after.get(tp, 0), ends.get(tp, 0)) for tp in after.keys() | ends.keys()}

    def _encoder(self, topic: Topic) -> Callable[[Any], bytes]:
        encoder = self._encoders.get(topic.name)
        if encoder is None:
            encoder = self._encoders[topic.name] = self._codec.encoder(topic)
        return encoder

    def _prepare(self, rows: Mapping[int, Sequence[Row]], work: Work) -> list[Event]:
        decode = self._decoding.events
        return [event for number, part in rows.items() for event in decode(part, self.homes[number], work)]

    def _run_agents(self, events: list[Event], work: Work) -> None:
        """Hand each agent its part, and again what its part released, until nothing more is."""
        while events:
            for agent, part in self._parts(events):
                self._dispatcher.run(agent.name, Batch(agent, part, work))
            if work.longest_failure >= self.settings.max_failures:
                raise AgentsKeepFailing(self._failing(work))
            events = self._decoding.returned(self._released(work), work)

    def _parts(self, events: list[Event]) -> Iterable[tuple[Agent, list[Event]]]:
        if len(self.pipeline.agents) == 1:
            return [(self.pipeline.agents[0], events)]
        parts: dict[str, tuple[Agent, list[Event]]] = {}
        for event in events:
            agent = self._decoding.agent_of(event.topic)
            parts.setdefault(agent.name, (agent, []))[1].append(event)
        return parts.values()

    def _failing(self, work: Work) -> str:
        last = work.dead[-1]
        return (
            f"pipeline {self.pipeline.name}: {work.longest_failure} events in a row ended in AGENT_ERROR, the last at "
            f"{last.topic}/{last.partition}/{last.offset}; stopped before more are lost to the dead letters. Cause:\n"
            f"{last.detail}"
        )

    def _released(self, work: Work) -> list[Returned]:
        releases, work.releases = work.releases, []
        return [(home, row, False) for home, name in releases for row in home.parking.take(name)]

    def _run_timers(self, timers: list[tuple[Agent, Timer]], work: Work, offsets: dict[TopicPartition, int]) -> None:
        """On this thread: the agent is not working, so that its tables are free."""
        for agent, timer in timers:
            for home in self._ready_homes():
                if self._run_timer(agent, timer, home, work):
                    self._fence(home, offsets)

    def _run_timer(self, agent: Agent, timer: Timer, home: Home, work: Work) -> bool:
        """True where it wrote or emitted anything."""
        mark = work.mark()
        home.bind(agent)
        try:
            timer.run(Batch(agent, [], work), work.now_ms)
        except Exception as error:
            log.error("timer.failed", pipeline=self.pipeline.name, timer=timer.name, exc_info=error)
            work.roll_back(mark)
        return work.mark() != mark

    def _bury_dead(self, work: Work) -> None:
        topic = self.pipeline.dead_letters
        for letter in work.dead[:_LOGGED_LETTERS]:
            log.warning(
                "message.dead_lettered", pipeline=letter.pipeline, topic=letter.topic, partition=letter.partition,
                offset=letter.offset, reason=letter.reason.value, detail=letter.detail.strip().rsplit("\n", 1)[-1],
                **_trace(letter),
            )  # fmt: skip
        for letter in work.dead:
            headers = trace_headers([(header.name, header.value) for header in letter.headers])
            key, value = topic.key_of(letter).encode(), self._encoder(topic)(letter)
            work.outputs.append(Outgoing(topic.name, key, value, headers))

    def _commit(self, work: Work, offsets: dict[TopicPartition, int]) -> None:
        changes: Changes = {}
        touched = []
        for home in self._ready_homes():
            changed = home.changes(work.now_ms)
            if changed:
                touched.append((home, changed))
                changes |= changed
                self._fence(home, offsets)
        started = self._clock.monotonic()
        reached = self._log.commit(work.outputs, changes, offsets)
        self._metrics.commit_seconds.labels(self.pipeline.name).observe(self._clock.monotonic() - started)
        self._committed.update(offsets)
        self._failpoint(Point.AFTER_COMMIT)
        for home, changed in touched:
            home.settle(changed, reached, work.now_ms)
        self._journal.clear()
        self._count(work, offsets, changes)

    def _fence(self, home: Home, offsets: dict[TopicPartition, int]) -> None:
        """A transaction without a real offset of a partition is not fenced: send again the one already reached."""
        if any(tp.partition == home.partition for tp in offsets):
            return
        tp = next(tp for tp in self._committed if tp.partition == home.partition)
        offsets[tp] = self._committed[tp]

    # --- when it did not work out ---

    def _rewind(self, error: Exception) -> bool:
        """Nothing happened: forget it all and read again from the committed offsets."""
        self._metrics.aborts.labels(self.pipeline.name).inc()
        self._aborts += 1
        log.warning("transaction.aborted", pipeline=self.pipeline.name, error=str(error), in_a_row=self._aborts)
        if self._aborts > self.settings.max_aborts:
            raise error
        self._drop_uncommitted()
        self._log.seek(dict(self._committed))
        self._pace.rest(self._aborts)
        return False

    def _drop_uncommitted(self) -> None:
        for home in self._ready_homes():
            home.drop()
            self._fresh_homes.append(home)  # its parked rows are due again, whatever made them so
        self._journal.clear()
        self._intake.clear()

    def _take_over_anew(self, error: Exception) -> bool:
        """Whether it was committed is in Kafka: a new producer ends the old transaction, then all is restored."""
        self._metrics.commit_failures.labels(self.pipeline.name).inc()
        self._aborts += 1
        log.warning("transaction.unknown", pipeline=self.pipeline.name, error=str(error), in_a_row=self._aborts)
        if self._aborts > self.settings.max_aborts:
            raise error
        for home in list(self.homes.values()):
            self._close_home(home)
        numbers = sorted(self.homes)
        self.homes.clear()
        self._journal.clear()
        self._intake.clear()
        self._log.pause(list(self._committed))
        self._committed.update(self._log.rebuild())
        self._log.seek(dict(self._committed))
        for number in numbers:
            self._begin_restore(number)
        self._pace.rest(self._aborts)
        return False

    # --- what is told of it ---

    def _count(self, work: Work, offsets: Mapping[TopicPartition, int], changes: Changes) -> None:
        name, metrics = self.pipeline.name, self._metrics
        metrics.produced.labels(name).inc(len(work.outputs) + sum(map(len, changes.values())))
        for letter in work.dead:
            metrics.dead_letters.labels(name, letter.topic, letter.reason).inc()
        for tp, offset in offsets.items():
            metrics.position.labels(name, tp.topic, str(tp.partition)).set(offset)

    def _observe(self, rows: Mapping[int, Sequence[Row]], events: list[Event]) -> None:
        name, metrics = self.pipeline.name, self._metrics
        total = sum(map(len, rows.values()))
        metrics.batch_records.labels(name).observe(total)
        metrics.dedup_checks.labels(name).inc(total)
        for part in rows.values():
            for tp, count in Counter(map(row_source, part)).items():
                metrics.consumed.labels(name, tp.topic).inc(count)
        now = self._clock.now_ms()
        latency = metrics.latency.labels(name)
        for event in events[::_LATENCY_SAMPLE]:
            latency.observe(max(0.0, (now - event.timestamp) / 1000))

    def lag(self) -> dict[TopicPartition, int]:
        """Input records not yet committed, by assigned partition, as last heard from the broker. Does no I/O."""
        ends = self._log.end_offsets()
        return {tp: max(0, ends.get(tp, offset) - offset) for tp, offset in list(self._committed.items())}

    def lag_seconds(self) -> dict[int, float]:
        """Age of the oldest record read but not yet committed, by partition; 0 when caught up."""
        now = self._clock.now_ms()
        return {
            number: max(0.0, (now - stamp) / 1000) if stamp is not None else 0.0
            for number, stamp in self._intake.oldest().items()
        }

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._committed)


def _trace(letter: DeadLetter) -> dict[str, str]:
    """The trace context, for a log line; empty where the message has none."""
    traced = [header for header in letter.headers if header.name in TRACE_HEADERS]
    return {header.name: (header.value or b"").decode(errors="replace") for header in traced}


def _remove(gauge: Gauge, *labels: str) -> None:
    with suppress(KeyError):
        gauge.remove(*labels)
