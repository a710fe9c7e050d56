"""How large a micro-batch is and how long it waits: full under backlog, small when idle, never longer than allowed."""

from __future__ import annotations

import time

_TARGET_S = 1.0  # of working one batch; a transaction must stay far below its timeout
_FIRST = 500
_MIN_WAIT_S = 0.005


class Pace:
    """``limit``: events to ask for next. ``wait_s``: how long to wait for them."""

    def __init__(self, max_events: int, max_wait_s: float) -> None:
        self._max_events = max_events
        self._max_wait_s = max_wait_s
        self.limit = min(_FIRST, max_events)
        self.wait_s = max_wait_s

    def worked(self, events: int, seconds: float) -> None:
        """A batch took that long. Full batches grow towards the target time; small ones wait less."""
        affordable = int(_TARGET_S * events / seconds) if events and seconds else self._max_events
        if events >= self.limit // 2:
            self.limit = max(1, min(self._max_events, affordable, 2 * self.limit))
            self.wait_s = self._max_wait_s
        else:
            self.wait_s = max(_MIN_WAIT_S, self.wait_s / 2)

    def idle(self) -> None:
        self.wait_s = self._max_wait_s

    def rest(self, failures: int) -> None:
        """Blocks: a pause that grows with failures in a row, so that a broker in trouble is not hammered."""
        time.sleep(min(2.0, 0.05 * 2**failures))
        self.limit = max(1, self.limit // 2)
