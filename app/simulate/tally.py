"""What a simulation has published, counted as it goes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from app.simulate.messages import Nature, Published
from app.simulate.plan import HOUR_MS

LATE_MS = HOUR_MS


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What a run has published. ``events`` = distinct + repeats + conflicts + invalid + undecodable.

    ``distinct``: valid events, each id once; ``unresolved`` of them refer to what is not there. ``late``: of the
    distinct, those that occurred an hour or more before they were recorded; ``out_of_order``: those published after
    one of the same topic that was recorded later. ``triggers`` were seen, ``answered`` of them by the ERP.
    """

    run: str
    events: int
    distinct: int
    repeats: int
    conflicts: int
    unresolved: int
    invalid: int
    undecodable: int
    late: int
    out_of_order: int
    misplaced: int
    master: int
    triggers: int
    answered: int
    topics: dict[str, int]
    seconds: float
    stopped: bool

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


class Tally:
    """Counts messages by nature and topic."""

    def __init__(self) -> None:
        self._natures: Counter[Nature] = Counter()
        self._topics: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._late = 0
        self._out_of_order = 0
        self._misplaced = 0
        self.triggers = 0
        self.answered = 0

    @property
    def events(self) -> int:
        """Messages on input topics so far."""
        return self._natures.total() - self._natures[Nature.MASTER]

    def add(self, message: Published) -> None:
        self._natures[message.nature] += 1
        if message.nature is Nature.MASTER:
            return
        self._topics[message.topic.name] += 1
        self._misplaced += message.misplaced
        if message.nature is Nature.EVENT:
            self._place_in_time(message)

    def summary(self, run: str, seconds: float, stopped: bool) -> SimulationSummary:
        natures = self._natures
        return SimulationSummary(
            run=run,
            events=self.events,
            distinct=natures[Nature.EVENT] + natures[Nature.UNRESOLVED],
            repeats=natures[Nature.REPEAT],
            conflicts=natures[Nature.CONFLICT],
            unresolved=natures[Nature.UNRESOLVED],
            invalid=natures[Nature.INVALID],
            undecodable=natures[Nature.UNDECODABLE],
            late=self._late,
            out_of_order=self._out_of_order,
            misplaced=self._misplaced,
            master=natures[Nature.MASTER],
            triggers=self.triggers,
            answered=self.answered,
            topics=dict(sorted(self._topics.items())),
            seconds=seconds,
            stopped=stopped,
        )

    def _place_in_time(self, message: Published) -> None:
        newest = self._newest.get(message.topic.name, 0)
        if message.timestamp < newest:
            self._out_of_order += 1
        else:
            self._newest[message.topic.name] = message.timestamp
        self._late += message.record.recorded_at - message.record.occurred_at >= LATE_MS
