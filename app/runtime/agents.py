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
    from app.runtime.batch import Batches, Event

AgentLoop = Callable[["Batches"], Awaitable[None]]
Conflict = Callable[["Event"], tuple[Topic, Any]]


@dataclass(frozen=True, slots=True)
class Agent:
    """``conflict`` says what to emit when an event id comes again with another body."""

    name: str
    loop: AgentLoop
    topics: tuple[Topic, ...]
    owns: tuple[Table[Any], ...]
    conflict: Conflict


def agent(*topics: Topic, owns: tuple[Table[Any], ...], conflict: Conflict) -> Callable[[AgentLoop], Agent]:
    """Declare the decorated coroutine function an agent. Raises ``ValueError`` where it reads nothing."""
    if not topics:
        raise ValueError("an agent reads at least one topic")

    def declare(loop: AgentLoop) -> Agent:
        return Agent(loop.__name__, loop, topics, owns, conflict)

    return declare
