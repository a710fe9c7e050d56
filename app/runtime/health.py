"""Whether a worker is alive and ready, from what its engines last did; asked from the HTTP thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.runtime.clock import Clock
from app.runtime.engine import Engine
from app.runtime.log import TopicPartition
from app.runtime.state.restore import Progress


@dataclass(frozen=True, slots=True)
class Stuck:
    """What does not move: an engine (no partition) or a partition with lag, for ``seconds``."""

    pipeline: str
    topic: str | None
    partition: int | None
    seconds: float


class Watch:
    """Notices an engine that no longer steps, and a partition with lag whose offset no longer moves."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._moved: dict[tuple[str, TopicPartition], tuple[int, float]] = {}

    def stuck(self, engines: Iterable[Engine]) -> list[Stuck]:
        now = self._clock.monotonic()
        found = []
        for engine in engines:
            name, idle = engine.pipeline.name, now - engine.last_step
            if idle > self._limit_s:
                found.append(Stuck(name, None, None, idle))
            found += [Stuck(name, tp.topic, tp.partition, since) for tp, since in self._without_progress(engine, now)]
        return found

    def _without_progress(self, engine: Engine, now: float) -> list[tuple[TopicPartition, float]]:
        late = []
        positions = engine.positions()
        ready = {number for number, home in list(engine.homes.items()) if home.ready}
        for tp, lag in engine.lag().items():
            key, position = (engine.pipeline.name, tp), positions.get(tp, 0)
            before = self._moved.get(key)
            if before is None or before[0] != position or not lag or tp.partition not in ready:
                self._moved[key] = (position, now)
            elif now - before[1] > self._limit_s:
                late.append((tp, now - before[1]))
        return late


@dataclass(slots=True)
class Health:
    """``masters_complete``: every master topic was read to the end it had at start."""

    watch: Watch
    masters_complete: bool = False
    last: list[Stuck] = field(default_factory=list)

    def live(self, engines: Iterable[Engine]) -> list[Stuck]:
        """Empty while all is well."""
        self.last = self.watch.stuck(engines)
        return self.last

    def ready(self, restores: Iterable[Progress]) -> bool:
        """Master data complete and no assigned partition still restoring; none assigned is ready, too."""
        return self.masters_complete and not list(restores)
