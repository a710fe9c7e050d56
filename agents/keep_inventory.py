"""The agent that keeps inventory positions: what was used, moved, counted, ordered and put away, where and when."""

from __future__ import annotations

from agents import topics
from agents.deciding import id_conflict, publish, source_of
from app.domain import inventory
from app.runtime.agents import agent
from app.runtime.batch import Batches
from tables.changes import HistoryOf, changes, row_key
from tables.master import reference
from tables.positions import positions


@agent(topics.usage, topics.movements, topics.inbound, owns=(positions, changes), conflict=id_conflict)
async def keep_inventory(batches: Batches) -> None:
    async for batch in batches:
        for event in batch:
            position, history = positions.get(event.key), HistoryOf(event.key)
            decision = inventory.decide(event.value, source_of(event), position, history, reference)
            if decision.missing is not None:
                batch.park(event, decision.missing)
                continue
            remember(event.key, decision)
            publish(batch, decision.outputs)
            for name in decision.released:
                batch.release(name)


def remember(key: str, decision: inventory.Decision) -> None:
    """Keep the position as the event left it, and what a late count or a reversal will need to know."""
    if decision.position is not None:
        positions.put(key, decision.position)
    for name in decision.forgotten:
        changes.delete(row_key(key, name))
    for change in decision.changes:
        changes.put(row_key(key, change.name), change)
