"""What all parties of the simulated system share: the seed's numbers, the ids, the shelves, and the room left."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

from app.simulate.messages import Agenda
from app.simulate.plan import HOUR_MS, MINUTE_MS
from app.simulate.shelves import Batch, Shelves

LATEST_MS = 12 * HOUR_MS
SHORT_DATED_SHARE = 0.02  # of new batches: expire about now, so that expired lots get used


@dataclass(slots=True)
class Stage:
    """``room`` counts the messages of the run that are neither published nor on the agenda."""

    run: str
    rng: Random
    shelves: Shelves
    late_share: float
    events: int
    agenda: Agenda = field(default_factory=Agenda)
    published: int = 0
    _ids: int = 0

    @property
    def room(self) -> int:
        return self.events - self.published - len(self.agenda)

    def new_id(self, prefix: str) -> str:
        """An id that no other message of any run has."""
        self._ids += 1
        return f"{prefix}-{self.run}-{self._ids}"

    def occurred(self, now: int) -> int:
        """When something recorded now (ms) happened: minutes ago, or hours ago for the late share."""
        if self.rng.random() < self.late_share:
            return now - self.rng.randrange(HOUR_MS, LATEST_MS)
        return now - self.rng.randrange(5 * MINUTE_MS)

    def soon(self, now: int, least_ms: int, most_ms: int) -> int:
        return now + self.rng.randrange(least_ms, most_ms)

    def new_batch(self, now: int) -> Batch:
        """A lot fresh from a manufacturer, with its expiry date; some without one."""
        self._ids += 1
        return Batch(f"L{self._ids:05d}{self.rng.choice('ABCDEFGH')}", self._expiry(now))

    def _expiry(self, now: int) -> date | None:
        draw = self.rng.random()
        if draw < SHORT_DATED_SHARE:
            return day(now) + timedelta(days=self.rng.randint(-1, 1))
        return None if draw > 0.95 else day(now) + timedelta(days=self.rng.randint(20, 700))


def day(now: int) -> date:
    """The UTC date of a time in ms."""
    return datetime.fromtimestamp(now / 1000, UTC).date()
