"""What is timed, the same way on both sides: from a commit to the last commit, so in whole transactions.

Each side calls ``lap`` once per transaction, right after its commit. Between two laps lies one whole round: RocksDB
write, poll, decode, work, produce, commit. The window opens with the first commit that has the warm-up's share of the
messages behind it (what starts up is not measured) and closes with the commit of the last message.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

WARM_UP: Final = 0.1


@dataclass(frozen=True, slots=True)
class Timing:
    """One run's window: messages, transactions and seconds in it, CPU seconds of the whole process in it.

    ``whole_seconds`` and ``whole_messages`` count from the first commit instead, start-up included.
    """

    messages: int
    transactions: int
    seconds: float
    cpu_seconds: float
    whole_messages: int
    whole_seconds: float

    @property
    def events_per_s(self) -> float:
        return self.messages / self.seconds

    @property
    def events_per_s_with_start(self) -> float:
        return self.whole_messages / self.whole_seconds

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_seconds / self.messages * 1e6


@dataclass(frozen=True, slots=True)
class _Lap:
    committed: int
    at: float
    cpu: float


class Stopwatch:
    """``messages``: how many there are to commit in all."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._laps: list[_Lap] = []

    def lap(self, committed: int) -> None:
        """``committed`` messages are behind the group's offsets now."""
        self._laps.append(_Lap(committed, time.perf_counter(), time.process_time()))

    def done(self) -> bool:
        return bool(self._laps) and self._laps[-1].committed >= self._messages

    def timing(self) -> Timing:
        """Raises ``ValueError`` where there is no window: all messages fit into the warm-up and one transaction."""
        first, last = self._laps[0], self._laps[-1]
        opens = next(place for place, lap in enumerate(self._laps) if lap.committed >= WARM_UP * self._messages)
        start = self._laps[opens]
        if start is last:
            raise ValueError(f"{self._messages} messages went in {len(self._laps)} transactions; give it more events")
        return Timing(
            messages=last.committed - start.committed,
            transactions=len(self._laps) - 1 - opens,
            seconds=last.at - start.at,
            cpu_seconds=last.cpu - start.cpu,
            whole_messages=last.committed - first.committed,
            whole_seconds=last.at - first.at,
        )
