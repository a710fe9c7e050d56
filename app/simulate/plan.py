"""What is asked of a simulation: how much, from which seed, how fast, and which shares of trouble."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

from app.errors import ConfigError, Problem

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MAX_SPAN_MS = 72 * HOUR_MS  # well inside the input topics' retention, which counts from record timestamps
MS_PER_EVENT = 12_000  # simulated: 20,000 events make two days and three quarters
MIN_EVENTS = 100
MOST_EXTRA = 0.9  # of the messages; the rest are the events that the others are made from


class Mix(StrEnum):
    """What happens in the simulated system."""

    ALL = "all"  # everything: procedures, movements, counts, orders, deliveries
    USAGE = "usage"  # clinical usage only, from shelves that are never empty: for load


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of trouble, each 0 to 1. All but ``late`` and ``out_of_order`` are of the messages published.

    ``late``: of usages and movements, those that occurred hours before they were recorded. ``out_of_order``: of
    messages, those published after others that were recorded later. ``misplaced``: under no key or another's.
    """

    repeats: float = 0.05
    late: float = 0.05
    out_of_order: float = 0.03
    invalid: float = 0.01
    undecodable: float = 0.005
    misplaced: float = 0.005

    def __post_init__(self) -> None:
        for each in fields(self):
            share = getattr(self, each.name)
            if not 0 <= share <= 1:
                raise _cannot_be(each.name, share, "a share from 0 to 1")
        extra = self.repeats + self.invalid + self.undecodable
        if extra > MOST_EXTRA:
            raise _cannot_be("repeats + invalid + undecodable", extra, f"at most {MOST_EXTRA}")


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: ``events`` messages on the input topics in all, recorded between ``start`` and ``end`` (ms).

    ``rate`` is in messages per second of real time, 0 as fast as possible. ``patience_s`` is how long, in real time,
    the ERP waits near the end of the run for triggers that it may still answer; it then keeps a tenth of the events
    for its answers. Ids contain ``run``: the same plan makes the same messages, another start makes others.
    """

    seed: int
    events: int
    start: int
    end: int
    rate: float = 0.0
    facilities: int = 4
    shares: Shares = field(default_factory=Shares)
    mix: Mix = Mix.ALL
    patience_s: float = 0.0

    def __post_init__(self) -> None:
        _at_least("events", self.events, MIN_EVENTS)
        _at_least("facilities", self.facilities, 1)
        _at_least("rate", self.rate, 0)
        _at_least("patience_s", self.patience_s, 0)
        _at_least("start", self.start, 1)
        if self.end - self.start < MINUTE_MS:
            raise _cannot_be("end", self.end, f"at least a minute after start ({self.start})")

    @property
    def run(self) -> str:
        return f"{self.seed}-{self.start // 1000:x}"

    def time_at(self, published: int) -> int:
        """The simulated time (ms) once so many of the messages are published."""
        return self.start + (self.end - self.start) * min(published, self.events) // self.events


def span_ms(events: int) -> int:
    """How much simulated time so many events take, in ms; three days at most."""
    return min(MAX_SPAN_MS, max(HOUR_MS, events * MS_PER_EVENT))


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise _cannot_be(name, value, f"at least {least}")


def _cannot_be(name: str, value: float, expected: str) -> ConfigError:
    return ConfigError.of([Problem(name, str(value), expected)])
