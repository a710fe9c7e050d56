"""What an agent is handed: events in the order they were lived, and the pen with which it writes what follows.

A batch belongs to one transaction. The iterator over its events is ours: it knows the event that the agent stands on,
so that an agent that raises costs that event alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.runtime.agents import Agent
from app.runtime.dead_letters import DeadLetter, Header, Reason
from app.runtime.log import Headers, Message, Outgoing
from app.runtime.parking import Parked
from app.runtime.state.table import ABSENT, Undo
from app.runtime.topics import Topic

if TYPE_CHECKING:
    from app.runtime.home import Home

Encoder = Callable[[Any], bytes]


class Event:
    """One decoded message.

    ``overdue``: it was parked for longer than allowed and must be decided without what it waited for.
    """

    __slots__ = ("digest", "home", "key", "message", "overdue", "parked_at", "topic", "value")

    def __init__(
        self,
        topic: Topic,
        home: Home,
        key: str,
        value: Any,
        message: Message,
        digest: bytes | None = None,
        parked_at: int | None = None,
        overdue: bool = False,
    ) -> None:
        self.topic = topic
        self.home = home
        self.key = key
        self.value = value
        self.message = message
        self.digest = digest
        self.parked_at = parked_at
        self.overdue = overdue

    @property
    def partition(self) -> int:
        """Where it was first read, also when it came through another topic or was parked; so is ``offset``."""
        return self.message.partition() or 0

    @property
    def offset(self) -> int:
        return self.message.offset() or 0

    @property
    def timestamp(self) -> int:
        """The record timestamp, ms."""
        return self.message.timestamp()[1]

    @property
    def headers(self) -> Headers | None:
        return self.message.headers()

    def dead_letter(self, pipeline: str, reason: Reason, detail: str) -> DeadLetter:
        headers = tuple(Header(name, value) for name, value in self.headers or ())
        return DeadLetter(
            reason, detail, pipeline, self.topic.name, self.partition, self.offset, self.timestamp,
            self.message.key(), self.message.value(), headers,
        )  # fmt: skip

    def parked(self, missing: str, now_ms: int) -> Parked:
        """As a row of the parked table; one that was parked before keeps its age."""
        event_id = self.topic.id_of(self.value) if self.topic.id_of is not None else ""
        return Parked(
            missing, self.topic.name, self.partition, self.offset, self.timestamp, event_id, self.message.key(),
            self.message.value() or b"", tuple(self.headers or ()), self.parked_at or now_ms,
        )  # fmt: skip


# What a broker takes by default, with some room for key and headers.
RECORD_MAX_BYTES = 1_000_000


class RecordTooLarge(ValueError):
    """No broker would take it; raised while the event that caused it is known."""

    def __init__(self, topic: str, size: int) -> None:
        super().__init__(f"a record for {topic} has {size} bytes, expected at most {RECORD_MAX_BYTES}")


_OLDEST_STAMP_MS = 7 * 24 * 60 * 60 * 1000

TRACE_HEADERS = frozenset({"traceparent", "tracestate"})


def trace_headers(headers: Headers | None) -> Headers | None:
    """The W3C trace context of a message's headers, to be carried on; None where there is none."""
    if not headers:
        return None
    return [(name, value) for name, value in headers if name in TRACE_HEADERS] or None


