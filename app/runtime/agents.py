"""How an agent is declared: what it reads, which tables it owns, and the loop that it is.

    @agent(topics.usage, owns=(positions,))
    async def keep_inventory(batches: Batches) -> None:
        async for batch in batches:
            for event in batch:
                ...

The loop runs for the life of the worker. An agent is pure: it reads its tables and master data, and writes only
through its tables and ``batch``. It may therefore be run again on the same events at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.runtime.state.table import Table
from app.runtime.topics import Topic

if TYPE_CHECKING:
    from app.runtime.batch import Batch, Batches, Event

AgentLoop = Callable[["Batches"], Awaitable[None]]
Conflict = Callable[["Event"], tuple[Topic, Any]]


@dataclass(frozen=True, slots=True)
class Timer:
    """Work without input, every ``every_s`` seconds, for each partition in a transaction of its own kind: fenced.

    ``run(batch, now_ms)`` sees the agent's tables at one partition and may write and emit as for an event; it must
    neither park nor release. When it raises, nothing of it takes effect, and it is tried again at the next turn.
    """

    name: str
    every_s: float
    run: Callable[[Batch, int], None]


@dataclass(frozen=True, slots=True)
class Agent:
    """``conflict`` says what to emit when an event id comes again with another body."""

    name: str
    loop: AgentLoop
    topics: tuple[Topic, ...]
    owns: tuple[Table[Any], ...]
    conflict: Conflict
    timers: tuple[Timer, ...] = ()


def agent(
    *topics: Topic, owns: tuple[Table[Any], ...], conflict: Conflict, timers: tuple[Timer, ...] = ()
) -> Callable[[AgentLoop], Agent]:
    """Declare the decorated coroutine function an agent. Raises ``ValueError`` where it reads nothing."""
    if not topics:
        raise ValueError("an agent reads at least one topic")

    def declare(loop: AgentLoop) -> Agent:
        return Agent(loop.__name__, loop, topics, owns, conflict, timers)

    return declare
