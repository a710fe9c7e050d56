"""A simulated health system on Kafka: master data, then a run at a chosen rate, its ERP answering triggers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event

from app.runtime.codec import Codec
from app.simulate.erp import COURSE_ROOM
from app.simulate.flow import Flow
from app.simulate.messages import Published
from app.simulate.plan import Plan
from app.simulate.publisher import ClientConfig, Publisher, TriggerReader
from app.simulate.tally import SimulationSummary, Tally
from app.simulate.world import make_world

HOUSEKEEPING_EVERY = 64  # messages
KEPT_FOR_ANSWERS = 10  # a tenth of the events, where the ERP has patience
SLICE_S = 0.1
COARSE_S = 0.01  # earlier than this is not worth a wait


@dataclass(frozen=True, slots=True)
class Pacer:
    """Holds a rate (messages per second, 0: none) over the whole run, not from message to message."""

    rate: float
    monotonic: Callable[[], float] = time.monotonic

    def ahead_s(self, published: int, since: float) -> float:
        """How many seconds too early the run is after so many messages since then."""
        return published / self.rate - (self.monotonic() - since) if self.rate else 0.0


class Simulation:
    """One run. Topics and schemas must exist; each topic's name begins with ``prefix``.

    Construction blocks on broker and registry. Raises :class:`app.errors.Unreachable` and
    :class:`app.errors.Conflict`, and what the codec raises.
    """

    def __init__(self, client: ClientConfig, codec: Codec, plan: Plan, *, prefix: str = "") -> None:
        self._plan = plan
        self._flow = Flow(make_world(plan.seed, plan.facilities), plan)
        self._publisher = Publisher(client, codec, prefix)
        self._open_reader = partial(TriggerReader, client, codec, f"simulation-{plan.run}", prefix)
        self._pacer = Pacer(plan.rate)
        self._tally = Tally()

    def publish_master(self) -> int:
        """Publish the master data that are there from the start; blocks until delivered. Gives their number."""
        master = self._flow.master()
        for message in master:
            self._send(message)
        self._publisher.flush()
        return len(master)

    def run(self, on_progress: Callable[[int], None] = lambda _: None, stop: Event | None = None) -> SimulationSummary:
        """Publish the run's events; blocks until all are delivered, or soon after ``stop`` is set. Once only.

        ``on_progress`` is called on this thread with the number of events published so far.
        """
        stop = stop or Event()
        began = time.monotonic()
        with self._open_reader() as reader:
            self._publish(reader, on_progress, stop, began)
        for message in self._flow.late_master():
            self._send(message)
        self._publisher.flush()
        on_progress(self._tally.events)
        return self._tally.summary(self._plan.run, time.monotonic() - began, self._flow.remaining > 0)

    def _publish(self, reader: TriggerReader, on_progress: Callable[[int], None], stop: Event, began: float) -> None:
        kept = self._plan.events // KEPT_FOR_ANSWERS if self._plan.patience_s else 0
        for message in self._flow:
            self._send(message)
            if self._tally.events % HOUSEKEEPING_EVERY == 0:
                self._publisher.serve()
                self._attend(reader, 0)
                on_progress(self._tally.events)
            self._keep_pace(reader, stop, began)
            if stop.is_set():
                return
            if kept and self._flow.room <= kept:
                kept = 0
                self._await_triggers(reader, stop)

    def _send(self, message: Published) -> None:
        self._publisher.send(message)
        self._tally.add(message)

    def _attend(self, reader: TriggerReader, wait_s: float) -> int:
        """Let the ERP answer the triggers that have come; gives their number. Blocks up to ``wait_s``."""
        triggers = reader.poll(wait_s)
        for trigger in triggers:
            self._tally.triggers += 1
            self._tally.answered += self._flow.react(trigger)
        return len(triggers)

    def _keep_pace(self, reader: TriggerReader, stop: Event, began: float) -> None:
        while (ahead := self._pacer.ahead_s(self._tally.events, began)) > COARSE_S and not stop.is_set():
            self._attend(reader, min(ahead, SLICE_S))

    def _await_triggers(self, reader: TriggerReader, stop: Event) -> None:
        """Attend until none has come for as long as the ERP is patient, or no room is left for answers."""
        heard = time.monotonic()
        while self._flow.room >= COURSE_ROOM and not stop.is_set():
            if self._attend(reader, SLICE_S):
                heard = time.monotonic()
            if time.monotonic() - heard >= self._plan.patience_s:
                return