@dataclass(slots=True)
class Work:
    """All that one transaction gathers, over all its agents and partitions; a mark in it is a savepoint."""

    pipeline: str
    now_ms: int
    encoder: Callable[[Topic], Encoder]
    journal: list[Undo]
    outputs: list[Outgoing] = field(default_factory=list)
    releases: list[tuple[Home, str]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    failures: int = 0  # agent errors in a row, up to now
    longest_failure: int = 0  # the most there were in a row
    encoders: dict[str, Encoder] = field(default_factory=dict)  # those asked for before, by topic
    oldest: int = field(init=False)  # record timestamp that an output may have

    def __post_init__(self) -> None:
        self.oldest = self.now_ms - _OLDEST_STAMP_MS

    def stamp(self, timestamp: int) -> int:
        """The record timestamp of what follows from an event of ``timestamp``: the event's own, as far as it is sane.

        With it, topics that feed each other are merged in the order lived. But retention counts from it, and a broker
        refuses times to come: so it is no older than a week, half the shortest retention, and not in the future.
        """
        return min(max(timestamp, self.oldest), self.now_ms)

    def mark(self) -> tuple[int, int, int]:
        return len(self.journal), len(self.outputs), len(self.releases)

    def roll_back(self, mark: tuple[int, int, int]) -> None:
        """Undo every write, output and release since ``mark``."""
        journal, outputs, releases = mark
        while len(self.journal) > journal:
            overlay, key, old = self.journal.pop()
            _restore(overlay, key, old)
        del self.outputs[outputs:]
        del self.releases[releases:]


def _restore(overlay: dict[str, Any], key: str, old: Any) -> None:
    if old is ABSENT:
        del overlay[key]
    else:
        overlay[key] = old


class Batch:
    """The events of one transaction for one agent, and what the agent does about them."""

    def __init__(self, agent: Agent, events: list[Event], work: Work) -> None:
        self._agent = agent
        self._events = events
        self._work = work
        self._pending = iter(events)
        self._current: Event | None = None
        self._start: tuple[int, int, int] | None = None
        self._savepoint = work.mark()

    def begin(self) -> Batch:
        """Handed to the agent, for the first time or again."""
        if self._start is None:
            self._start = self._work.mark()
        return self

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        """The events not yet worked; one pass in all, however often it is begun."""
        work, bound = self._work, None
        for event in self._pending:
            if event.home is not bound:
                bound = event.home
                bound.bind(self._agent)
            self._current = event
            self._savepoint = (len(work.journal), len(work.outputs), len(work.releases))
            yield event
            work.failures = 0
        self._current = None

    def emit(self, topic: Topic, record: Any) -> None:
        """Publish ``record`` when the batch commits: under its own key, with the event's timestamp and trace context.

        Raises ``RecordTooLarge``, and what the codec raises for a record that does not fit the topic's schema.
        """
        work = self._work
        encode = work.encoders.get(topic.name) or work.encoder(topic)
        value = encode(record)
        if len(value) > RECORD_MAX_BYTES:
            raise RecordTooLarge(topic.name, len(value))
        key, event = topic.key_of(record).encode(), self._current
        if event is None:
            work.outputs.append(Outgoing(topic.name, key, value, None, None, None))
            return
        headers, stamp = event.message.headers(), event.message.timestamp()[1]
        if not work.oldest <= stamp <= work.now_ms:
            stamp = work.stamp(stamp)
        traced = trace_headers(headers) if headers else None
        work.outputs.append(Outgoing(topic.name, key, value, traced, None, stamp))

    def park(self, event: Event, missing: str) -> None:
        """Set ``event`` aside until ``missing`` is there; whatever else was done for it is undone."""
        self._work.roll_back(self._savepoint)
        event.home.parking.park(event.parked(missing, self._work.now_ms))

    def release(self, name: str) -> None:
        """Let the events of this partition that are parked under ``name`` come again, in this same transaction."""
        if self._current is not None:
            self._work.releases.append((self._current.home, name))

    def fail(self, error: BaseException) -> list[Batch]:
        """The agent raised, or left before the end. Returns what is still to be worked, in order.

        Inside the loop over events: the event it stood on becomes a dead letter, the rest goes on. Outside: the batch
        is halved, down to the one event that does it.
        """
        if self._current is not None:
            self._bury(self._current, self._savepoint, error)
            return [self]
        start = self._start or self._work.mark()
        self._work.roll_back(start)
        if len(self._events) == 1:
            self._bury(self._events[0], start, error)
            return []
        half = len(self._events) // 2
        return [Batch(self._agent, part, self._work) for part in (self._events[:half], self._events[half:]) if part]

    def _bury(self, event: Event, mark: tuple[int, int, int], error: BaseException) -> None:
        work = self._work
        work.roll_back(mark)
        work.failures += 1
        work.longest_failure = max(work.longest_failure, work.failures)
        detail = "".join(traceback.format_exception(error))
        work.dead.append(event.dead_letter(work.pipeline, Reason.AGENT_ERROR, detail))
        if event.digest is not None:
            event.home.dedup.forget(event.digest)
        self._events = [other for other in self._events if other is not event]
        self._current = None

    def finish(self) -> list[Batch]:
        """The agent asks for the next batch. Returns what is still to be worked: nothing, unless it broke off."""
        if self._current is None:
            return []
        return self.fail(LeftEarly(self._agent.name))


class LeftEarly(Exception):
    """An agent returned or broke out of the loop over a batch's events: they would be lost without a word."""

    def __init__(self, agent: str) -> None:
        super().__init__(f"agent {agent!r} left the batch before its last event: loop over every event of every batch")


class Delivery:
    """One batch on its way to an agent. ``done`` is called once: with None, or with what makes going on senseless."""

    __slots__ = ("_finished", "batch", "done")

    def __init__(self, batch: Batch, done: Callable[[BaseException | None], None]) -> None:
        self.batch = batch
        self.done = done
        self._finished = False

    def finish(self, error: BaseException | None = None) -> None:
        """Also when the agent was stopped half-way; a second call is ignored."""
        if not self._finished:
            self._finished = True
            self.done(error)

    @property
    def stale(self) -> bool:
        """Given up by the engine: the agent must not see it."""
        return self._finished


class Batches:
    """The batches of one agent, for as long as the worker lives. Asking for the next one ends the one before."""

    def __init__(self, receive: Callable[[], Awaitable[Delivery]]) -> None:
        self._receive = receive
        self._delivery: Delivery | None = None
        self._open: Batch | None = None
        self._todo: list[Batch] = []
        self.ended = False  # the channel is closed: the worker stops

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Batch:
        if self._open is not None:
            self._todo[:0] = self._open.finish()
            self._open = None
        if not self._todo:
            await self._next_delivery()
        self._open = self._todo.pop(0).begin()
        return self._open

    async def _next_delivery(self) -> None:
        if self._delivery is not None:
            self._delivery.finish()
        while True:
            try:
                self._delivery = await self._receive()
            except StopAsyncIteration:
                self.ended = True
                raise
            if not self._delivery.stale:
                break
        self._todo = [self._delivery.batch]

    def failed(self, error: BaseException) -> None:
        """The agent's loop raised ``error`` or returned; it will be started again and goes on with the rest."""
        if self._open is None:
            raise error
        self._todo[:0] = self._open.fail(error)
        self._open = None


async def attend(agent: Agent, receive: Callable[[], Awaitable[Delivery]]) -> None:
    """Run the agent until its channel is closed, and again after it raised: Faust never sees the exception.

    Raises only when the agent ends without a batch in hand: that would go on without end.
    """
    batches = Batches(receive)
    while True:
        try:
            await agent.loop(batches)
        except Exception as error:  # noqa: BLE001 whatever an agent raises costs the event it stands on, no more
            batches.failed(error)
        else:
            if batches.ended:
                return
            batches.failed(LeftEarly(agent.name))
